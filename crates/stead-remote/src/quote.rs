//! Words as one line for the shell of somebody's account on a host: the one place where that is done.
//!
//! ssh joins the words of a command with blanks and hands the line to the account's shell, whichever that is. Here each
//! word is written so that sh, bash, dash, zsh, ksh and fish read back the same word: plain letters as they are, everything else in single quotes, and
//! what means something even there, `'` and `\` (fish), behind a backslash outside.

/// The line that a shell takes apart into these words again.
pub fn line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        push(&mut line, word);
    }
    line
}

fn push(line: &mut String, word: &str) {
    if word.is_empty() {
        line.push_str("''");
        return;
    }
    // `-`, `=`, `:` and the like mean nothing to a shell within a word; `~` and `=` at its start do.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '\'' | '\\') {
            line.push('\\');
            line.push(first);
            rest = &rest[1..];
            continue;
        }
        let end = rest.find(['\'', '\\']).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        match part.chars().all(plain) {
            true => line.push_str(part),
            false => {
                line.push('\'');
                line.push_str(part);
                line.push('\'');
            }
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests;
