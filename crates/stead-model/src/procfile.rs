//! The Procfile as Heroku's: a line for each process, `name: shell line`.

use std::collections::BTreeMap;

use crate::config_error::{ConfigErrors, Problem, SourceFile};
use crate::manifest::{self, Count, Process, Program};

/// One line of a Procfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `web`, `worker`, `release`, …
    pub name: String,
    /// A shell line: it may use `$PORT`, `;` and `&&`.
    pub command: String,
    /// Counts from 1.
    pub line: usize,
}

/// Read a Procfile: its entries in the order of the file. Blank lines and lines that begin with
/// `#` say nothing. `file_name` is how errors name it; every wrong line is reported at once.
pub fn parse(text: &str, file_name: &str) -> Result<Vec<Entry>, ConfigErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = SourceFile::new(file_name, text);
    let mut entries: Vec<Entry> = Vec::new();
    let mut start = 0;
    for (index, line) in text.split('\n').enumerate() {
        let at = start + (line.len() - line.trim_start().len());
        start += line.len() + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line, index + 1) {
            Ok(entry) => match entries.iter().find(|other| other.name == entry.name) {
                Some(other) => {
                    let message = format!(
                        "`{}` is given twice, first in line {}",
                        entry.name, other.line
                    );
                    file.report(at, &entry.name, message, Some("keep one of the two".into()));
                }
                None => entries.push(entry),
            },
            Err(problem) => {
                let message = format!(
                    "invalid line `{}`: {}",
                    manifest::shorten(line),
                    problem.why
                );
                file.report(at, "", message, problem.hint);
            }
        }
    }
    file.finish(entries)
}

fn entry(line: &str, number: usize) -> Result<Entry, Problem> {
    let example = "a line is a name, a colon and a command: web: gunicorn shop:app";
    let Some((name, command)) = line.split_once(':') else {
        return Err(Problem::new("it has no colon").hint(example));
    };
    let (name, command) = (name.trim_end(), command.trim());
    manifest::name(name).map_err(|problem| Problem {
        why: format!(
            "`{}` before the colon is not a name: {}",
            manifest::shorten(name),
            problem.why
        ),
        hint: Some(example.into()),
    })?;
    let command = manifest::shell_line(command).map_err(|problem| Problem {
        why: format!("the command of `{name}` is not one: {}", problem.why),
        hint: Some(example.into()),
    })?;
    Ok(Entry {
        name: name.to_owned(),
        command,
        line: number,
    })
}

/// What runs once for each release: the line `release`.
pub fn release_command(entries: &[Entry]) -> Option<&str> {
    entries
        .iter()
        .find(|entry| entry.name == "release")
        .map(|entry| entry.command.as_str())
}

/// The processes: every line but `release`. Their programs are shell lines; `web` is counted
/// automatically, others run once.
pub fn processes(entries: &[Entry]) -> BTreeMap<String, Process> {
    entries
        .iter()
        .filter(|entry| entry.name != "release")
        .map(|entry| {
            let mut process = Process::new(Program::Command(entry.command.clone()));
            if entry.name != "web" {
                process.count = Count::Fixed(1);
            }
            (entry.name.clone(), process)
        })
        .collect()
}
