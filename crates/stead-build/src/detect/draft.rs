//! The detection in the making.

use stead_model::manifest::{Manifest, Process, Program};

use crate::{Alternative, Detection, Finding, Origin, Variable};

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) manifest: Manifest,
    origins: Vec<Origin>,
    findings: Vec<Finding>,
    pub(crate) variables: Vec<Variable>,
    notes: Vec<String>,
    alternatives: Vec<Alternative>,
    /// The file that the `web` process begins with, where that is known.
    pub(crate) entry: Option<String>,
}

impl Draft {
    /// Say where the value of `key` came from.
    pub(crate) fn origin(&mut self, key: &str, from: impl Into<String>) {
        self.origins.retain(|origin| origin.key != key);
        self.origins.push(Origin {
            key: key.to_owned(),
            from: from.into(),
        });
    }

    /// Something that a person should know; said once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Something that keeps the app from coming up.
    pub(crate) fn missing(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.finding(text.into(), true, hint.into());
    }

    /// Something that does not keep the app from coming up, but that somebody should look at.
    pub(crate) fn warning(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.finding(text.into(), false, hint.into());
    }

    fn finding(&mut self, text: String, blocks: bool, hint: String) {
        if !self.findings.iter().any(|other| other.text == text) {
            self.findings.push(Finding {
                text,
                blocks,
                hint: Some(hint),
            });
        }
    }

    /// A choice that was not taken.
    pub(crate) fn alternative(&mut self, why: impl Into<String>, toml: impl Into<String>) {
        let (why, toml) = (why.into(), toml.into());
        if !self.alternatives.iter().any(|other| other.toml == toml) {
            self.alternatives.push(Alternative { why, toml });
        }
    }

    /// Set the program of process `name`.
    pub(crate) fn run(&mut self, name: &str, program: Program, from: impl Into<String>) {
        let key = match &program {
            Program::Wsgi(_) => "wsgi",
            Program::Asgi(_) => "asgi",
            Program::Command(_) => "command",
            Program::Static(_) => "static",
            Program::Uwsgi(_) => "uwsgi",
        };
        self.origin(&format!("process.{name}.{key}"), from);
        let mut process = Process::new(program);
        if name != "web" {
            process.count = stead_model::manifest::Count::Fixed(1);
        }
        self.manifest.process.insert(name.to_owned(), process);
    }

    pub(crate) fn finish(mut self) -> Detection {
        // What was decided after all is no alternative any more.
        let secrets = &self.manifest.secret;
        self.alternatives.retain(|alternative| {
            let table = alternative.toml.strip_prefix("[secret.");
            let name = table.and_then(|rest| rest.split_once(']'));
            name.is_none_or(|(name, _)| !secrets.contains_key(name))
        });
        Detection {
            manifest: self.manifest,
            origins: self.origins,
            findings: self.findings,
            variables: self.variables,
            notes: self.notes,
            alternatives: self.alternatives,
        }
    }
}

/// A TOML string on one line: quotes, backslashes and control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
