//! How long a person waits: from a fresh machine to an app that answers, from a changed line to visitors who get it, and back. Measured
//! with `cargo xtask lab --long`, of the program that `STEAD_LAB_PROGRAM` names, else the one that was built with the tests.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, Machine};

use super::app::Host;
use super::visitors::Visitors;
use crate::figures;
use crate::laptop::{Laptop, Said};

/// How often what takes a second is done; the median counts.
const TIMES: usize = 7;

/// The packages of the example, where the machine finds them: it reaches no other index.
struct Index {
    server: Child,
    url: String,
}

impl Index {
    fn of(machine: &Machine, requirements: &Path, dir: &Path) -> Self {
        let wheels = dir.join("wheels");
        let loaded = Command::new("python3")
            .args(["-m", "pip", "--quiet", "download", "--no-deps", "--dest"])
            .arg(&wheels)
            .arg("--requirement")
            .arg(requirements)
            .status()
            .unwrap();
        assert!(loaded.success());
        // PEP 503: a directory for each project.
        for wheel in fs::read_dir(&wheels).unwrap().flatten() {
            let file = wheel.file_name().into_string().unwrap();
            let project = file
                .split('-')
                .next()
                .unwrap()
                .to_lowercase()
                .replace('_', "-");
            fs::create_dir_all(dir.join(&project)).unwrap();
            fs::copy(wheel.path(), dir.join(project).join(file)).unwrap();
        }
        let (network, _) = machine.address().rsplit_once('.').unwrap();
        let port = std::net::TcpListener::bind((format!("{network}.1"), 0)).unwrap();
        let port = port.local_addr().unwrap().port();
        let server = Command::new("python3")
            .args([
                "-m",
                "http.server",
                "--bind",
                &format!("{network}.1"),
                &port.to_string(),
            ])
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            server,
            url: format!("http://{network}.1:{port}"),
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_person_does_not_wait_long() {
    if !figures::long() {
        return;
    }
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("guestbook");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/guestbook");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&example)
        .arg(&app)
        .status();
    assert!(copied.unwrap().success());
    let index = Index::of(&machine, &app.join("requirements.txt"), dir.path());
    let manifest = fs::read_to_string(app.join("stead.toml")).unwrap();
    let url = &index.url;
    fs::write(
        app.join("stead.toml"),
        format!("{manifest}\n[build]\nindex = \"{url}\"\n\n[hosts]\nproduction = [\"h1\"]\n"),
    )
    .unwrap();
    let says = |words: &[&str]| {
        let mut command = laptop.verb(words);
        let said = Said::of(command.current_dir(&app).output().unwrap());
        (said.err.clone(), said.good())
    };
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());

    // uv is there already, as the machine cannot download it.
    let host = Host::of(&machine);
    let began = Instant::now();
    laptop.host("add", "h1", &["--yes"]).good();
    says(&["deploy", "--dirty"]);
    let fresh = began.elapsed();
    figures::reached(
        1,
        "fresh machine → guestbook answers (`host add`, first `deploy`)",
        "≤ 60 s",
        &seconds(fresh),
    );

    let visitors = Visitors::come_to(&host.address(), "/health");
    let mut steps = String::new();
    let mut of = |words: &[&str]| {
        let mut times = Vec::new();
        for time in 0..TIMES {
            fs::write(app.join("guestbook/changed.py"), format!("TIME = {time}\n")).unwrap();
            let began = Instant::now();
            steps = says(words).0;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times[times.len() / 2]
    };
    let deploy = of(&["deploy", "--dirty"]);
    let back = of(&["rollback"]);
    let (served, lost) = visitors.go();
    figures::reached(
        2,
        "code-only `deploy` of the guestbook, with its release command",
        "≤ 2 s",
        &seconds(deploy),
    );
    figures::reached(3, "`rollback` of it", "≤ 1 s", &seconds(back));
    let of_all = served + lost.len() as u64;
    figures::reached(
        4,
        "lost of 500 requests/s meanwhile",
        "0",
        &format!("{} of {of_all}", lost.len()),
    );
    println!("{steps}");
    assert_eq!(lost, Vec::<String>::new());
}
