//! The machine's processes, as /proc tells: who belongs to whom, and ending all that belong together.
//!
//! A process belongs to a run or an instance when its environment has the marker, when its session
//! is known to be one of theirs (a program may have overwritten its environment with its title), or when it descends from one of them.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

/// One process of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    pub(crate) zombie: bool,
}

/// Every process that /proc shows.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// One process; `None` when it is gone.
pub(crate) fn read(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from the last one.
    let after = stat.iter().rposition(|b| *b == b')')?;
    let text = std::str::from_utf8(stat.get(after + 2..)?).ok()?;
    let mut fields = text.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        session,
        zombie: matches!(state, "Z" | "X"),
    })
}

/// `root`, everything that descends from it, and everything in one of their sessions.
pub(crate) fn tree(all: &[Process], root: i32) -> Vec<i32> {
    // Everything descends from these.
    if root <= 1 {
        return Vec::new();
    }
    let mut found = HashSet::from([root]);
    loop {
        let before = found.len();
        for p in all {
            if found.contains(&p.parent) || p.session == root {
                found.insert(p.pid);
            }
        }
        if found.len() == before {
            break;
        }
    }
    all.iter()
        .filter(|p| !p.zombie && found.contains(&p.pid))
        .map(|p| p.pid)
        .collect()
}

/// Does the environment that a process was started with have exactly this `NAME=value`?
fn has_marker(pid: i32, marker: &[u8]) -> bool {
    // No marker, or one without a value, would be found everywhere.
    if marker.is_empty() || marker.ends_with(b"=") {
        return false;
    }
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|b| *b == 0).any(|line| line == marker))
}

/// What belongs together, to be ended together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Belonging {
    /// `NAME=value` in the environment.
    pub(crate) marker: String,
    /// Known sessions.
    pub(crate) sessions: HashSet<i32>,
    /// Known processes, by id; only while they cannot have been reused.
    pub(crate) roots: Vec<i32>,
}

impl Belonging {
    /// A process and what descends from it, its session apart.
    pub(crate) fn tree_of(root: i32) -> Self {
        Self {
            roots: vec![root],
            ..Self::default()
        }
    }

    /// The processes that belong, zombies apart.
    pub(crate) fn members(&self) -> Vec<i32> {
        let own = std::process::id() as i32;
        let all = all();
        let mut found: HashSet<i32> = self.roots.iter().flat_map(|r| tree(&all, *r)).collect();
        for p in all.iter().filter(|p| !p.zombie) {
            if self.sessions.contains(&p.session) || has_marker(p.pid, self.marker.as_bytes()) {
                found.insert(p.pid);
            }
        }
        found.remove(&own);
        let alive: HashSet<i32> = all.iter().filter(|p| !p.zombie).map(|p| p.pid).collect();
        found.retain(|pid| alive.contains(pid) && *pid > 1);
        found.into_iter().collect()
    }

    /// SIGTERM to those of them whose parent does not belong, and thus cannot end them in its own way; to each once, as
    /// `told` remembers. Returns how many there are.
    pub(crate) fn tell(&self, told: &mut HashSet<i32>) -> usize {
        let members: HashSet<i32> = self.members().into_iter().collect();
        told.retain(|pid| members.contains(pid));
        for pid in &members {
            let heads = read(*pid).is_some_and(|p| !members.contains(&p.parent));
            if heads && told.insert(*pid) {
                self.signal(*pid, Signal::TERM);
            }
        }
        members.len()
    }

    /// SIGKILL all of them, again and again until none is left or `patience` is over: one may fork
    /// while another is killed. Returns how many are left. Blocks.
    pub(crate) fn end(&self, patience: Duration) -> usize {
        let mut pause = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        loop {
            let members = self.members();
            if members.is_empty() || waited >= patience {
                return members.len();
            }
            for pid in members {
                self.signal(pid, Signal::KILL);
            }
            std::thread::sleep(pause);
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// A signal to a member, by a handle that cannot come to mean another process meanwhile.
    fn signal(&self, pid: i32, signal: Signal) {
        let Some(id) = Pid::from_raw(pid) else { return };
        match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
            Ok(handle) => {
                let still = self.roots.contains(&pid)
                    || read(pid).is_some_and(|p| {
                        self.sessions.contains(&p.session)
                            || has_marker(pid, self.marker.as_bytes())
                            || self.roots.iter().any(|r| tree(&all(), *r).contains(&pid))
                    });
                if still {
                    let _ = rustix::process::pidfd_send_signal(&handle, signal);
                }
            }
            Err(rustix::io::Errno::NOSYS) => {
                let _ = rustix::process::kill_process(id, signal);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
