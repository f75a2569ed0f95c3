//! One table of a `stead.toml` while it is read: typed look-ups that report what is wrong and go on.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, OTHER_WORDS, Table};
use super::values;
use crate::config_error::{Problem, SourceFile, nearest};

/// A table, where it is and what may be in it.
pub(crate) struct Section<'a> {
    pub(crate) file: &'a SourceFile<'a>,
    pub(crate) table: &'a DeTable<'a>,
    /// `process.web`; empty for the top of the file.
    pub(crate) path: String,
    /// Where a problem with the table as a whole is shown.
    pub(crate) at: usize,
    kind: &'static Table,
}

impl<'a> Section<'a> {
    /// Open a table and report every key that it should not have.
    pub(crate) fn open(
        file: &'a SourceFile<'a>,
        table: &'a DeTable<'a>,
        path: String,
        at: usize,
        kind: &'static Table,
    ) -> Self {
        let section = Self {
            file,
            table,
            path,
            at,
            kind,
        };
        if !kind.free && !kind.path.is_empty() {
            for (name, value) in table {
                if kind.key(name.get_ref()).is_none() {
                    section.unknown_key(name, value);
                }
            }
        }
        section
    }

    /// Report a key that no table of this kind has.
    pub(crate) fn unknown_key(
        &self,
        name: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let given = name.get_ref().as_ref();
        let message = match self.path.as_str() {
            "" if value.get_ref().is_table() => format!("unknown table `{given}`"),
            "" => format!("unknown key `{given}`"),
            path => format!("unknown key `{given}` in `{path}`"),
        };
        let hint = self.meant(given, value.get_ref());
        self.file
            .report(name.span().start, &self.full_key(given), message, hint);
    }

