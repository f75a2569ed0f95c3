//! Text that is not TOML: what the parser says, put so that it helps.

use toml::de::Error;

use crate::config_error::SourceFile;

/// Report syntax errors, one for each line at most: what follows on the same line is an echo.
/// `true`: the text was understood nevertheless, so that its keys can be looked at, too.
pub(crate) fn report(file: &SourceFile<'_>, text: &str, errors: &[Error]) -> bool {
    let mut last_line = None;
    let mut understood = true;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count();
        if error.message() == "duplicate key" {
            let key = file.slice(span.clone());
            file.report(
                span.start,
                key,
                format!("`{key}` is given twice"),
                Some("keep one of the two".into()),
            );
            continue;
        }
        understood = false;
        if last_line == Some(line) {
            continue;
        }
        last_line = Some(line);
        let source = text.split('\n').nth(line).unwrap_or("");
        let hint = hint(error.message(), source);
        file.report(
            span.start,
            "",
            format!("not valid TOML: {}", error.message()),
            hint,
        );
    }
    understood
}

fn hint(_message: &str, source: &str) -> Option<String> {
    let (key, value) = source.split_once('=').unwrap_or((source, ""));
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() {
        return source
            .split_once(':')
            .filter(|(key, _)| {
                !key.is_empty()
                    && key
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "-_ ".contains(c))
            })
            .map(|(key, value)| {
                format!(
                    "a value is given with `=`: {} = {}",
                    key.trim(),
                    quoted(value.trim())
                )
            });
    }
    let bare = value.starts_with(|c: char| {
        c.is_alphabetic() || c == '/' || c == '@' || c == '.' || c.is_ascii_digit()
    });
    if bare && !value.contains(['"', '\'']) && value != "true" && value != "false" {
        return Some(format!("text stands in quotes: {key} = {}", quoted(value)));
    }
    None
}

fn quoted(value: &str) -> String {
    match value.starts_with(['"', '\'', '[', '{']) {
        true => value.to_owned(),
        false => format!("\"{}\"", super::shorten(value)),
    }
}
