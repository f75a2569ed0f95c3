//! Preloading workers: one process imports the app and forks the instances (docs/worker-protocol.md).
//!
//! The worker is a child of the agent, its instances are not: they are known by what the worker
//! says, signalled by process id as long as they are in the worker's session, and they end with it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use rustix::process::{Pid, Signal};
use stead_model::manifest::Count;
use stead_model::routing::{Address, InstanceId};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::children::{Ended, Owner, Status};
use super::generation::{Live, Probing};
use super::{Event, Runtime};
use crate::listener::Listener;
use crate::logs::Log;
use crate::processes;
use crate::spawn::io_text;
use crate::state::Failure;

/// Sockets beyond the count, for instances that replace others.
const SPARE: u32 = 2;

/// One worker that has imported the app, or is about to.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Names it among all there ever were.
    pub(crate) id: u64,
    release: u64,
    process: String,
    pid: i32,
    log: Log,
    /// Lines for its control socket. Dropping it ends the worker.
    say: UnboundedSender<String>,
    /// It has imported the app.
    ready: bool,
    listeners: Vec<Listener>,
    /// Who is in which slot, from 0.
    slots: HashMap<u32, InstanceId>,
}

/// A line from a worker; `None`: it closed its control socket.
#[derive(Debug)]
pub(crate) struct Said {
    worker: u64,
    line: Option<String>,
}

impl Worker {
    pub(crate) fn is_of(&self, release: u64) -> bool {
        self.release == release
    }
}

impl Runtime {
    /// Have an instance forked, by a worker that is started if there is none.
    pub(crate) async fn fork(
        &mut self,
        id: InstanceId,
        release: u64,
        process: &str,
        slot: u32,
        argv: &[String],
    ) -> Result<Live, Failure> {
        let name = format!("{process}.{slot}");
        let act = format!("cannot start `{name}`");
        let known = |w: &Worker| w.release == release && w.process == process;
        if !self.workers.iter().any(known) {
            self.start_worker(release, process, argv)
                .await
                .map_err(|why| Failure::new(act.clone(), why))?;
        }
        let now = self.epoch.elapsed();
        let Some(worker) = self.workers.iter_mut().find(|w| known(w)) else {
            return Err(Failure::new(act, "its preloading worker is gone"));
        };
        let index = slot.saturating_sub(1);
        let Some(listener) = worker.listeners.get(index as usize) else {
            return Err(Failure::new(
                act,
                "every place in the preloading worker is taken",
            ));
        };
        worker.slots.insert(index, id);
        if worker.ready {
            let _ = worker.say.send(format!("fork {index}\n"));
        }
        Ok(Live {
            name,
            pid: 0,
            log: worker.log.clone(),
            address: Some(Address::Unix(listener.path().to_owned())),
            port: None,
            started: now,
            ended_by_itself: None,
            failures_noted: Vec::new(),
            worker: Some(worker.id),
            probing: Probing {
                due: Some(now),
                ..Probing::default()
            },
        })
    }

    async fn start_worker(
        &mut self,
        release: u64,
        process: &str,
        argv: &[String],
    ) -> Result<(), String> {
        let generation = self
            .generations
            .get(&release)
            .ok_or("its release is gone")?;
        let number = generation.release.number;
        let mut env = generation.env.clone();
        let count = match generation.spec(process).map(|spec| spec.count) {
            Some(Count::Fixed(n)) => n,
            _ => self.cpus.saturating_mul(2).saturating_add(1),
        };
        let sockets = count.saturating_add(SPARE);
        let io = |error: std::io::Error| format!("cannot open its sockets: {}", io_text(&error));
        let mut listeners = Vec::new();
        for slot in 1..=sockets {
            let path = self.run_dir.socket(number, process, slot);
            listeners.push(Listener::bind(&path).map_err(io)?);
        }
        let (ours, theirs) = StdStream::pair().map_err(io)?;
        ours.set_nonblocking(true).map_err(io)?;
        let control = UnixStream::from_std(ours).map_err(io)?;
        let mut descriptors: Vec<Arc<OwnedFd>> =
            listeners.iter().map(Listener::descriptor).collect();
        descriptors.push(Arc::new(theirs.into()));
        env.insert("LISTEN_FDS".into(), sockets.to_string().into());
        env.insert("STEAD_CONTROL_FD".into(), (3 + sockets).to_string().into());
        env.insert("STEAD_PROCESS".into(), process.into());
        let mut argv: Vec<_> = argv.iter().map(std::ffi::OsString::from).collect();
        if !argv.iter().any(|a| a == "--preload") {
            argv.insert(argv.len().min(2), "--preload".into());
        }
        let id = self.next_worker;
        self.next_worker += 1;
        let marker = format!("{}-worker-{id}", self.state.run);
        let (pid, log) = self
            .launch(
                release,
                Owner::Worker(id),
                process,
                marker,
                argv,
                env,
                descriptors,
            )
            .await?;
        let (say, lines) = unbounded_channel();
        tokio::spawn(converse(id, control, lines, self.events.clone()));
        self.workers.push(Worker {
            id,
            release,
            process: process.to_owned(),
            pid,
            log,
            say,
            ready: false,
            listeners,
            slots: HashMap::new(),
        });
        Ok(())
    }

