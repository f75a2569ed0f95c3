//! What is wrong with a `stead.toml` or a Procfile, in parts that a renderer can colour and place.

use std::fmt;

/// One thing that is wrong at one place of a file.
///
/// `Display` gives the parts as text, without the `error:` in front, which is the renderer's:
///
/// ```text
/// unknown key `helth` in `process.web`
///   --> stead.toml:14
/// hint: did you mean `health`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as its reader named it.
    pub file: String,
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// The full key, `process.web.health`; empty when the file as a whole is meant.
    pub key: String,
    /// One line, lower case, no full stop.
    pub message: String,
    /// What to do about it, if that can be said. One line.
    pub hint: Option<String>,
    /// The text of that line of the file, without its end; control characters are replaced one by one.
    pub source_line: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  --> {}:{}", self.message, self.file, self.line)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with one file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The first [`ConfigErrors::LIMIT`] of them.
    pub errors: Vec<ConfigError>,
    /// How many more there were.
    pub omitted: usize,
}

impl ConfigErrors {
    /// More than these would not be read by anybody.
    pub const LIMIT: usize = 50;
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            error.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\n\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Why a value is refused; the place is added by whoever read it.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Comes after ``invalid `key` in `table`: ``.
    pub(crate) why: String,
    /// See [`ConfigError::hint`].
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A file's text, to turn offsets into places, and what was found wrong with it so far.
#[derive(Debug)]
pub(crate) struct SourceFile<'a> {
    name: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    found: std::cell::RefCell<Vec<(usize, ConfigError)>>,
}

impl<'a> SourceFile<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name,
            text,
            line_starts,
            found: Default::default(),
        }
    }

    /// The text between two offsets; empty when they do not fit.
    pub(crate) fn slice(&self, span: std::ops::Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or("")
    }

    /// The line at a byte offset: its number from 0, where it starts, its text without its end.
    pub(crate) fn line(&self, at: usize) -> (usize, usize, &'a str) {
        let line = self.line_starts.partition_point(|start| *start <= at) - 1;
        let start = self.line_starts[line];
        let end = self
            .line_starts
            .get(line + 1)
            .map_or(self.text.len(), |next| next - 1);
        (line, start, self.slice(start..end))
    }

    /// Remember a problem at a byte offset.
    pub(crate) fn report(&self, at: usize, key: &str, message: String, hint: Option<String>) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let (line, start, mut source_line) = self.line(at);
        if key.starts_with("secret") || key.ends_with("route.users") {
            // What was written as a secret's value, or as a password, must not get into logs.
            source_line = source_line.split('=').next().unwrap_or("");
        }
        let error = ConfigError {
            file: self.name.to_owned(),
            line: line + 1,
            column: self.text[start..at].chars().count() + 1,
            key: key.to_owned(),
            message: one_line(&message),
            hint: hint.as_deref().map(one_line),
            source_line: source_line
                .trim_end_matches('\r')
                .replace(|c: char| c.is_control() && c != '\t', "\u{fffd}"),
        };
        self.found.borrow_mut().push((at, error));
    }

    /// `value` when nothing is wrong, else everything that is, in the order of the file.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, ConfigErrors> {
        let mut found = self.found.into_inner();
        if found.is_empty() {
            return Ok(value);
        }
        found.sort_by_key(|(at, _)| *at);
        found.dedup();
        let omitted = found.len().saturating_sub(ConfigErrors::LIMIT);
        let errors = found
            .into_iter()
            .take(ConfigErrors::LIMIT)
            .map(|(_, error)| error)
            .collect();
        Err(ConfigErrors { errors, omitted })
    }
}

/// A message must stay one line and must not move a terminal's cursor, whatever the file holds.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain =
                !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let escaped = (!plain).then(|| c.escape_default());
            plain
                .then_some(c)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// The known word that is nearest to `given`, if one is near enough to be meant.
pub(crate) fn nearest<'k>(
    given: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let given = given.to_lowercase().replace('_', "-");
    let allowed = match given.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|word| {
            (
                distance(&given, &word.to_lowercase().replace('_', "-")),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= allowed && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edit distance (Damerau–Levenshtein, optimal string alignment): insertions, deletions,
/// substitutions and swaps of neighbours cost 1. Words longer than 64 are far from everything.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    if left.len() > 64 || right.len() > 64 {
        return usize::MAX;
    }
    let mut before = vec![0; right.len() + 1];
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (row[j] + usize::from(a != b))
                .min(row[j + 1] + 1)
                .min(next[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_mistakes_and_nothing_else() {
        let known = ["health", "threads", "timeout", "count"];
        assert_eq!(nearest("helth", known), Some("health"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Threads", known), Some("threads"));
        assert_eq!(nearest("body_limit", ["body-limit"]), Some("body-limit"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"h".repeat(100_000), known), None);
    }

    #[test]
    fn messages_never_carry_control_characters() {
        assert_eq!(one_line("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
    }
}
