//! requirements.txt as people have it: with included files and constraints, in UTF-16 when a
//! Windows shell wrote it, with paths of somebody else's conda in it.
//!
//! uv reads the file as it stands unless something in it must be changed first; then it gets one
//! flat text, and a note says what was changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Dependencies, Install, because, normalized};
use crate::Error;

/// Read the requirements file at `path`. Relative paths of packages in it are relative to `code`,
/// as they are for pip, which is run there.
pub(crate) fn read(path: &Path, code: &Path) -> Result<Dependencies, Error> {
    let mut reader = Reader::new(code);
    reader.file(path, None)?;
    let install = if reader.notes.is_empty() {
        Install::File {
            path: path.to_owned(),
            hashed: reader.hashed,
        }
    } else {
        Install::Text {
            text: reader.flat,
            hashed: reader.hashed,
            complete: false,
        }
    };
    Ok(Dependencies {
        origin: Some(shown(path, code)),
        keyed: reader.keyed,
        install,
        project: None,
        notes: reader.notes,
    })
}

/// Content of the files that a text includes, by name.
pub(super) type Keyed = Vec<(String, Vec<u8>)>;

/// Lines that were found elsewhere, as if they stood in a file in `code`.
pub(super) fn of_content(text: &str, code: &Path) -> Result<(Keyed, Install, Vec<String>), Error> {
    let mut reader = Reader::new(code);
    for (_, line) in joined(text) {
        // Its lines are not those of the environment.yml.
        let at = At {
            file: "environment.yml",
            line: None,
        };
        reader.line(&line, code, at)?;
    }
    let install = Install::Text {
        text: reader.flat,
        hashed: reader.hashed,
        complete: false,
    };
    Ok((reader.keyed, install, reader.notes))
}

fn shown(path: &Path, code: &Path) -> String {
    path.strip_prefix(code)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Where a line stands, for messages.
#[derive(Clone, Copy)]
struct At<'l> {
    file: &'l str,
    line: Option<usize>,
}

impl At<'_> {
    /// Why a file that this line names is read.
    fn includes(self) -> String {
        match self.line {
            Some(line) => format!("`{}` includes it in line {line}", self.file),
            None => format!("`{}` includes it", self.file),
        }
    }
}

struct Reader<'a> {
    code: &'a Path,
    flat: String,
    keyed: Vec<(String, Vec<u8>)>,
    notes: Vec<String>,
    hashed: bool,
    seen: BTreeSet<PathBuf>,
}

impl<'a> Reader<'a> {
    fn new(code: &'a Path) -> Self {
        Self {
            code,
            flat: String::new(),
            keyed: Vec::new(),
            notes: Vec::new(),
            hashed: false,
            seen: BTreeSet::new(),
        }
    }

    /// A file that `from` includes, if it is not the first.
    fn file(&mut self, path: &Path, from: Option<At<'_>>) -> Result<(), Error> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        let name = shown(path, self.code);
        let bytes = self.bytes(path, from)?;
        let text = match decode(&bytes) {
            Some((text, true)) => text,
            Some((text, false)) => {
                self.notes
                    .push(format!("`{name}` is not UTF-8 and is read as UTF-16"));
                text
            }
            None => {
                return Err(Error::new(
                    format!("cannot read `{name}`"),
                    vec!["it is neither UTF-8 nor UTF-16 text".into()],
                ));
            }
        };
        self.keyed.push((name.clone(), bytes));
        let directory = path.parent().unwrap_or(self.code).to_owned();
        for (number, line) in joined(&text) {
            let at = At {
                file: &name,
                line: Some(number),
            };
            self.line(&line, &directory, at)?;
        }
        Ok(())
    }

    fn bytes(&self, path: &Path, from: Option<At<'_>>) -> Result<Vec<u8>, Error> {
        std::fs::read(path).map_err(|error| {
            let mut causes: Vec<String> = from.map(At::includes).into_iter().collect();
            causes.push(because(path, &error));
            Error::new(format!("cannot read `{}`", shown(path, self.code)), causes)
        })
    }

