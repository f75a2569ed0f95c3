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

use super::catalog::{Load, Peer, STEAD, Work, edge};
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
    /// The edge alone, as a proxy.
    pub(crate) proxy: PathBuf,
    /// A certificate for 127.0.0.1, ECDSA P-256, and its key beside it as `key.pem`.
    pub(crate) certificate: PathBuf,
    /// The same with RSA 2048, in a directory of its own.
    pub(crate) certificate_rsa: PathBuf,
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Server {
    /// Which.
    pub(crate) peer: &'static Peer,
    /// On 127.0.0.1.
    pub(crate) port: u16,
    /// On 127.0.0.1, with TLS, if the peer has that.
    pub(crate) tls: u16,
    /// On 127.0.0.1, HTTP/2 without TLS. Stead has that where it has HTTP/1.1.
    pub(crate) h2c: u16,
    /// What its programs printed.
    log: PathBuf,
    /// For sockets, logs and whatever else it writes.
    run: PathBuf,
    /// Each, and whether it is counted.
    children: Vec<(Child, bool)>,
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
        let certificate = match app {
            edge::FILES_RSA => &places.certificate_rsa,
            _ => &places.certificate,
        };
        let prepared = fs::create_dir_all(&run)
            .and_then(|()| copy(&source, &app_dir))
            .and_then(|()| match app {
                edge::FILES | edge::FILES_RSA => make_files(&app_dir),
                // 128 KB for those who read slowly.
                edge::PROXIED | edge::HOSTS => fs::write(run.join("large"), vec![b'x'; 128 << 10]),
                _ => Ok(()),
            })
            .and_then(|()| pair(certificate, &run))
            .and_then(|()| Ok((free_port()?, free_port()?, free_port()?)));
        let (port, tls, h2c) =
            prepared.map_err(|error| format!("cannot prepare {}: {error}", peer.label))?;
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
            ("{tls}", tls.to_string()),
            ("{h2c}", h2c.to_string()),
            ("{proxy}", places.proxy.display().to_string()),
            ("{certificate}", certificate.display().to_string()),
            ("{key}", key(certificate).display().to_string()),
            ("{user}", user.to_owned()),
        ]);
        let mut server = Self {
            peer,
            port,
            tls,
            h2c: if peer.name == STEAD { port } else { h2c },
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
            server.children.push((child, program.counted));
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
            let ended = |(child, _): &mut (Child, bool)| !matches!(child.try_wait(), Ok(None));
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

    /// Where `work` is asked for.
    pub(crate) fn url(&self, work: &Work) -> String {
        let (scheme, port) = match work.load {
            Load::Http2Clear(_) => ("http", self.h2c),
            load if load.needs_tls() => ("https", self.tls),
            _ => ("http", self.port),
        };
        format!("{scheme}://127.0.0.1:{port}{}", work.path)
    }

    /// Every process of it that is counted.
    pub(crate) fn trees(&self) -> Trees {
        let counted = self.children.iter().filter(|(_, counted)| *counted);
        Trees(counted.map(|(child, _)| child.id()).collect())
    }

    /// Ask for a reload of the app.
    pub(crate) fn reload(&self) {
        if let Some((child, _)) = self.children.get(self.peer.reloads) {
            signal(child.id(), Signal::HUP);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let all = self.children.iter().map(|(child, _)| child.id());
        let members = Trees(all.collect()).members();
        for (child, _) in &self.children {
            signal(child.id(), Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        for (child, _) in &mut self.children {
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

/// Files of 1 KB, 100 KB and 10 MB, and one for `/`.
fn make_files(app_dir: &Path) -> io::Result<()> {
    let public = app_dir.join("public");
    fs::create_dir_all(&public)?;
    fs::write(public.join("index.html"), "here\n")?;
    for (name, size) in [("1k", 1 << 10), ("100k", 100 << 10), ("10m", 10 << 20)] {
        let path = public.join(name);
        if !path.exists() {
            fs::write(path, vec![b'x'; size])?;
        }
    }
    Ok(())
}

/// Certificate and key in one file, as some want them.
fn pair(certificate: &Path, run: &Path) -> io::Result<()> {
    let mut both = fs::read(certificate)?;
    both.extend(fs::read(key(certificate))?);
    fs::write(run.join("pair.pem"), both)
}

fn key(certificate: &Path) -> PathBuf {
    certificate.with_file_name("key.pem")
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
