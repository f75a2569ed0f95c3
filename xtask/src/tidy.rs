//! `cargo xtask tidy`: the house rules that no compiler knows.
//!
//! Each rule is a function from the tree to complaints. It reads files and runs `cargo tree`; it
//! never changes anything.

mod arrows;
mod code;
mod dependencies;
mod documents;
mod examples;
mod lexicon;
mod tree;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::tree::Tree;
use crate::test::Count;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Relative to the workspace.
    pub(crate) file: PathBuf,
    /// From 1; 0: the file as a whole.
    pub(crate) line: usize,
    /// What is wrong, and what to do.
    pub(crate) text: String,
}

impl Complaint {
    fn new(file: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// A rule and what it is called in the output.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Vec<Complaint>,
}

const RULES: [Rule; 13] = [
    rule("files are under 800 lines", code::sizes),
    rule("modules have names that say something", code::names),
    rule("code keeps to the forbidden words", words::check),
    rule("arrows between crates point down", arrows::check),
    rule("the model is pure", arrows::purity),
    rule("banned crates are not used", dependencies::check),
    rule("documents use the lexicon", lexicon::check),
    rule("links lead somewhere", documents::links),
    rule("commands in documents exist", documents::commands),
    rule("the tests run each example", examples::check),
    rule("decision notes are numbered", documents::decisions),
    rule("the reference is as the types say", documents::reference),
    rule("no placeholder is left", documents::placeholders),
];

const fn rule(name: &'static str, check: fn(&Tree) -> Vec<Complaint>) -> Rule {
    Rule { name, check }
}

/// The task.
pub(crate) fn run(root: &Path) -> ExitCode {
    let count = check_and_print(root);
    println!("{count}");
    if count.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One test for each rule.
pub(crate) fn check_and_print(root: &Path) -> Count {
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            println!("cannot read {}: {error}", root.display());
            return Count::one(false);
        }
    };
    let mut count = Count::default();
    for rule in &RULES {
        let complaints = (rule.check)(&tree);
        count += Count::one(complaints.is_empty());
        if !complaints.is_empty() {
            println!("not so: {}", rule.name);
        }
        for complaint in complaints {
            println!("  {complaint}");
        }
    }
    count
}

#[cfg(test)]
mod tests;
