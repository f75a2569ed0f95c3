//! Words that shipped code does not contain.

use super::Complaint;
use super::code::{only_code, without_tests};
use super::tree::Tree;

/// The word and why not.
const FORBIDDEN: [(&str, &str); 5] = [
    ("todo!(", "finish it, or leave it out"),
    ("unimplemented!(", "finish it, or leave it out"),
    ("dbg!(", "take it out again"),
    (
        ".unwrap()",
        "return the error, or `expect` with the invariant",
    ),
    (".unwrap_unchecked()", "return the error"),
];

/// No forbidden word outside tests.
pub(crate) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.with_extension("rs").filter(|file| !file.is_test()) {
        let code = without_tests(&only_code(&file.text));
        for (at, line) in code.lines().enumerate() {
            for (word, why) in FORBIDDEN {
                if line.contains(word) {
                    let text = format!("`{word}`: {why}");
                    complaints.push(Complaint::new(&file.path, at + 1, text));
                }
            }
        }
    }
    complaints
}
