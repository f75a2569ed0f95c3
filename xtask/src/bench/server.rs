//! A peer that runs: its files written, its programs started, and all of it gone when dropped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::catalog::{Peer, STEAD};
use super::processes::Trees;
use super::visitor;

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The repository's `bench`.
    pub(crate) bench: PathBuf,
    /// `target/bench`: everything that is written.
    pub(crate) work: PathBuf,
    /// The peers' environment.
    pub(crate) venv: PathBuf,
    /// The binary.
    pub(crate) stead: PathBuf,
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Server {
    /// Which.
    pub(crate) peer: &'static Peer,
    /// On 127.0.0.1.
    pub(crate) port: u16,
    /// What its programs printed.
    log: PathBuf,
    /// For sockets, logs and whatever else it writes.
    run: PathBuf,
    children: Vec<Child>,
}

/// How long a peer may take to its first answer; Stead's first start builds an environment.
const PATIENCE: Duration = Duration::from_secs(180);

impl Server {
    /// Start `peer` on an app of `bench/apps`, and wait for its first answer.
    pub(crate) fn start(places: &Places, peer: &'static Peer, app: &str) -> Result<Self, String> {
        let mut server = Self::spawn(places, peer, app)?;
        server.wait()?;
        Ok(server)
    }

    /// Start `peer` without waiting for it.
    fn spawn(places: &Places, peer: &'static Peer, app: &str) -> Result<Self, String> {
        let run = places.work.join("run").join(peer.name).join(app);
        let source = places.bench.join("apps").join(app);
        // Stead keeps its state beside the app: it gets a copy, which outlives the run.
        let app_dir = places.work.join("apps").join(peer.name).join(app);
        let prepared = fs::create_dir_all(&run)
            .and_then(|()| copy(&source, &app_dir))
            .and_then(|()| free_port());
        let port = prepared.map_err(|error| format!("cannot prepare {}: {error}", peer.label))?;
        let user = if rustix::process::geteuid().is_root() {
            "root"
        } else {
            "nobody"
        };
        let values = BTreeMap::from([
            ("{run}", run.display().to_string()),
            ("{app}", app_dir.display().to_string()),
            ("{venv}", places.venv.display().to_string()),
            ("{stead}", places.stead.display().to_string()),
            ("{port}", port.to_string()),
            ("{user}", user.to_owned()),
        ]);
        let mut server = Self {
            peer,
            port,
            log: run.join("output.log"),
            run,
            children: Vec::new(),
        };
        for program in peer.programs {
            for (template, name) in program.files {
                let template = places.bench.join("peers").join(template);
                fs::read_to_string(&template)
                    .and_then(|text| fs::write(server.run.join(name), fill_in(&text, &values)))
                    .map_err(|error| format!("cannot write {name}: {error}"))?;
            }
            let arguments: Vec<String> = program
                .arguments
                .iter()
                .map(|a| fill_in(a, &values))
                .collect();
            let child = server
                .command(&arguments)
                .and_then(|mut command| command.spawn())
                .map_err(|error| format!("cannot start {}: {error}", arguments[0]))?;
            server.children.push(child);
        }
        Ok(server)
    }

    fn command(&self, arguments: &[String]) -> io::Result<Command> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = Command::new(&arguments[0]);
        command
            .args(&arguments[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // All on the same Python: the system's, which uwsgi's plugin is built for.
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin");
        if self.peer.name != STEAD {
            // caddy and gunicorn keep files there. Stead keeps its cache of packages.
            command.env("HOME", &self.run);
        }
        Ok(command)
    }

    /// Until it answers 200 at `/`.
    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if visitor::status(self.port, "/") == Some(200) {
                return Ok(());
            }
            let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
            if self.children.iter_mut().any(ended) {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        Err(format!(
            "{} did not answer at port {}; its last lines:\n{}",
            self.peer.label,
            self.port,
            tail.join("\n")
        ))
    }

    /// Every process of it.
    pub(crate) fn trees(&self) -> Trees {
        Trees(self.children.iter().map(Child::id).collect())
    }

    /// Ask for a reload of the app.
    pub(crate) fn reload(&self) {
        if let Some(child) = self.children.get(self.peer.reloads) {
            signal(child.id(), Signal::HUP);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let members = self.trees().members();
        for child in &self.children {
            signal(child.id(), Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        for child in &mut self.children {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // Whoever outlived its parent.
        for pid in members {
            if Path::new(&format!("/proc/{pid}")).exists() {
                signal(pid, Signal::KILL);
            }
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

fn fill_in(template: &str, values: &BTreeMap<&str, String>) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(name, value);
    }
    text
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Files only: the apps are flat. A file that is the same stays untouched, so that an unchanged
/// app looks unchanged.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = fs::read(entry.path())?;
            let target = to.join(entry.file_name());
            if fs::read(&target).ok().as_ref() != Some(&text) {
                fs::write(target, text)?;
            }
        }
    }
    Ok(())
}