    /// A worker said something.
    pub(crate) fn worker_said(&mut self, said: Said) {
        let Some(worker) = self.workers.iter_mut().find(|w| w.id == said.worker) else {
            return;
        };
        let Some(line) = said.line else {
            // Its end is seen as that of a child; if it goes on without us, it is of no use.
            let owner = Owner::Worker(worker.id);
            self.end_program(&owner);
            return;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ready"] => {
                worker.ready = true;
                for slot in worker.slots.keys() {
                    let _ = worker.say.send(format!("fork {slot}\n"));
                }
            }
            ["forked", slot, pid] => {
                let (Ok(slot), Ok(pid)) = (slot.parse(), pid.parse::<i32>()) else {
                    return;
                };
                let id = worker.slots.get(&slot).copied();
                let told = id.and_then(|id| self.instance(id)).is_some_and(|i| {
                    matches!(
                        i.phase,
                        stead_model::plan::Phase::Stopping | stead_model::plan::Phase::Killed
                    )
                });
                if let Some(live) = id.and_then(|id| self.live.get_mut(&id)) {
                    live.pid = pid;
                }
                if let (Some(id), true) = (id, told) {
                    // It was to stop before it was there.
                    self.signal_instance(id, Signal::TERM);
                }
            }
            ["exited", slot, pid, status] => {
                let (Ok(slot), Ok(pid), Ok(status)) = (
                    slot.parse::<u32>(),
                    pid.parse::<i32>(),
                    status.parse::<i32>(),
                ) else {
                    return;
                };
                let status = match status {
                    0.. => Status::Exited(status),
                    _ => Status::Signalled(-status),
                };
                let log = worker.log.clone();
                if let Some(id) = worker.slots.remove(&slot) {
                    self.instance_ended(id);
                    self.ended(Ended {
                        pid,
                        owner: Owner::Instance(id),
                        status,
                        log,
                    });
                }
            }
            _ => {}
        }
    }

    /// A worker has ended, and its instances with it.
    pub(crate) fn worker_ended(&mut self, id: u64, ended: &Ended) {
        let Some(at) = self.workers.iter().position(|w| w.id == id) else {
            return;
        };
        let worker = self.workers.remove(at);
        for instance in worker.slots.into_values() {
            self.instance_ended(instance);
            self.ended(Ended {
                pid: 0,
                owner: Owner::Instance(instance),
                status: ended.status,
                log: ended.log.clone(),
            });
        }
    }

    /// A worker is about to be buried: its instances serve nobody any more.
    pub(crate) fn worker_dying(&mut self, id: u64) {
        let worker = self.workers.iter().find(|w| w.id == id);
        let instances: Vec<_> = worker
            .into_iter()
            .flat_map(|w| w.slots.values().copied())
            .collect();
        for instance in instances {
            self.instance_ended(instance);
        }
    }

    /// Workers of releases that run no instance any more end.
    pub(crate) fn end_idle_workers(&mut self) {
        let idle: Vec<u64> = self
            .workers
            .iter()
            .filter(|worker| {
                let wanted = [&self.desired.target, &self.desired.serving];
                worker.slots.is_empty()
                    && !wanted
                        .into_iter()
                        .flatten()
                        .any(|w| w.release == worker.release)
            })
            .map(|worker| worker.id)
            .collect();
        for id in idle {
            self.end_program(&Owner::Worker(id));
        }
    }

    /// A signal to an instance, wherever it came from.
    pub(crate) fn signal_instance(&mut self, id: InstanceId, signal: Signal) {
        let Some(live) = self.live.get(&id) else {
            return;
        };
        if live.worker.is_none() {
            let owner = Owner::Instance(id);
            match signal {
                Signal::KILL => self.children.kill(&owner),
                _ => self.children.terminate(&owner),
            }
            return;
        }
        if let (true, Some(pid)) = (self.is_still_forked(live), Pid::from_raw(live.pid)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Is the process id of a forked instance still its own? The worker may have reaped it already; but an id that
    /// was given anew is not in the worker's session.
    pub(crate) fn is_still_forked(&self, live: &Live) -> bool {
        let worker = self.workers.iter().find(|w| Some(w.id) == live.worker);
        let session = processes::read(live.pid).map(|p| p.session);
        live.pid > 1 && session.is_some() && session == worker.map(|w| w.pid)
    }
}

/// Carry lines both ways until either side ends.
async fn converse(
    worker: u64,
    control: UnixStream,
    mut lines: tokio::sync::mpsc::UnboundedReceiver<String>,
    events: UnboundedSender<Event>,
) {
    let (read, mut write) = control.into_split();
    let mut said = BufReader::new(read).lines();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) if write.write_all(line.as_bytes()).await.is_ok() => {}
                _ => break,
            },
            line = said.next_line() => {
                let line = line.ok().flatten();
                let ended = line.is_none();
                let _ = events.send(Event::Worker(Said { worker, line }));
                if ended {
                    break;
                }
            }
        }
    }
}
