//! Starting an instance, or another program of a release.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use stead_model::plan::{Instance, Phase};
use stead_model::release::{Listen, Start};
use stead_model::routing::{Address, InstanceId};

use super::Runtime;
use super::children::Owner;
use super::generation::{Live, Probing};
use crate::environment;
use crate::listener::{self, Listener};
use crate::logs::Log;
use crate::spawn::{self, Program, io_text};
use crate::state::Failure;

/// How long an instance without requests may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// A worker that is alive for so long counts as running.
const WORKER_SETTLES: Duration = Duration::from_secs(1);

/// Where an instance listens, and what it is told about that.
#[derive(Default)]
struct Place {
    address: Option<Address>,
    port: Option<u16>,
    descriptors: Vec<Arc<OwnedFd>>,
    env: Vec<(&'static str, OsString)>,
    socket: OsString,
}

impl Runtime {
    /// Start an instance. When that fails it counts as one that ended at once.
    pub(crate) async fn start(&mut self, id: InstanceId, release: u64, process: String, slot: u32) {
        self.observed.next_id = self.observed.next_id.max(id.0 + 1);
        let now = self.epoch.elapsed();
        let Some(spec) = self
            .generations
            .get(&release)
            .and_then(|g| g.spec(&process))
        else {
            return;
        };
        let instance = Instance {
            id,
            release,
            process: process.clone(),
            slot,
            phase: Phase::Starting,
            since: now,
            visited: spec.listen.is_some(),
            listed: false,
            drained: false,
            recycle: false,
            within: match spec.listen {
                Some(_) => spec.health.within,
                None => WORKER_SETTLES,
            },
            drain: spec.drain,
            grace: match spec.listen {
                Some(_) => GRACE.min(spec.drain.max(Duration::from_secs(1))),
                None => spec.drain,
            },
        };
        let name = format!("{process}.{slot}");
        let preload = match &spec.start {
            Start::Preload(argv) if spec.listen.is_some() => Some(argv.clone()),
            _ => None,
        };
        let started = match preload {
            Some(argv) => self.fork(id, release, &process, slot, &argv).await,
            None => self.start_program(id, release, &process, slot, &name).await,
        };
        match started {
            Ok(live) => {
                self.observed.instances.push(instance);
                self.live.insert(id, live);
            }
            Err(failure) => {
                self.observed.now = self.epoch.elapsed();
                self.start_failed(instance, &name, failure);
            }
        }
    }

    async fn start_program(
        &mut self,
        id: InstanceId,
        release: u64,
        process: &str,
        slot: u32,
        name: &str,
    ) -> Result<Live, Failure> {
        let act = format!("cannot start `{name}`");
        let place = self
            .prepare_place(release, process, slot)
            .map_err(|error| {
                Failure::new(
                    act.clone(),
                    format!("cannot open its socket: {}", io_text(&error)),
                )
            })?;
        let generation = self
            .generations
            .get(&release)
            .ok_or_else(|| Failure::new(act.clone(), "its release is gone"))?;
        let argv = match generation.spec(process).map(|spec| &spec.start) {
            Some(Start::Command(argv) | Start::Preload(argv)) => argv.clone(),
            None => Vec::new(),
        };
        let port = place.port.map(|p| p.to_string()).unwrap_or_default();
        let argv: Vec<OsString> = argv
            .iter()
            .map(|argument| fill_in(argument, &port, &place.socket))
            .collect();
        let mut env = generation.env.clone();
        env.insert("STEAD_PROCESS".into(), name.into());
        for (name, value) in place.env {
            env.insert(name.into(), value);
        }
        let owner = Owner::Instance(id);
        let marker = format!("{}-{}", self.state.run, id.0);
        let (pid, log) = self
            .launch(release, owner, name, marker, argv, env, place.descriptors)
            .await
            .map_err(|why| Failure::new(act, why))?;
        let now = self.epoch.elapsed();
        Ok(Live {
            name: name.to_owned(),
            pid,
            log,
            probing: Probing {
                due: place.address.is_some().then_some(now),
                ..Probing::default()
            },
            address: place.address,
            port: place.port,
            started: now,
            ended_by_itself: None,
            failures_noted: Vec::new(),
            worker: None,
        })
    }

