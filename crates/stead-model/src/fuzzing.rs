//! Doors for the fuzz targets in `fuzz/`; nobody else's business.
#![allow(missing_docs, clippy::expect_used)]

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agent::{Answer, Question};
use crate::build::{BuildSaid, BuildWish};
use crate::logs::{LogLine, LogSaid, LogWish};
use crate::manifest::Manifest;
use crate::release::Release;
use crate::tree::{Kind, Tree};
use crate::{procfile, push, schedule, webhook};

/// Any text is a manifest or a list of errors, each at a place of the text.
pub fn manifest(text: &str) {
    let Err(errors) = Manifest::parse(text, "stead.toml") else {
        return;
    };
    assert!(!errors.errors.is_empty());
    for error in &errors.errors {
        let line = text.split('\n').nth(error.line - 1);
        let line = line.expect("a line of the text");
        assert!(error.column <= line.chars().count() + 1);
        assert!(!error.message.contains('\n'));
    }
}

/// Any text is a Procfile or a list of errors; what is accepted reads back as itself.
pub fn procfile(text: &str) {
    let Ok(entries) = procfile::parse(text, "Procfile") else {
        return;
    };
    let pairs = |entries: &[procfile::Entry]| -> Vec<(String, String)> {
        let pair = |entry: &procfile::Entry| (entry.name.clone(), entry.command.clone());
        entries.iter().map(pair).collect()
    };
    let lines = entries
        .iter()
        .map(|entry| format!("{}: {}\n", entry.name, entry.command));
    let written: String = lines.collect();
    let again = procfile::parse(&written, "Procfile").expect("what was read can be written");
    assert_eq!(pairs(&entries), pairs(&again));
}

/// A schedule that is accepted has a next time, which is later; one that is not has none.
pub fn schedule(text: &str) {
    let now = Timestamp::UNIX_EPOCH;
    let next = schedule::next_after(text, None, now);
    match schedule::validate(text) {
        Ok(()) => assert!(next.is_none_or(|next| next > now)),
        Err(why) => assert!(!why.is_empty() && next.is_none()),
    }
}

/// Lines between laptop, host and agent stay the same when they are written again; a wish that is let through has only names
/// in it that may become paths and units.
pub fn agent_lines(text: &str) {
    for line in text.split('\n') {
        if let Some(question) = stays::<Question>(line)
            && question.wish.check().is_ok()
            && let Some(app) = question.wish.app()
        {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(!app.is_empty() && app.chars().all(plain));
        }
        stays::<Answer>(line);
        stays::<LogSaid>(line);
        let _ = LogLine::of_journal(line);
        if let Some(Ok(words)) = stays::<LogWish>(line).map(|wish| wish.arguments()) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-=_.".contains(c);
            assert!(words.iter().all(|word| word.chars().all(plain)));
        }
        stays::<Release>(line);
        stays::<BuildWish>(line);
        stays::<BuildSaid>(line);
    }
}

/// What is taken of a push is one commit of the branch, and a repository that is let through stays inside its app's directory.
pub fn push(text: &str) {
    if let Ok(commit) = push::judge(text, "main") {
        assert!(commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(text.lines().all(|line| line.ends_with(" refs/heads/main")));
    }
    for line in text.lines() {
        if let Some(repository) = stays::<push::Repository>(line)
            && repository.check().is_ok()
        {
            assert!(!repository.app.contains(['/', '.']));
            assert!(repository.directory.split('/').all(|part| part != ".."));
            assert!(!repository.branch.contains(['\n', ' ']));
        }
        stays::<push::Prepared>(line);
    }
}

/// The body of a delivery, behind a line with its event, is a push of the branch or is none.
pub fn webhook(text: &str) {
    let (event, body) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(webhook::Delivery::Push) = webhook::read(event, body.as_bytes(), "main") {
        assert!(event == "push" || event == "Push Hook");
    }
}

/// A listing that is taken is the only text for its tree, and none of its paths leaves a directory.
pub fn tree_listing(text: &str) {
    let Ok(tree) = Tree::read(text.as_bytes()) else {
        return;
    };
    assert_eq!(tree.text(), text.as_bytes());
    let again = Tree::new(tree.entries().to_vec()).expect("what was read is a tree");
    assert_eq!(again, tree);
    for entry in tree.entries() {
        let parts: Vec<&[u8]> = entry.path.split(|byte| *byte == b'/').collect();
        let plain = |part: &&[u8]| !part.is_empty() && *part != b"." && *part != b"..";
        assert!(parts.iter().all(plain) && !entry.path.contains(&0));
        if let Kind::Link { target } = &entry.kind {
            assert!(!target.starts_with(b"/"));
            let ups = target
                .split(|byte| *byte == b'/')
                .take_while(|part| *part == b"..");
            assert!(ups.count() < parts.len());
        }
    }
}

/// A line as a message, if it is one.
fn stays<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(line: &str) -> Option<T> {
    let message: T = serde_json::from_str(line).ok()?;
    let written = serde_json::to_string(&message).expect("what was read can be written");
    assert!(!written.contains('\n'));
    let again: T = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(message, again);
    Some(message)
}

/// Carry out one input of the target of that name.
///
/// # Panics
/// When a claim does not hold.
pub fn replay(target: &str, text: &str) {
    match target {
        "manifest" => manifest(text),
        "procfile" => procfile(text),
        "schedule" => schedule(text),
        "agent_lines" => agent_lines(text),
        "push" => push(text),
        "webhook" => webhook(text),
        "tree_listing" => tree_listing(text),
        _ => panic!("there is no such target"),
    }
}

#[cfg(test)]
mod tests {
    use super::replay;

    /// What cargo-fuzz starts from, and what it found; and every truncation of it.
    #[test]
    fn the_seeds_of_the_fuzzers_hold_wherever_they_are_cut() {
        let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
        let mut targets = 0;
        for entry in std::fs::read_dir(format!("{fuzz}/fuzz_targets")).unwrap() {
            let file = entry.unwrap().path();
            let target = file.file_stem().unwrap().to_str().unwrap();
            // Those of the edge are replayed in its own tests.
            let source = std::fs::read_to_string(&file).unwrap();
            if !source.contains("stead_model") {
                continue;
            }
            let mut count = 0;
            for seed in std::fs::read_dir(format!("{fuzz}/seeds/{target}")).unwrap() {
                let text = std::fs::read_to_string(seed.unwrap().path()).unwrap();
                for (end, _) in text.char_indices() {
                    replay(target, &text[..end]);
                }
                replay(target, &text);
                count += 1;
            }
            assert!(count > 5, "`{target}` has its seeds");
            targets += 1;
        }
        assert!(targets > 2, "the targets were found");
    }
}
