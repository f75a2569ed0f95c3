//! Processes that may be signalled much later, by another program: known by id and start time, since ids are reused.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// One process of this machine, or what was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pid: i32,
    /// Field 22 of proc_pid_stat(5), in ticks since the machine started.
    started: u64,
}

impl Known {
    /// The process that has this id now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    /// As written by [`Known::write`].
    pub(crate) fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    pub(crate) fn write(self, file: &Path) -> io::Result<()> {
        fs::write(file, format!("{} {}\n", self.pid, self.started))
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Those that it started, and that have not ended.
    pub(crate) fn children(self) -> Vec<Self> {
        if !self.is_alive() {
            return Vec::new();
        }
        let file = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = fs::read_to_string(file).unwrap_or_default();
        let children = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        children.filter_map(Self::of).collect()
    }

    pub(crate) fn kill(self) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Wait for its end; `false`: it is still there after that time.
    pub(crate) fn has_ended_within(self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while self.is_alive() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// State and start time.
fn stat(pid: i32) -> Option<(String, u64)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from the last one.
    let after = stat.iter().rposition(|b| *b == b')')?;
    let text = String::from_utf8_lossy(stat.get(after + 2..)?).into_owned();
    let mut fields = text.split(' ');
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}
