//! Everything that a person sees, and the only place that prints.
//!
//! Facts go to stdout, errors and progress to stderr. Colours and moving lines appear only on a
//! terminal that wants them. A reader that went away (`stead check | head -1`) is no error; facts that
//! could not be written (`stead check > /dev/full`) are one, which [`Terminal::unwritten`] tells at the end.

pub(crate) mod apps;
mod certificates;
mod edge;
mod error;
mod facts;
pub(crate) mod hosts;
mod line;
mod live;
mod steps;
mod text;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::AutoStream;
use indicatif::ProgressBar;

pub(crate) use certificates::{
    certificates_json, certificates_of_hosts, certificates_of_hosts_json, certificates_text,
    imported, renewals_json, renewals_of_hosts, renewals_of_hosts_json, renewals_text,
};
pub(crate) use edge::{cut_off, edge_status, upgraded};
pub(crate) use facts::{check_json, check_text};
pub(crate) use live::{Event, Live};
pub(crate) use steps::Steps;

use crate::problem::{Problem, because};

/// Where a person looks. Cheap to clone; lines of several threads never mix.
#[derive(Clone)]
pub(crate) struct Terminal {
    screen: Arc<Mutex<Screen>>,
    /// stderr is a terminal: moving lines are welcome.
    pub(crate) moving: bool,
}

struct Screen {
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    bar: Option<ProgressBar>,
    /// Why stdout did not take something, the first time.
    unwritten: Option<io::Error>,
}

impl Screen {
    fn remember(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != ErrorKind::BrokenPipe
        {
            self.unwritten.get_or_insert(error);
        }
    }
}

impl Terminal {
    /// stdout and stderr of this process, as `--color`, `NO_COLOR` and the terminal want them.
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            screen: Arc::new(Mutex::new(Screen {
                out: AutoStream::auto(io::stdout()),
                err: AutoStream::auto(io::stderr()),
                bar: None,
                unwritten: None,
            })),
            moving: io::stderr().is_terminal() && !dumb,
        }
    }

    /// Print to stdout as it is; `text` ends its own lines.
    pub(crate) fn out(&self, text: &str) {
        self.write(|screen| {
            let written = screen.out.write_all(text.as_bytes());
            let written = written.and_then(|()| screen.out.flush());
            screen.remember(written);
        });
    }

    /// Print to stderr as it is; `text` ends its own lines.
    pub(crate) fn err(&self, text: &str) {
        self.write(|screen| {
            let _ = screen.err.write_all(text.as_bytes());
        });
    }

    /// Print bytes that no style may touch: completion scripts, JSON.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        self.write(|screen| {
            let mut out = io::stdout().lock();
            let written = out.write_all(bytes).and_then(|()| out.flush());
            drop(out);
            screen.remember(written);
        });
    }

    /// Facts that did not reach whoever asked for them; `None`: all did, or nobody reads any more.
    pub(crate) fn unwritten(&self) -> Option<Problem> {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let error = screen.unwritten.take()?;
        Some(Problem::new("cannot write to `stdout`").cause(because(&error)))
    }

    /// Print a failure in the form that all failures have.
    pub(crate) fn problem(&self, problem: &Problem) {
        self.err(&error::text(problem));
    }

    /// Print a failure at once, whatever this or another thread is printing.
    pub(crate) fn last_words(&self, problem: &Problem) {
        let mut err = AutoStream::auto(io::stderr());
        let _ = err.write_all(error::text(problem).as_bytes());
    }

    /// Print a sentence that is no failure.
    pub(crate) fn note(&self, sentence: &str) {
        self.err(&error::note(sentence));
    }

    fn write(&self, write: impl FnOnce(&mut Screen)) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        match screen.bar.clone() {
            Some(bar) => bar.suspend(|| write(&mut screen)),
            None => write(&mut screen),
        }
    }

    fn set_bar(&self, bar: Option<ProgressBar>) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = std::mem::replace(&mut screen.bar, bar) {
            old.finish_and_clear();
        }
    }
}
