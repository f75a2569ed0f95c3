//! Rules about files of code: how long, and what they are called; and reading Rust just well
//! enough to tell code from comments, strings and tests.

use super::Complaint;
use super::tree::{File, Tree};

/// Longer than this, tests not counted, and a file wants to be two.
const LONGEST: usize = 800;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "common", "helper", "helpers", "manager", "misc", "util", "utils", "mod",
];

/// Files that are one on purpose, with the limit that they get instead.
const LONGER: [(&str, usize); 1] = [
    // The worker is handed to any Python as one file without a package around it (decision 0001).
    ("crates/stead-build/worker/stead_worker.py", 1200),
];

const CODE: [&str; 7] = ["rs", "py", "js", "lua", "html", "css", "sh"];

/// No file is too long.
pub(crate) fn sizes(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in CODE.iter().flat_map(|e| tree.with_extension(e)) {
        if file.is_test() {
            continue;
        }
        let lines = if file.path.extension().is_some_and(|e| e == "rs") {
            // What is blanked out by `only_code` is tests, here: comments count.
            file.text.lines().count() - test_lines(&only_code(&file.text))
        } else {
            file.text.lines().count()
        };
        let own = LONGER.iter().find(|(path, _)| file.path.ends_with(path));
        let limit = own.map_or(LONGEST, |(_, limit)| *limit);
        if lines > limit {
            let text = format!("{lines} lines without its tests; {limit} is the limit");
            complaints.push(Complaint::new(&file.path, 0, text));
        }
    }
    complaints
}

/// Every module's name is a noun of its own.
pub(crate) fn names(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.with_extension("rs").filter(|file| !is_example(file)) {
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        if stem == "mod" {
            let text = "a module `foo` lives in `foo.rs` and `foo/`, not in `foo/mod.rs`";
            complaints.push(Complaint::new(&file.path, 0, text));
        } else if EMPTY_NAMES.contains(&stem.as_ref()) {
            let text = format!("`{stem}` says nothing: name the noun that is inside");
            complaints.push(Complaint::new(&file.path, 0, text));
        }
    }
    complaints
}

fn is_example(file: &File) -> bool {
    file.path.starts_with("examples")
}

/// How many lines of `code` belong to items under `#[cfg(test)]`.
fn test_lines(code: &str) -> usize {
    test_spans(code)
        .iter()
        .map(|span| code[span.clone()].lines().count())
        .sum()
}

/// `code` without its `#[cfg(test)]` items; every line stays where it is.
pub(crate) fn without_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for span in test_spans(code) {
        for byte in &mut bytes[span] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where `#[cfg(test)]` items are, attribute included, in text that `only_code` made.
fn test_spans(code: &str) -> Vec<std::ops::Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let mut spans = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find(MARK) {
        let start = from + at;
        let mut depth = 0_usize;
        let mut end = code.len();
        for (offset, c) in code[start + MARK.len()..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => {}
                _ => continue,
            }
            if depth == 0 && c != '{' {
                end = start + MARK.len() + offset + 1;
                break;
            }
        }
        spans.push(start..end);
        from = end;
    }
    spans
}

/// Rust with its comments and the insides of its literals blanked out, byte for byte, so that
/// lines and offsets stay.
pub(crate) fn only_code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !follows_word(bytes, at) => raw_string_end(bytes, at),
            b'\'' => character_end(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| bytes.get(at));
    // `br"…"`: the b is a prefix, not a word.
    before.is_some_and(|b| *b != b'b' && (b.is_ascii_alphanumeric() || *b == b'_'))
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let newline = bytes[at..].iter().position(|b| *b == b'\n');
    newline.map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = at;
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return at;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let found = bytes[open + 1..]
        .windows(close.len())
        .position(|w| w == close);
    found.map_or(bytes.len(), |n| open + 1 + n + close.len())
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn character_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at + 1) {
        Some(b'\\') => {
            let close = bytes[(at + 3).min(bytes.len())..]
                .iter()
                .position(|b| *b == b'\'');
            close.map_or(at, |n| at + 3 + n + 1)
        }
        Some(first) => {
            // One character of one to four bytes.
            let width = match first {
                0..0x80 => 1,
                0x80..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            let close = at + 1 + width;
            if bytes.get(close) == Some(&b'\'') {
                close + 1
            } else {
                at
            }
        }
        None => at,
    }
}
