//! The keeper: a small process that outlives Stead by a moment and leaves no orphan behind.
//!
//! It holds the read end of a pipe whose write end only Stead has. When Stead ends, however that comes about, the pipe
//! closes, and the keeper ends every process that belongs to the run: also those that forked twice, took a
//! session of their own or were started by a shell. Stead tells it over the pipe which sessions
//! exist (`+PID`, `-PID`, a line each), for programs that have overwritten their environment.

mod custody;

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use crate::environment;
use crate::processes::Belonging;

pub use custody::Custody;

/// How a keeper is started: Stead's own binary in another role.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// What is executed.
    pub program: std::path::PathBuf,
    /// Its arguments; `{run}` in one is replaced by the run's id, which [`keeper`] wants to be told.
    pub arguments: Vec<String>,
}

impl Keeper {
    /// `stead keeper RUN`, with the binary that runs now (also when its file was replaced since).
    pub fn own_binary() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec!["keeper".into(), "{run}".into()],
        }
    }
}

/// The keeper's role: call it first thing in `main`, before any runtime or thread. Standard input is the pipe.
pub fn keeper(run: &str) -> ! {
    let _ = rustix::thread::set_name(c"keeper");
    let mut belonging = Belonging {
        marker: format!("{}={run}", environment::RUN),
        ..Belonging::default()
    };
    let mut input = BufReader::with_capacity(256, std::io::stdin());
    let mut line = String::new();
    loop {
        line.clear();
        match input.read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => note(&mut belonging, line.trim()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // A process in an uninterruptible wait cannot be ended by anybody; do not stay for ever.
    belonging.end(Duration::from_secs(600));
    std::process::exit(0)
}

fn note(belonging: &mut Belonging, line: &str) {
    if let Some(pid) = line.strip_prefix('+').and_then(|p| p.parse().ok()) {
        belonging.sessions.insert(pid);
    } else if let Some(pid) = line.strip_prefix('-').and_then(|p| p.parse().ok()) {
        belonging.sessions.remove(&pid);
    }
}

/// Stead's end: a keeper that runs.
#[derive(Debug)]
pub(crate) struct Kept {
    pipe: OwnedFd,
    child: std::process::Child,
}

impl Kept {
    /// Start a keeper for `run`, and tell it the sessions that exist.
    pub(crate) fn start(
        keeper: &Keeper,
        run: &str,
        sessions: impl IntoIterator<Item = i32>,
    ) -> std::io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut command = std::process::Command::new(&keeper.program);
        command
            .arg0("keeper")
            .args(keeper.arguments.iter().map(|a| a.replace("{run}", run)))
            .env_clear()
            .env("STEAD_KEEPS", run)
            .current_dir("/")
            .stdin(Stdio::from(read))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: a terminal's Ctrl-C is not for it.
            .process_group(0);
        let child = command.spawn()?;
        rustix::io::ioctl_fionbio(&write, true)?;
        let mut kept = Self { pipe: write, child };
        for session in sessions {
            kept.born(session);
        }
        Ok(kept)
    }

    /// A session exists.
    pub(crate) fn born(&mut self, session: i32) {
        self.say(&format!("+{session}\n"));
    }

    /// A session has ended.
    pub(crate) fn ended(&mut self, session: i32) {
        self.say(&format!("-{session}\n"));
    }

    fn say(&mut self, line: &str) {
        // A keeper that is gone is started again by whoever asks `is_gone`.
        let _ = rustix::io::write(&self.pipe, line.as_bytes());
    }

    /// Somebody killed it.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Let it do its work: end what is left, then itself. Blocks for at most 5 s.
    pub(crate) fn finish(mut self) {
        drop(self.pipe);
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
