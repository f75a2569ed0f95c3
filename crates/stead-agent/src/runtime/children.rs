//! Child processes: who they are, and how they are buried when they end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use stead_model::routing::InstanceId;

use super::{Event, Runtime};
use crate::environment;
use crate::logs::Log;
use crate::processes::Belonging;

/// How long the last lines of a program are waited for once all of its processes have ended.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Whose a child is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// An instance.
    Instance(InstanceId),
    /// The release command of this release.
    ReleaseCommand(u64),
    /// A run of a job.
    Job(u64),
    /// A worker that forks instances.
    Worker(u64),
}

/// A child that was not reaped yet, so that its id is still its own.
#[derive(Debug)]
struct Child {
    owner: Owner,
    /// Value of `STEAD_INSTANCE`.
    marker: String,
    log: Log,
    /// It has ended, and is being buried.
    dead: bool,
    /// It was told to end.
    told: bool,
}

/// All of them, by process id.
#[derive(Debug, Default)]
pub(crate) struct Children(HashMap<i32, Child>);

/// A child that ended and was reaped, with everything that belonged to it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) owner: Owner,
    pub(crate) status: Status,
    pub(crate) log: Log,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Exited(i32),
    Signalled(i32),
    /// Somebody else reaped it.
    Unknown,
}

impl Status {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signalled(signal) => match signal_name(*signal) {
                Some(name) => f.write_str(name),
                None => write!(f, "signal {signal}"),
            },
            Self::Unknown => f.write_str("an unknown status"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        // Nobody but the kernel (out of memory) or a person sends it to an instance that is wanted.
        libc::SIGKILL => "SIGKILL (out of memory?)",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

impl Children {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, pid: i32, owner: Owner, marker: String, log: Log) {
        let child = Child {
            owner,
            marker,
            log,
            dead: false,
            told: false,
        };
        self.0.insert(pid, child);
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = i32> {
        self.0.keys().copied()
    }

    /// The child of an owner, unless it has ended.
    pub(crate) fn pid_of(&self, owner: &Owner) -> Option<i32> {
        let found = self.0.iter().find(|(_, c)| c.owner == *owner && !c.dead);
        found.map(|(pid, _)| *pid)
    }

    /// SIGTERM to a child alone: one that has processes of its own (Celery, gunicorn, npm) ends them in its own
    /// way. What it leaves behind is told when it has ended.
    pub(crate) fn terminate(&mut self, owner: &Owner) {
        let Some(pid) = self.pid_of(owner) else {
            return;
        };
        if let Some(child) = self.0.get_mut(&pid) {
            child.told = true;
        }
        // It was not reaped, so its id is its own.
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    /// SIGKILL to the whole process group of a child. It was not reaped, so its id is its own.
    pub(crate) fn kill(&self, owner: &Owner) {
        if let Some(pid) = self.pid_of(owner).and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }

    /// Everything that belongs to a child, to be ended.
    pub(crate) fn belonging(&self, owner: &Owner) -> Option<Belonging> {
        let (pid, child) = self.0.iter().find(|(_, c)| c.owner == *owner)?;
        Some(belonging(*pid, &child.marker))
    }
}

fn belonging(pid: i32, marker: &str) -> Belonging {
    Belonging {
        marker: format!("{}={marker}", environment::INSTANCE),
        sessions: [pid].into(),
        roots: vec![pid],
    }
}

impl Runtime {
    /// Find children that have ended, take their instances out of service, and bury them.
    pub(crate) fn bury_children(&mut self) {
        let mut dead = Vec::new();
        for (pid, child) in &mut self.children.0 {
            if !child.dead && has_ended(*pid) {
                child.dead = true;
                let owner = child.owner.clone();
                let belonging = belonging(*pid, &child.marker);
                dead.push((*pid, owner, child.told, belonging, child.log.clone()));
            }
        }
        for (pid, owner, told, belonging, mut log) in dead {
            match owner {
                Owner::Instance(id) => self.instance_ended(id),
                Owner::Worker(id) => self.worker_dying(id),
                Owner::ReleaseCommand(_) | Owner::Job(_) => {}
            }
            let events = self.events.clone();
            tokio::spawn(async move {
                if told {
                    end_gently(&belonging).await;
                }
                let _ = tokio::task::spawn_blocking(move || {
                    belonging.end(Duration::from_secs(5));
                })
                .await;
                log.ended(LAST_LINES).await;
                let status = reap(pid);
                let _ = events.send(Event::Ended(Ended {
                    pid,
                    owner,
                    status,
                    log,
                }));
            });
        }
    }

    /// Forget a child that was reaped.
    pub(crate) fn forget_child(&mut self, pid: i32) {
        self.children.0.remove(&pid);
        self.keeper.ended(pid);
    }

    /// Start the keeper again if somebody ended it.
    pub(crate) fn mind_the_keeper(&mut self) {
        let recently = self.keeper_started.elapsed() < Duration::from_secs(5);
        if !recently && self.keeper.is_gone() {
            self.keeper_started = std::time::Instant::now();
            let sessions: Vec<_> = self.children.sessions().collect();
            let again =
                crate::keeper::Kept::start(&self.keeper_settings, &self.state.run, sessions);
            if let Ok(keeper) = again {
                self.keeper = keeper;
            }
        }
    }
}

/// Let what a program left behind end as well: a shell, and many a wrapper, passes no signal on. Each gets SIGTERM,
/// parents before their children; the planner's SIGKILL (or [`Runtime::kill_those_overdue`]) ends the patience.
async fn end_gently(belonging: &Belonging) {
    let mut told = HashSet::new();
    let mut pause = Duration::from_millis(5);
    loop {
        let (belonging, mut before) = (belonging.clone(), told);
        let round =
            tokio::task::spawn_blocking(move || (belonging.tell(&mut before), before)).await;
        match round {
            Ok((1.., now)) => told = now,
            _ => return,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Has the child ended? It stays a zombie, so that its id cannot come to mean another process.
fn has_ended(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else {
        return true;
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Ok(found) => found.is_some(),
        Err(error) => error == rustix::io::Errno::CHILD,
    }
}

fn reap(pid: i32) -> Status {
    let Some(pid) = Pid::from_raw(pid) else {
        return Status::Unknown;
    };
    let options = rustix::process::WaitOptions::NOHANG;
    match rustix::process::waitpid(Some(pid), options) {
        Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Status::Exited(code),
            (_, Some(signal)) => Status::Signalled(signal),
            _ => Status::Unknown,
        },
        _ => Status::Unknown,
    }
}
