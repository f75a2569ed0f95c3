//! Styles, and text of others made safe to show.

use anstyle::{AnsiColor, Style};

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();

/// `text` in `style`, reset behind it.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// What Stead says: as [`shown`], and without the system's numbers of errors, which their words go with.
pub(crate) fn said(sentence: &str) -> String {
    let mut parts = sentence.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        match part[digits..].strip_prefix(')') {
            Some(rest) if digits > 0 => text.push_str(rest),
            _ => text.extend([" (os error ", part]),
        }
    }
    shown(&text)
}

/// A line of an app's output: its colours stay, everything else that moves a cursor, rings a bell
/// or renames a window is shown instead of obeyed. A visitor may have written this line.
pub(crate) fn shown(line: &str) -> String {
    let plain = |c: char| !c.is_control() || c == '\t';
    if line.chars().all(plain) {
        return line.to_owned();
    }
    let mut safe = String::with_capacity(line.len() + 8);
    let mut coloured = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour_sequence(rest) {
            safe.push_str(&rest[..length]);
            coloured = true;
            rest = &rest[length..];
            continue;
        }
        if plain(c) {
            safe.push(c);
        } else if c != '\r' || rest.len() > 1 {
            safe.extend(c.escape_default());
        }
        rest = &rest[c.len_utf8()..];
    }
    if coloured {
        safe.push_str("\u{1b}[0m");
    }
    safe
}

/// How long the `ESC [ … m` at the start of `text` is, if there is one.
fn colour_sequence(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    (parameters[end..].starts_with('m') && end <= 32).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::{said, shown};

    #[test]
    fn numbers_of_errors_are_left_out_of_sentences() {
        assert_eq!(
            said("cannot connect: Connection refused (os error 111); next try in 1 s"),
            "cannot connect: Connection refused; next try in 1 s"
        );
        assert_eq!(said("a (os error 2) b (os error 13)"), "a b");
        for kept in [
            "x (os error ",
            "x (os error )",
            "x (os error 1",
            "x (os error a)",
        ] {
            assert_eq!(said(kept), kept);
        }
    }

    #[test]
    fn colours_of_an_app_stay_and_are_reset() {
        assert_eq!(
            shown("\u{1b}[31mred\u{1b}[0m x"),
            "\u{1b}[31mred\u{1b}[0m x\u{1b}[0m"
        );
    }

    #[test]
    fn a_visitor_cannot_move_the_cursor_through_the_log() {
        assert_eq!(
            shown("a\u{1b}[2Jb\u{7}\u{1b}]0;x\u{9c}"),
            "a\\u{1b}[2Jb\\u{7}\\u{1b}]0;x\\u{9c}"
        );
        assert_eq!(shown("\u{1b}"), "\\u{1b}");
        assert_eq!(shown("\u{1b}["), "\\u{1b}[");
        assert_eq!(shown("50%\r100%\r"), "50%\\r100%");
    }
}
