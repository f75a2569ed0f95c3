//! Rules about documents: links, commands, decision notes.

use std::path::{Component, Path, PathBuf};

use clap::Parser;

use super::Complaint;
use super::tree::{File, Tree};
use crate::Task;

/// What stands where real output is still to come.
const PLACEHOLDER: &str = concat!("OUTPUT", "-TO-FILL");

/// Every relative link leads to a file.
pub(crate) fn links(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.with_extension("md") {
        for (number, line) in prose(file) {
            for target in targets(line) {
                let path = target.split('#').next().unwrap_or_default();
                if target.contains("://") || target.starts_with("mailto:") || path.is_empty() {
                    continue;
                }
                if !tree.contains(&beside(&file.path, path)) {
                    let text = format!("the link to `{path}` leads nowhere");
                    complaints.push(Complaint::new(&file.path, number, text));
                }
            }
        }
    }
    complaints
}

/// Every command of ours that a document shows can be typed.
pub(crate) fn commands(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    // A decision note may speak of what is planned.
    let binding = |file: &&File| !file.is_test() && !file.path.starts_with("docs/decisions");
    for file in tree.with_extension("md").filter(binding) {
        for (number, command) in shown(file) {
            let words: Vec<&str> = command.split_whitespace().collect();
            let wrong = match words.as_slice() {
                ["cargo", "xtask", ..] => unknown_task(&words[1..]),
                ["cargo", "run", rest @ ..] => match rest.iter().position(|word| *word == "--") {
                    Some(at) => unknown_verb(tree, &rest[at + 1..]),
                    None => None,
                },
                ["stead", rest @ ..] => unknown_verb(tree, rest),
                _ => None,
            };
            if let Some(why) = wrong {
                complaints.push(Complaint::new(&file.path, number, why));
            }
        }
    }
    complaints
}

/// `NNNN-title.md`, each number once and without a gap, each with its three parts.
pub(crate) fn decisions(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let notes = tree
        .with_extension("md")
        .filter(|file| file.path.starts_with("docs/decisions"));
    for (at, file) in notes.enumerate() {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(&format!("{:04}-", at + 1)) {
            let text = format!("is number {:04} in its place", at + 1);
            complaints.push(Complaint::new(&file.path, 0, text));
        }
        for part in ["## Context", "## Choice", "## What it costs"] {
            if !file.text.lines().any(|line| line == part) {
                complaints.push(Complaint::new(&file.path, 0, format!("has no `{part}`")));
            }
        }
    }
    complaints
}

/// `docs/stead-toml.md` is as it would be written now.
pub(crate) fn reference(tree: &Tree) -> Vec<Complaint> {
    const PAGE: &str = "docs/stead-toml.md";
    match crate::reference::reference(&tree.root) {
        Ok(page) if tree.text(PAGE) == Some(page.as_str()) => Vec::new(),
        Ok(_) => vec![Complaint::new(PAGE, 0, "is old: cargo xtask reference")],
        Err(why) => vec![Complaint::new(PAGE, 0, why)],
    }
}

/// Real output stands where a document promises output.
pub(crate) fn placeholders(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.with_extension("md") {
        for (number, _) in file.lines().filter(|(_, line)| line.contains(PLACEHOLDER)) {
            complaints.push(Complaint::new(&file.path, number, "output is missing here"));
        }
    }
    complaints
}

/// The lines outside fenced blocks.
fn prose(file: &File) -> Vec<(usize, &str)> {
    let mut fenced = false;
    file.lines()
        .filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .collect()
}

/// The commands in inline code, and in fenced blocks those after `$ ` or at the start of a line
/// of a block marked `sh`.
fn shown(file: &File) -> Vec<(usize, &str)> {
    let mut commands = Vec::new();
    let mut block = None;
    for (number, line) in file.lines() {
        let line = line.trim();
        match (block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (Some("sh"), None) if !line.starts_with('$') => commands.push((number, line)),
            (Some(_), None) => commands.extend(line.strip_prefix("$ ").map(|c| (number, c))),
            (None, None) => {
                let inline = line.split('`').skip(1).step_by(2);
                commands.extend(inline.map(|code| (number, code)));
            }
        }
    }
    for (_, command) in &mut commands {
        *command = command
            .split([';', '|', '&', '#'])
            .next()
            .unwrap_or_default()
            .trim();
    }
    commands
}

/// `](target)` of every link of a line, inline code left out.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for text in line.split('`').step_by(2) {
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            targets.extend(rest.find(')').map(|end| &rest[..end]));
        }
    }
    targets
}

/// `path` as seen from the directory of `file`, without `.` and `..`.
fn beside(file: &Path, path: &str) -> PathBuf {
    let mut result = file.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                result.pop();
            }
            Component::Normal(name) => result.push(name),
            _ => {}
        }
    }
    result
}

/// Why a command of the binary cannot be typed. It has one file for each verb, whose fields
/// are the verb's options.
fn unknown_verb(tree: &Tree, words: &[&str]) -> Option<String> {
    let verb = words.iter().find(|word| !word.starts_with('-'))?;
    // Not a command: `stead` in a sentence, or a placeholder.
    if !verb.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
        return None;
    }
    let Some(own) = tree.text(&format!("crates/stead/src/cli/{verb}.rs")) else {
        return Some(format!("`stead {verb}` does not exist"));
    };
    let shared = tree.text("crates/stead/src/cli.rs").unwrap_or_default();
    let known = |option: &str| {
        let field = format!("{}:", option.replace('-', "_"));
        let given = format!("\"{option}\"");
        ["help", "version"].contains(&option)
            || [own, shared]
                .iter()
                .any(|text| text.contains(&field) || text.contains(&given))
    };
    words
        .iter()
        .filter_map(|word| word.strip_prefix("--")?.split('=').next())
        .find(|option| !option.is_empty() && !known(option))
        .map(|option| format!("`stead {verb}` has no `--{option}`"))
}

fn unknown_task(words: &[&str]) -> Option<String> {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
    };
    if words.iter().any(|word| word.contains(['[', '<', '…', '{'])) {
        return None;
    }
    let error = Task::try_parse_from(words).err()?;
    match error.kind() {
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => None,
        _ => Some(format!("`cargo {}` does not exist", words.join(" "))),
    }
}
