//! Stead's own memory, and how soon it answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::catalog::{self, WORKS};
use super::processes::Trees;
use super::server::{Places, Server};
use super::{median, wrk};

/// Bytes, proportional set size.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Edge and agent together, idle.
    pub(crate) own: u64,
    /// How many instances `count = "auto"` chose.
    pub(crate) instances: usize,
    /// One instance, idle; the mean.
    pub(crate) instance: u64,
    /// One instance after a second of load by 32 visitors; the mean.
    pub(crate) instance_loaded: u64,
    /// An interpreter that has imported the same app and does nothing; the mean of as many.
    pub(crate) interpreter: u64,
}

/// Seconds, medians, of an app that was built before.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) app: &'static str,
    /// From the start of `stead up` to the first 200.
    pub(crate) first_answer: f64,
    /// An interpreter that starts, imports the app and ends.
    pub(crate) import: f64,
}

/// Measure memory with the bare app.
pub(crate) fn memory(places: &Places) -> Result<Memory, String> {
    println!("memory of Stead, idle");
    let stead = fs::canonicalize(&places.stead).map_err(|error| error.to_string())?;
    let server = Server::start(places, stead_peer()?, "bare")?;
    thread::sleep(Duration::from_secs(5));
    let own = server.trees().pss(|program| program == stead);
    let instances = others(&server.trees(), &stead);
    let (python, app) = interpreter(&server, &stead)?;
    let scripts = places.bench.join("wrk");
    wrk::run(&scripts, &WORKS[0], &server, 32, Duration::from_secs(1))?;
    let loaded = others(&server.trees(), &stead);
    drop(server);
    let bare = bare_interpreters(&python, &app, instances.len())?;
    let memory = Memory {
        own,
        instances: instances.len(),
        instance: mean(&instances),
        instance_loaded: mean(&loaded),
        interpreter: mean(&bare),
    };
    println!("  {memory:?}");
    Ok(memory)
}

/// Measure the time to the first answer.
pub(crate) fn start(places: &Places, app: &'static str, rounds: usize) -> Result<Start, String> {
    println!("start of an unchanged app ({app})");
    let stead = fs::canonicalize(&places.stead).map_err(|error| error.to_string())?;
    // The first start builds the environment, and tells which interpreter it is.
    let server = Server::start(places, stead_peer()?, app)?;
    thread::sleep(Duration::from_secs(1));
    let (python, dir) = interpreter(&server, &stead)?;
    drop(server);
    let mut answers = Vec::new();
    let mut imports = Vec::new();
    for _ in 0..rounds.max(3) {
        let begin = Instant::now();
        let server = Server::start(places, stead_peer()?, app)?;
        answers.push(begin.elapsed().as_secs_f64());
        drop(server);
        let begin = Instant::now();
        let mut child = import(&python, &dir, "import app")?;
        let _ = child.wait();
        imports.push(begin.elapsed().as_secs_f64());
    }
    let start = Start {
        app,
        first_answer: median(answers.into_iter()),
        import: median(imports.into_iter()),
    };
    println!("  {start:?}");
    Ok(start)
}

fn stead_peer() -> Result<&'static catalog::Peer, String> {
    catalog::peer(catalog::STEAD).ok_or_else(|| "Stead is no peer".to_owned())
}

/// The size of each instance: of whatever is not the binary itself.
fn others(trees: &Trees, stead: &Path) -> Vec<u64> {
    let each = trees.pss_of_each().into_iter();
    each.filter(|(program, _)| program != stead)
        .map(|(_, pss)| pss)
        .collect()
}

/// How an instance calls its interpreter, and the app's directory.
fn interpreter(server: &Server, stead: &Path) -> Result<(PathBuf, PathBuf), String> {
    for pid in server.trees().members() {
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        if program.is_ok_and(|program| program != stead) {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let first = String::from_utf8_lossy(line.split(|b| *b == 0).next().unwrap_or_default())
                .into_owned();
            let dir = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            if first.contains("python") {
                return Ok((first.into(), dir));
            }
        }
    }
    Err("Stead runs no Python instance".to_owned())
}

fn bare_interpreters(python: &Path, app: &Path, count: usize) -> Result<Vec<u64>, String> {
    let mut children = (0..count)
        .map(|_| import(python, app, "import app, time; time.sleep(60)"))
        .collect::<Result<Vec<_>, _>>()?;
    thread::sleep(Duration::from_secs(2));
    let trees = Trees(children.iter().map(Child::id).collect());
    let sizes = trees
        .pss_of_each()
        .into_iter()
        .map(|(_, pss)| pss)
        .collect();
    for child in &mut children {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(sizes)
}

fn import(python: &Path, app: &Path, code: &str) -> Result<Child, String> {
    Command::new(python)
        .args(["-c", code])
        .current_dir(app)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", python.display()))
}

fn mean(sizes: &[u64]) -> u64 {
    sizes.iter().sum::<u64>() / (sizes.len() as u64).max(1)
}
