//! Text that is not TOML: what the parser says, put so that it helps.

use std::collections::BTreeSet;

use toml::de::{DeValue, Error};

use crate::config_error::SourceFile;

use super::shorten;

/// Report syntax errors, one for each line at most: what follows on the same line is an echo.
/// `true`: the text was understood nevertheless, so that its keys can be looked at, too.
pub(super) fn report(file: &SourceFile<'_>, errors: &[Error]) -> bool {
    let mut lines = BTreeSet::new();
    let mut understood = true;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let (line, _, source) = file.line(span.start);
        let source = source.trim();
        let (message, hint) = if error.message() == "duplicate key" {
            let what = match source.starts_with('[') {
                true => source.split('#').next().unwrap_or_default().trim(),
                false => file.slice(span.clone()),
            };
            (
                format!("`{}` is given twice", shorten(what)),
                Some("keep one of the two".to_owned()),
            )
        } else {
            understood = false;
            if !lines.insert(line) {
                continue;
            }
            explain(error.message(), source)
        };
        file.report(span.start, "", message, hint);
    }
    understood
}

/// What is wrong with a line, as far as its look tells, else in the parser's words.
fn explain(message: &str, source: &str) -> (String, Option<String>) {
    let not_toml = |why: &str| format!("not valid TOML: {why}");
    if let Some(c) = source.chars().find(|c| c.is_control() && *c != '\t') {
        let code = u32::from(c);
        let hint = match c {
            // No file name, variable or command can have one.
            '\0' => "take it out".to_owned(),
            _ => format!("take it out; in double quotes it is written `\\u{code:04x}`"),
        };
        return (
            not_toml(&format!("the line has a control character, U+{code:04X}")),
            Some(hint),
        );
    }
    if source.starts_with('{') {
        return (
            not_toml("this looks like JSON"),
            Some("a line is `key = value`, and a table begins with `[table]`".into()),
        );
    }
    if let Some(rest) = source.strip_prefix("export ") {
        return (
            not_toml("this looks like shell"),
            Some(format!("without `export`: {}", shorten(rest.trim()))),
        );
    }
    let Some((key, value)) = source.split_once('=') else {
        return match source.split_once(':') {
            Some((key, "")) if plain_key(key) => (
                not_toml("this looks like YAML"),
                Some(format!("a table begins with `[{key}]`")),
            ),
            Some((key, value)) if plain_key(key) => {
                let hint = format!("{key} = {}", quoted(value.trim()));
                (not_toml("a value is given with `=`"), Some(hint))
            }
            _ if source.starts_with('[') && message.contains("quoted") => (
                not_toml("the list above has no end"),
                Some("a list ends with `]`".into()),
            ),
            _ => (not_toml(message), None),
        };
    };
    let (key, value) = (
        key.trim(),
        value.split(" #").next().unwrap_or_default().trim(),
    );
    if value.is_empty() && plain_key(key) {
        return (not_toml(&format!("`{key}` has no value")), None);
    }
    if matches!(
        value.to_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off"
    ) {
        let value = matches!(value.to_lowercase().as_str(), "true" | "yes" | "on");
        return (
            not_toml("it is written `true` or `false`"),
            Some(format!("{key} = {value}")),
        );
    }
    let bare = !value.contains(['"', '\'', '[', '{', '\\']);
    if bare && plain_key(key) && DeValue::parse(value).is_err() {
        return (
            not_toml("text stands in quotes"),
            Some(format!("{key} = {}", quoted(value))),
        );
    }
    if message.contains("escape") {
        let hint = "in single quotes a `\\` is itself; in double quotes it is written `\\\\`";
        return (
            not_toml("a `\\` in double quotes begins an escape, and this is none"),
            Some(hint.into()),
        );
    }
    if message.starts_with("invalid basic string") || message.starts_with("invalid literal string")
    {
        return (not_toml("the string has no end on its line"), None);
    }
    (not_toml(message), None)
}

fn plain_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 40
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn quoted(value: &str) -> String {
    match value.starts_with(['"', '\'', '[', '{']) {
        true => value.to_owned(),
        false => format!("\"{}\"", shorten(value)),
    }
}
