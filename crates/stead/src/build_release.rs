//! The role `build-release`: builds a release of an app whose source is written out here, for an agent that runs it as a user without rights.
//! [`stead_model::build`] says what is asked and answered.
//!
//! It builds as `stead up` does, and prints nothing but lines of JSON.

use std::io::{self, Read};
use std::process::ExitCode;

use serde::Serialize;
use stead_build::{Progress, Source};
use stead_model::agent::Failed;
use stead_model::build::{BuildSaid, BuildWish, Built, PROTOCOL};

use crate::problem::{Fault, Problem, because};
use crate::render::Terminal;
use crate::source;

/// The longest that is read from an agent.
const LONGEST: u64 = 64 << 10;
/// A line that is longer is cut: whoever shows it shows less.
const LONGEST_OUTPUT: usize = 4096;

/// Build what standard input asks for.
pub(crate) fn run(terminal: &Terminal) -> Result<ExitCode, Problem> {
    let built = asked().and_then(|wish| build(&wish, terminal));
    let (last, code) = match built {
        Ok(built) => (BuildSaid::Built(Box::new(built)), ExitCode::SUCCESS),
        Err(problem) => (
            BuildSaid::Failed(Box::new(failed(problem))),
            ExitCode::FAILURE,
        ),
    };
    say(terminal, &last);
    Ok(code)
}

fn asked() -> Result<BuildWish, Problem> {
    let act = || Problem::new("cannot read what is to be built");
    let mut text = Vec::new();
    let read = io::stdin().lock().take(LONGEST).read_to_end(&mut text);
    read.map_err(|error| act().cause(because(&error)))?;
    let wish: BuildWish =
        serde_json::from_slice(&text).map_err(|error| act().cause(error.to_string()))?;
    match wish.protocol == PROTOCOL {
        true => Ok(wish),
        false => Err(act().cause(format!(
            "it is asked for in version {} of the protocol, and this program speaks {PROTOCOL}",
            wish.protocol
        ))),
    }
}

fn build(wish: &BuildWish, terminal: &Terminal) -> Result<Built, Problem> {
    let loaded = source::load_as(&wish.code, &wish.app)?;
    for note in loaded.detection.iter().flat_map(|found| &found.notes) {
        say(terminal, &BuildSaid::Note { text: note.clone() });
    }
    let source = Source {
        dir: wish.code.clone(),
        state: wish.state.clone(),
        number: wish.number,
        mark: None,
        keeps_environments: true,
    };
    let shown = Shown { terminal };
    let release = stead_build::prepare(&loaded.manifest, &source, &shown)?;
    Ok(Built {
        release,
        acme: loaded.manifest.acme,
        tls: loaded.manifest.tls,
    })
}

fn failed(problem: Problem) -> Failed {
    Failed {
        act: problem.act,
        place: problem.place,
        causes: problem.causes,
        state: problem.state,
        hint: problem.hint,
        log: problem.output,
        configuration: problem.fault == Fault::Invocation,
    }
}

/// Progress as lines.
struct Shown<'a> {
    terminal: &'a Terminal,
}

impl Progress for Shown<'_> {
    fn step(&self, text: &str) {
        let text = text.to_owned();
        say(self.terminal, &BuildSaid::Step { text });
    }

    fn output(&self, line: &str) {
        let line: String = line.chars().take(LONGEST_OUTPUT).collect();
        say(self.terminal, &BuildSaid::Output { line });
    }

    fn done(&self, detail: &str) {
        let detail = detail.to_owned();
        say(self.terminal, &BuildSaid::Ended { detail });
    }
}

fn say(terminal: &Terminal, said: &impl Serialize) {
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    terminal.raw(&line);
}