    fn line(&mut self, line: &str, directory: &Path, at: At<'_>) -> Result<(), Error> {
        let bare = without_comment(line);
        if bare.is_empty() {
            return Ok(());
        }
        if bare.contains("--hash=") || bare.contains("--hash ") {
            self.hashed = true;
        }
        if let Some(other) = option(bare, &["-r", "--requirement"]) {
            // uv fetches what is an address.
            if other.contains("://") {
                self.push(bare);
                return Ok(());
            }
            return self.file(&directory.join(other), Some(at));
        }
        if let Some(other) = option(bare, &["-c", "--constraint"]) {
            if other.contains("://") {
                self.push(bare);
                return Ok(());
            }
            let path = directory.join(other);
            let bytes = self.bytes(&path, Some(at))?;
            self.keyed.push((shown(&path, self.code), bytes));
            self.push(&format!("-c {}", path.display()));
            return Ok(());
        }
        if let Some(other) = option(bare, &["-f", "--find-links"]) {
            let path = directory.join(other);
            match other.contains("://") || !path.exists() {
                true => self.push(bare),
                false => self.push(&format!("--find-links {}", path.display())),
            }
            return Ok(());
        }
        if let Some(target) = option(bare, &["-e", "--editable"]) {
            let line = match self.local(target, directory, true) {
                Some(path) => format!("-e {path}"),
                None => {
                    is_there(target, at)?;
                    bare.to_owned()
                }
            };
            self.push(&line);
            return Ok(());
        }
        if bare.starts_with('-') {
            self.push(bare);
            return Ok(());
        }
        self.requirement(bare, directory, at)
    }

    fn requirement(&mut self, bare: &str, directory: &Path, at: At<'_>) -> Result<(), Error> {
        let file = at.file;
        if matches!(
            bare.split_whitespace().next(),
            Some("pkg-resources==0.0.0" | "pkg_resources==0.0.0")
        ) {
            self.notes.push(format!(
                "`pkg-resources==0.0.0` of `{file}` is left out: no index has it, Debian's pip once listed it by mistake"
            ));
            return Ok(());
        }
        if let Some((name, url)) = bare.split_once(" @ ")
            && let Some(path) = url.trim().strip_prefix("file://")
        {
            let path = path.split([' ', ';', '#']).next().unwrap_or_default();
            if !Path::new(path).exists() {
                self.notes.push(format!(
                    "`{}` of `{file}` names a file of another machine (`{path}`): its newest version from the index is taken; write `{}==VERSION`",
                    name.trim(),
                    name.trim()
                ));
                self.push(name.trim());
                return Ok(());
            }
        }
        let is_path = bare.starts_with(['.', '/'])
            || bare
                .split([' ', ';'])
                .next()
                .is_some_and(|word| word.ends_with(".whl") || word.ends_with(".tar.gz"))
                && !bare.contains("://");
        match is_path
            .then(|| self.local(bare, directory, false))
            .flatten()
        {
            Some(path) => self.push(&path),
            None => {
                if is_path {
                    is_there(bare, at)?;
                }
                self.push(bare);
            }
        }
        Ok(())
    }

    /// The absolute form of a local path (with its extras and marker), whose content goes into the key.
    fn local(&mut self, target: &str, directory: &Path, editable: bool) -> Option<String> {
        if target.contains("://") {
            return None;
        }
        let end = target.find(['[', ';', ' ']).unwrap_or(target.len());
        let (path, rest) = target.split_at(end);
        let path = [self.code, directory]
            .iter()
            .map(|base| base.join(path))
            .find(|path| path.exists())?;
        let path = path.canonicalize().ok()?;
        self.keyed.extend(project_files(&path));
        if path.is_dir() && !editable {
            // It is copied into the environment.
            let content = crate::tree::content(&path).into_bytes();
            self.keyed.push((path.display().to_string(), content));
        }
        Some(format!("{}{rest}", path.display()))
    }

    fn push(&mut self, line: &str) {
        self.flat.push_str(line);
        self.flat.push('\n');
    }
}

