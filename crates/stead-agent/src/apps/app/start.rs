//! Units of the app's programs: written, started, stopped, removed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stead_model::host::EDGE_USER;
use stead_model::plan::{Instance, Phase, ReleaseCommand};
use stead_model::release::{Listen, Release, Start};
use stead_model::routing::{Address, InstanceId};
use stead_model::units::{self, Life, Names, Service};

use super::{App, Live};
use crate::environment;
use crate::listener;
use crate::spawn::{self, io_text};
use crate::state::Failure;

/// How long an instance without requests may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// A worker that is alive for so long counts as running.
const WORKER_SETTLES: Duration = Duration::from_secs(1);
/// A release command may take this long.
const RELEASE_COMMAND: Duration = Duration::from_secs(3600);

impl App {
    /// Start an instance. When that fails it counts as one that ended at once.
    pub(super) async fn start(&mut self, release: u64, process: String, slot: u32) {
        let name = format!("{process}.{slot}");
        if !self
            .ongoing
            .as_ref()
            .is_some_and(super::Ongoing::is_switching)
        {
            self.step_if_target(release, "start");
        }
        if let Err(failure) = self.try_start(release, &process, slot, &name).await {
            self.has_fallen(release, &process, slot, failure, Vec::new());
        }
    }

    async fn try_start(
        &mut self,
        key: u64,
        process: &str,
        slot: u32,
        name: &str,
    ) -> Result<(), Failure> {
        let act = || format!("cannot start `{name}`");
        let generation = self
            .generations
            .get(&key)
            .ok_or_else(|| Failure::new(act(), "its release is gone"))?;
        let release = std::sync::Arc::clone(&generation.release);
        let mut variables = generation.variables.clone();
        let spec = release
            .processes
            .get(process)
            .ok_or_else(|| Failure::new(act(), "its release has no such process"))?;
        let number = release.number;
        // Its id is written down before anything of it is there.
        let id = self
            .shared
            .store()
            .begin_instance(&self.name, key, number, process, slot)
            .map_err(|failure| Failure::new(failure.act, failure.cause))?;
        let names = units::instance_unit(&self.name, process, number, id);
        let run = self.shared.places.run.join(&self.name);
        let (mut port, mut socket) = (String::new(), String::new());
        let mut runtime = None;
        let address = match spec.listen {
            None => None,
            Some(Listen::Descriptor(_)) => {
                let path = units::socket_path(&run, process, number, id);
                socket = path.to_string_lossy().into_owned();
                let text = units::socket(&self.name, name, &path, EDGE_USER)
                    .map_err(|why| Failure::new(act(), why.to_string()))?;
                self.shared
                    .places
                    .write_unit(&names.socket, &text)
                    .map_err(|error| Failure::new(act(), io_text(&error)))?;
                Some(Address::Unix(path))
            }
            Some(Listen::Path(_)) => {
                let dir = run.join(format!("{number}.{process}.{}", id.0));
                let below = dir.strip_prefix("/run").unwrap_or(&dir);
                runtime = Some(below.to_string_lossy().into_owned());
                socket = dir.join("socket").to_string_lossy().into_owned();
                Some(Address::Unix(dir.join("socket")))
            }
            Some(Listen::Port(_)) => {
                let taken = self.live.values().filter_map(|live| match &live.address {
                    Some(Address::Tcp(address)) => Some(address.port()),
                    _ => None,
                });
                let free = listener::free_port(&taken.collect())
                    .map_err(|error| Failure::new(act(), io_text(&error)))?;
                port = free.to_string();
                variables.insert("PORT".into(), port.clone());
                variables.insert("HOST".into(), "127.0.0.1".into());
                Some(Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, free))))
            }
        };
        if !socket.is_empty() {
            variables.insert("STEAD_SOCKET".into(), socket.clone());
        }
        if let Some(address) = &address {
            let kept = self.shared.store().instance_at(id, address);
            kept.map_err(|failure| Failure::new(failure.act, failure.cause))?;
        }
        variables.insert("STEAD_PROCESS".into(), name.into());
        let (Start::Command(argv) | Start::Preload(argv)) = &spec.start;
        let argv: Vec<String> = argv
            .iter()
            .map(|word| word.replace("{port}", &port).replace("{socket}", &socket))
            .collect();
        let grace = match spec.listen {
            Some(_) => GRACE.min(spec.drain.max(Duration::from_secs(1))),
            None => spec.drain,
        };
        let life = Life::Always {
            socket: matches!(spec.listen, Some(Listen::Descriptor(_)))
                .then(|| names.socket.clone()),
            runtime,
            // The planner is to be the one who loses patience.
            grace: grace + Duration::from_secs(5),
            memory: spec.memory.map(|bytes| bytes.saturating_add(bytes / 4)),
            shell: argv.first().is_some_and(|program| program == "sh"),
        };
        let written = self.write_service(
            &release,
            &names.service,
            process,
            name,
            argv,
            variables,
            life,
        );
        written.map_err(|why| Failure::new(act(), why))?;
        let now = self.epoch.elapsed();
        self.observed.instances.push(Instance {
            id,
            release: key,
            process: process.to_owned(),
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
            grace,
        });
        self.live.insert(
            id,
            Live {
                name: name.to_owned(),
                units: names.clone(),
                due: address.is_some().then_some(now),
                address,
                probed: None,
            },
        );
        if let Err(refusal) = self.shared.systemd.start(&names.service).await {
            self.bury(id).await;
            return Err(Failure::new(act(), refusal.0));
        }
        self.looked = None;
        Ok(())
    }

    /// Write the unit and the variables of a program of a release.
    #[expect(clippy::too_many_arguments, reason = "what a unit is made of")]
    pub(super) fn write_service(
        &self,
        release: &Release,
        unit: &str,
        process: &str,
        name: &str,
        mut argv: Vec<String>,
        variables: BTreeMap<String, String>,
        life: Life,
    ) -> Result<(), String> {
        let places = &self.shared.places;
        let path = variables.get("PATH").cloned().unwrap_or_default();
        let program = argv.first().cloned().unwrap_or_default();
        let found = spawn::find(
            OsStr::new(&program),
            &release.code,
            &release.path,
            OsStr::new(&path),
        )?;
        if let Some(first) = argv.first_mut() {
            *first = found.to_string_lossy().into_owned();
        }
        let environment = places.variables(&self.name, unit);
        let text = units::environment_file(&variables).map_err(|why| why.to_string())?;
        let service = Service {
            app: self.name.clone(),
            process: process.to_owned(),
            release: release.number,
            name: name.to_owned(),
            argv,
            directory: release.code.clone(),
            readable: readable(&places.app(&self.name), &release.code),
            writable: release
                .volumes
                .keys()
                .map(|volume| places.volume(&self.name, volume))
                .collect(),
            environment: environment.clone(),
            hidden: places.state.clone(),
            life,
        };
        let unit_text = service.text().map_err(|why| why.to_string())?;
        places
            .write_private(&environment, &text)
            .and_then(|()| places.write_unit(unit, &unit_text))
            .map_err(|error| io_text(&error))
    }

    /// Run the release command; the planner waits for its end.
    pub(super) async fn run_release_command(&mut self, key: u64) {
        self.step("release command");
        self.observed.release_command = Some(ReleaseCommand::Running(key));
        if let Err(why) = self.try_release_command(key).await {
            self.fail(
                key,
                Failure::new("cannot run the release command", why),
                Vec::new(),
            );
            self.observed.release_command = Some(ReleaseCommand::Failed(key));
        }
    }

    async fn try_release_command(&mut self, key: u64) -> Result<(), String> {
        let generation = self.generations.get(&key).ok_or("its release is gone")?;
        let release = std::sync::Arc::clone(&generation.release);
        let mut variables = generation.variables.clone();
        variables.insert("STEAD_PROCESS".into(), "release".into());
        let line = release.release_command.clone().unwrap_or_default();
        let unit = units::release_unit(&self.name, release.number);
        let life = Life::Once {
            timeout: RELEASE_COMMAND,
        };
        let argv = vec!["sh".to_owned(), "-c".to_owned(), line];
        self.write_service(&release, &unit, "release", "release", argv, variables, life)?;
        self.looked = None;
        let started = self.shared.systemd.start(&unit).await;
        started.map_err(|refusal| refusal.0)
    }

    /// SIGTERM, by systemd, which also keeps it from being started again.
    pub(super) async fn terminate(&mut self, id: InstanceId) {
        self.set_phase(id, Phase::Stopping);
        self.looked = None;
        let Some(units) = self.live.get(&id).map(|live| live.units.clone()) else {
            return;
        };
        self.stop(&units).await;
    }

    pub(super) async fn stop(&self, units: &Names) {
        let systemd = &self.shared.systemd;
        // The socket first, or a visitor's connection would start the service again.
        for unit in [&units.socket, &units.service] {
            if let Err(refusal) = systemd.stop(unit).await {
                self.remark(format!("cannot stop `{unit}`: {refusal}"));
            }
        }
    }

    pub(super) async fn kill(&mut self, id: InstanceId) {
        self.set_phase(id, Phase::Killed);
        if let Some(live) = self.live.get(&id) {
            self.shared.systemd.kill(&live.units.service).await;
            self.stop(&live.units).await;
        }
    }

    /// Nothing of an instance is left, nor will be.
    pub(super) async fn bury(&mut self, id: InstanceId) {
        self.observed.instances.retain(|i| i.id != id);
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.stop(&live.units).await;
        for unit in [&live.units.service, &live.units.socket] {
            self.shared.systemd.forget(unit).await;
            self.shared.places.remove_unit(&self.name, unit);
        }
        if let Err(failure) = self.shared.store().instance_gone(id) {
            self.remark(failure.to_string());
        }
    }

    /// The variables of everything of a release that runs.
    pub(super) fn variables(&self, release: &Release) -> Result<BTreeMap<String, String>, Failure> {
        let secrets = self.shared.places.secrets(release)?;
        let inherited = [
            ("PATH".into(), environment::default_path()),
            ("LANG".into(), "C.UTF-8".into()),
            // What wants to keep something there may, for as long as it lives.
            ("HOME".into(), "/tmp".into()),
        ];
        let all = environment::of_release(inherited, release, &secrets, "");
        let mut variables = BTreeMap::new();
        for (name, value) in all {
            let name = name.to_string_lossy().into_owned();
            let value = value.into_string().map_err(|_| {
                Failure::new(
                    format!("cannot use the variable `{name}`"),
                    "its value is not UTF-8",
                )
            })?;
            variables.insert(name, value);
        }
        variables.remove(environment::RUN);
        Ok(variables)
    }
}

/// What a program of a release sees of its app's directory.
fn readable(app: &Path, code: &Path) -> Vec<PathBuf> {
    let build = app.join("build");
    // The code's root may be below what was written out.
    let releases = app.join("releases");
    let top = code
        .strip_prefix(&releases)
        .ok()
        .and_then(|below| below.components().next())
        .map(|first| releases.join(first));
    vec![build, top.unwrap_or_else(|| code.to_owned())]
}