    /// Run a program of a release. The error is why not.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn launch(
        &mut self,
        release: u64,
        owner: Owner,
        source: &str,
        marker: String,
        argv: Vec<OsString>,
        mut env: BTreeMap<OsString, OsString>,
        descriptors: Vec<Arc<OwnedFd>>,
    ) -> Result<(i32, Log), String> {
        let release = self
            .generations
            .get(&release)
            .map(|g| Arc::clone(&g.release))
            .ok_or("its release is gone")?;
        env.insert(environment::INSTANCE.into(), marker.clone().into());
        let inherited = env.get(OsStr::new("PATH")).cloned();
        let inherited = inherited.unwrap_or_else(environment::default_path);
        if !release.code.is_dir() {
            return Err(format!(
                "the directory `{}` is not there",
                release.code.display()
            ));
        }
        let name = argv.first().map(OsString::as_os_str).unwrap_or_default();
        let program = Program {
            file: spawn::find(name, &release.code, &release.path, &inherited)?,
            argv,
            env: env.into_iter().collect(),
            dir: release.code.clone(),
            listen_pid: !descriptors.is_empty(),
            descriptors,
        };
        let child = self.spawner.spawn(program).await?;
        let pid = child.pid.as_raw_nonzero().get();
        self.keeper.born(pid);
        let log = self.logs.attach(source, child.stdout, child.stderr);
        self.children.add(pid, owner, marker, log.clone());
        Ok((pid, log))
    }

    fn prepare_place(&mut self, release: u64, process: &str, slot: u32) -> std::io::Result<Place> {
        let Some(generation) = self.generations.get_mut(&release) else {
            return Ok(Place::default());
        };
        let number = generation.release.number;
        let path = self.run_dir.socket(number, process, slot);
        let listen = generation.spec(process).and_then(|spec| spec.listen);
        match listen {
            None => Ok(Place::default()),
            Some(Listen::Descriptor(_)) => {
                let place = generation.place(process, slot);
                let listener = match &place.listener {
                    Some(listener) => listener.clone(),
                    None => place.listener.insert(Listener::bind(&path)?).clone(),
                };
                let path = listener.path();
                Ok(Place {
                    address: Some(Address::Unix(path.to_owned())),
                    descriptors: vec![listener.descriptor()],
                    env: vec![
                        ("LISTEN_FDS", "1".into()),
                        ("STEAD_SOCKET", path.as_os_str().to_owned()),
                    ],
                    socket: path.as_os_str().to_owned(),
                    port: None,
                })
            }
            Some(Listen::Path(_)) => {
                // Each instance gets a path of its own: what the one before left there is in nobody's way.
                Ok(Place {
                    address: Some(Address::Unix(path.clone())),
                    env: vec![("STEAD_SOCKET", path.clone().into())],
                    socket: path.into(),
                    ..Place::default()
                })
            }
            Some(Listen::Port(_)) => {
                let taken = self.live.values().filter_map(|live| live.port).collect();
                let port = listener::free_port(&taken)?;
                Ok(Place {
                    address: Some(Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
                    port: Some(port),
                    env: vec![
                        ("PORT", port.to_string().into()),
                        ("HOST", "127.0.0.1".into()),
                    ],
                    ..Place::default()
                })
            }
        }
    }
}

/// Replace `{port}` and `{socket}`.
fn fill_in(argument: &str, port: &str, socket: &OsStr) -> OsString {
    let argument = argument.replace("{port}", port);
    let mut filled = OsString::new();
    for (i, part) in argument.split("{socket}").enumerate() {
        if i > 0 {
            filled.push(socket);
        }
        filled.push(part);
    }
    filled
}