/// A path that a line names and that was not found is an error, unless it is no path after all.
fn is_there(target: &str, at: At<'_>) -> Result<(), Error> {
    if target.contains("://") || target.contains("${") || target.contains('@') {
        return Ok(());
    }
    let end = target.find(['[', ';', ' ']).unwrap_or(target.len());
    let path = target.get(..end).unwrap_or(target);
    let line = at
        .line
        .map_or(String::new(), |line| format!(" in line {line}"));
    Err(Error::new(
        format!("cannot install `{path}`"),
        vec![
            format!("`{}` names it{line}", at.file),
            "there is no such file or directory".to_owned(),
        ],
    ))
}

/// What decides how a local package is installed: the file itself, or a project's metadata.
pub(crate) fn project_files(path: &Path) -> Vec<(String, Vec<u8>)> {
    if path.is_file() {
        return std::fs::read(path)
            .map(|bytes| vec![(path.display().to_string(), bytes)])
            .unwrap_or_default();
    }
    ["pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in"]
        .iter()
        .filter_map(|name| {
            let path = path.join(name);
            Some((path.display().to_string(), std::fs::read(&path).ok()?))
        })
        .collect()
}

/// The name that a line asks for, normalized; `None` for options, paths and addresses.
pub(crate) fn name_of(line: &str) -> Option<String> {
    let bare = without_comment(line.trim());
    if bare.starts_with(['-', '.', '/']) {
        return None;
    }
    let end = bare
        .find(|character: char| !(character.is_ascii_alphanumeric() || "-_.".contains(character)))
        .unwrap_or(bare.len());
    let name = bare.get(..end)?;
    let rest = bare.get(end..)?.trim_start();
    (!name.is_empty() && !rest.starts_with(':') && !rest.starts_with('/')).then(|| normalized(name))
}

/// The value of an option in any of pip's spellings: `-r x`, `-rx`, `--requirement=x`.
fn option<'a>(line: &'a str, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let long = name.starts_with("--");
        match rest.chars().next() {
            Some('=') if long => Some(rest.trim_start_matches('=').trim()),
            Some(space) if space.is_whitespace() => Some(rest.trim()),
            Some(_) if !long => Some(rest.trim()),
            _ => None,
        }
        .map(|value| value.trim_matches(['"', '\'']))
    })
}

/// pip's comment: `#` at the start or after white space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        if character == '#' && before.is_whitespace() {
            return line.get(..at).unwrap_or(line).trim();
        }
        before = character;
    }
    line.trim()
}

/// Lines with `\` continuations put together, with the number of the last one.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open = String::new();
    let mut number = 0;
    for line in text.lines() {
        number += 1;
        match line.strip_suffix('\\') {
            // A comment goes on nowhere, whatever it ends with.
            Some(start) if !line.trim_start().starts_with('#') => {
                open.push_str(start);
                open.push(' ');
            }
            _ => {
                open.push_str(line);
                lines.push((number, std::mem::take(&mut open).trim().to_owned()));
            }
        }
    }
    if !open.is_empty() {
        lines.push((number, open.trim().to_owned()));
    }
    lines
}

/// Text and whether it is plain UTF-8, which uv reads itself.
pub(crate) fn decode(bytes: &[u8]) -> Option<(String, bool)> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('\0')
    {
        return Some((text.trim_start_matches('\u{feff}').to_owned(), true));
    }
    let (big, rest) = match bytes {
        [0xff, 0xfe, rest @ ..] => (false, rest),
        [0xfe, 0xff, rest @ ..] => (true, rest),
        [_, 0, ..] => (false, bytes),
        _ => return None,
    };
    let units: Vec<u16> = rest
        .chunks_exact(2)
        .map(|pair| match (pair, big) {
            ([high, low], true) => u16::from_be_bytes([*high, *low]),
            ([low, high], _) => u16::from_le_bytes([*low, *high]),
            _ => 0,
        })
        .collect();
    Some((String::from_utf16(&units).ok()?, false))
}

#[cfg(test)]
mod tests;