    /// The key of this table that an unknown one was probably meant to be.
    fn meant_word(&self, given: &str) -> Option<&'static str> {
        let lower = given.to_lowercase().replace('_', "-");
        let other = OTHER_WORDS
            .iter()
            .find(|(table, word, _)| *table == self.kind.path && *word == lower);
        if let Some((_, _, ours)) = other {
            return Some(ours);
        }
        // A key that is right elsewhere is not taken for one that merely looks alike.
        if keys::TABLES.iter().any(|table| table.key(given).is_some()) {
            return None;
        }
        nearest(given, self.known())
    }

    /// The names that this table may hold.
    fn known(&self) -> Vec<&'static str> {
        match self.kind.path {
            "" => keys::top_names(),
            _ => self.kind.keys.iter().map(|key| key.name).collect(),
        }
    }

    /// Whether a key is there or probably was meant by one that is unknown: then it is not
    /// reported as missing, too.
    pub(crate) fn has_or_means(&self, name: &str) -> bool {
        let mut unknown = self
            .table
            .keys()
            .filter(|key| self.kind.key(key.get_ref()).is_none());
        self.has(name) || unknown.any(|key| self.meant_word(key.get_ref()) == Some(name))
    }

    /// What an unknown key was probably meant to be, as a hint.
    fn meant(&self, given: &str, value: &DeValue<'_>) -> Option<String> {
        if let Some(word) = self.meant_word(given) {
            return Some(match self.kind.path {
                "" if word != "app" => format!("did you mean `[{word}]`?"),
                _ => format!("did you mean `{word}`?"),
            });
        }
        let elsewhere: Vec<String> = keys::TABLES
            .iter()
            .filter(|table| table.key(given).is_some())
            .map(|table| match table.path {
                "" => "at the top of the file".to_owned(),
                path => format!("in `[{path}]`"),
            })
            .collect();
        if !elsewhere.is_empty() {
            return Some(format!("`{given}` belongs {}", elsewhere.join(" or ")));
        }
        if !self.path.is_empty() && keys::top_names().contains(&given) {
            return Some(match value {
                DeValue::Table(_) => format!("`[{given}]` is a table of its own"),
                _ => format!("`{given}` belongs at the top of the file"),
            });
        }
        let known: Vec<String> = self
            .known()
            .iter()
            .map(|word| format!("`{word}`"))
            .collect();
        (!known.is_empty()).then(|| format!("known here: {}", known.join(", ")))
    }

    /// The full key of one of this table's keys.
    pub(crate) fn full_key(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// A value as it stands, with the offset of its key.
    pub(crate) fn value(&self, name: &str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        let (key, value) = self.table.get_key_value(name)?;
        Some((key.span().start, value))
    }

    /// Whether the key is there, right or wrong.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Report that the value of `name` is wrong, at the value.
    pub(crate) fn invalid(&self, name: &str, at: usize, problem: Problem) {
        let message = match self.path.as_str() {
            "" => format!("invalid `{name}`: {}", problem.why),
            path => format!("invalid `{name}` in `{path}`: {}", problem.why),
        };
        self.file
            .report(at, &self.full_key(name), message, problem.hint);
    }

    /// Report that `name` goes against another key, at the key.
    pub(crate) fn conflict(
        &self,
        name: &str,
        why: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let at = self.value(name).map_or(self.at, |(at, _)| at);
        self.invalid(
            name,
            at,
            Problem {
                why: why.into(),
                hint: hint.into(),
            },
        );
    }

    /// Report that the table as a whole is wrong, at its header.
    pub(crate) fn wrong(&self, message: String, hint: Option<String>) {
        self.file.report(self.at, &self.path, message, hint);
    }

    /// Read a value with `read`; a problem is reported and gives `None`, as does an absent key.
    pub(crate) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&DeValue<'a>) -> Result<T, Option<Problem>>,
    ) -> Option<T> {
        let (_, value) = self.value(name)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(problem) => {
                let problem =
                    problem.unwrap_or_else(|| self.wrong_type(self.kind.key(name), value));
                self.invalid(name, value.span().start, problem);
                None
            }
        }
    }

    /// A string that `check` accepts.
    pub(crate) fn string<T>(
        &self,
        name: &str,
        check: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        self.read(name, |value| {
            check(value.as_str().ok_or(None)?).map_err(Some)
        })
    }

    /// A string that `check` accepts, for values that people write as a bare number: `unquoted`
    /// says what is wrong with one, and `hint` how the number is written.
    pub(crate) fn quoted<T>(
        &self,
        name: &str,
        unquoted: &str,
        hint: impl Fn(&str) -> String,
        check: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let written = self
            .value(name)
            .map_or("", |(_, value)| self.given(value.span()));
        self.read(name, |value| match value {
            DeValue::String(text) => check(text).map_err(Some),
            DeValue::Integer(_) | DeValue::Float(_) => {
                let problem = Problem::new(format!("`{}` {unquoted}", shorten(written)));
                Err(Some(
                    problem.hint(format!("{name} = \"{}\"", hint(&shorten(written)))),
                ))
            }
            _ => Err(None),
        })
    }

    /// A duration between two others, both allowed.
    pub(crate) fn duration(&self, name: &str, least: &str, most: &str) -> Option<Duration> {
        let check = values::duration_within(least, most);
        self.quoted(name, "has no unit", |number| format!("{number}s"), check)
    }

    /// Report each of these times that cannot pass, since the `total-timeout` beside it is shorter.
    pub(crate) fn within_total(&self, times: &[(&str, Option<Duration>)], total: Option<Duration>) {
        for (name, time) in times {
            if let (Some(time), Some(total)) = (time, total)
                && *time > total
            {
                self.conflict(
                    name,
                    "it is longer than `total-timeout`, which ends the answer first",
                    "a longer `total-timeout`, or none".to_owned(),
                );
            }
        }
    }

    /// A size that is not below `least`.
    pub(crate) fn size(&self, name: &str, least: &str) -> Option<u64> {
        self.quoted(
            name,
            "has no unit",
            |number| format!("{number}M"),
            values::size_from(least),
        )
    }

    /// A whole number between two others, both allowed.
    pub(crate) fn number(&self, name: &str, least: u32, most: u32) -> Option<u32> {
        self.read(name, |value| {
            let written = value.as_integer().ok_or(None)?.as_str();
            match written.parse::<u32>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => Err(Some(Problem::new(format!(
                    "`{}` is not between {least} and {most}",
                    shorten(written)
                )))),
            }
        })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.read(name, |value| value.as_bool().ok_or(None))
    }

    /// A list of strings that `check` accepts; each wrong one is reported.
    pub(crate) fn strings<T>(
        &self,
        name: &str,
        check: impl Fn(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        let Some((_, value)) = self.value(name) else {
            return Vec::new();
        };
        let Some(list) = value.get_ref().as_array() else {
            let mut problem = self.wrong_type(self.kind.key(name), value);
            if value.get_ref().is_str() {
                problem.hint = Some(format!("{name} = [{}]", self.given(value.span())));
            }
            self.invalid(name, value.span().start, problem);
            return Vec::new();
        };
        let mut read = Vec::new();
        for item in list.iter() {
            let result = match item.get_ref().as_str() {
                Some(text) => check(text),
                None => Err(self.wrong_type(self.kind.key(name), item)),
            };
            match result {
                Ok(value) => read.push(value),
                Err(problem) => self.invalid(name, item.span().start, problem),
            }
        }
        read
    }

    /// The entries of a table of strings, each with the offsets of its key and its value.
    pub(crate) fn pairs(&self, name: &str) -> Vec<Pair<'a>> {
        let Some((_, value)) = self.value(name) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.invalid(
                name,
                value.span().start,
                self.wrong_type(self.kind.key(name), value),
            );
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (key, value) in table {
            match value.get_ref().as_str() {
                Some(text) => pairs.push(Pair {
                    key: key.get_ref(),
                    key_at: key.span().start,
                    value: text,
                    value_at: value.span().start,
                }),
                None => self.invalid(
                    name,
                    value.span().start,
                    self.wrong_type(self.kind.key(name), value),
                ),
            }
        }
        pairs
    }

    /// What a wrong type is told: what was given, what is wanted.
    pub(crate) fn wrong_type(&self, key: Option<&Key>, value: &Spanned<DeValue<'_>>) -> Problem {
        let wanted = key.map_or("something else", |key| key.wanted);
        let given = describe(value.get_ref(), self.given(value.span()));
        let problem = Problem::new(format!("wanted {wanted}, got {given}"));
        match key {
            Some(key) => problem.hint(format!("for example: {} = {}", key.name, key.example)),
            None => problem,
        }
    }

    /// The text of a value as it was written.
    pub(crate) fn given(&self, span: Range<usize>) -> &'a str {
        self.file.slice(span)
    }
}

/// An entry of a table of strings.
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a str,
    pub(crate) key_at: usize,
    pub(crate) value: &'a str,
    pub(crate) value_at: usize,
}

/// A value in words: ``the integer `30` ``.
pub(crate) fn describe(value: &DeValue<'_>, written: &str) -> String {
    let noun = match value {
        DeValue::String(_) => "the string",
        DeValue::Integer(_) => "the integer",
        DeValue::Float(_) => "the decimal number",
        DeValue::Boolean(_) => "the boolean",
        DeValue::Datetime(_) => "the date",
        DeValue::Array(list) if list.is_empty() => return "an empty list".into(),
        DeValue::Array(_) => return "a list".into(),
        DeValue::Table(_) => return "a table".into(),
    };
    format!("{noun} `{}`", shorten(written))
}

/// The beginning of a text that may be long.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
