//! From a value to what systemd reads as exactly that value.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::path::Path;

/// A value that no unit can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(String);

impl Unfit {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

/// One word of `ExecStart=:…`, quoted (systemd.syntax(7), "Quoting"), with specifiers doubled (systemd.unit(5)). With the colon
/// in front of the program no variable is put in.
///
/// # Errors
/// It contains a NUL, which no argument can.
pub fn word(value: &str) -> Result<String, Unfit> {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for character in value.chars() {
        match character {
            '\0' => return Err(Unfit::new("an argument contains a NUL")),
            '%' => quoted.push_str("%%"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// A path as the whole value of a line, which is taken as it stands but for specifiers.
///
/// # Errors
/// It is not absolute, or has characters that would not stay what they are: control characters, backslashes, blanks at its end.
pub fn line(path: &Path) -> Result<String, Unfit> {
    let unfit = |why: &str| Unfit::new(format!("the path `{}` {why}", path.display()));
    let text = path.to_str().ok_or_else(|| unfit("is not UTF-8"))?;
    if !text.starts_with('/') {
        return Err(unfit("is not absolute"));
    }
    if text.chars().any(|c| c.is_control() || c == '\\') || text.trim_end() != text {
        return Err(unfit("has a character that a unit cannot hold"));
    }
    Ok(text.replace('%', "%%"))
}

/// The file of `EnvironmentFile=` (systemd.exec(5)). Within double quotes a backslash takes the meaning of `"`, `\`, `` ` `` and `$`;
/// line ends stay.
///
/// # Errors
/// A name is none, or a value contains a NUL.
pub fn environment_file(variables: &BTreeMap<String, String>) -> Result<String, Unfit> {
    let mut text = String::new();
    for (name, value) in variables {
        let fits = name
            .bytes()
            .enumerate()
            .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || i > 0 && b.is_ascii_digit());
        if name.is_empty() || !fits {
            return Err(Unfit::new(format!(
                "`{}` is no name of a variable",
                name.escape_debug()
            )));
        }
        if value.contains('\0') {
            return Err(Unfit::new(format!("the value of `{name}` contains a NUL")));
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '`' | '$') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push_str("\"\n");
    }
    Ok(text)
}
