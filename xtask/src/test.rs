//! `cargo xtask test`: what CI runs and README names.
//!
//! Every part runs even when an earlier one failed, and the last line sums them all up:
//! `N passed, N failed`.

mod count;
mod pythons;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

pub(crate) use self::count::Count;
use crate::lab;
use crate::setup::{self, need};
use crate::tidy;

/// The arguments of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A part (`format`, `lints`, `tidy`, `documentation`, `rust`, `worker`), or else words that
    /// the names of Rust tests must contain.
    filter: Option<String>,
}

/// What the tests run beside Rust itself. Everything else comes from package registries.
const NEEDS: [setup::Need; 15] = [
    // Let's Encrypt's own certificate authority for tests, with a DNS server.
    need("pebble", "pebble"),
    // Another authority, and what gives it a network of its own.
    need("caddy", "caddy"),
    need("ip", "iproute2"),
    // Another clock for a program.
    need("faketime", "faketime"),
    // Looks at what the edge offers over TLS.
    need("sslscan", "sslscan"),
    need("git", "git"),
    need("python3", "python3"),
    need("node", "nodejs"),
    need("npm", "npm"),
    need("cc", "build-essential"),
    // Stands before the edge in a test.
    need("haproxy", "haproxy"),
    need("curl", "curl"),
    need("brotli", "brotli"),
    need("zstd", "zstd"),
    // What reads the metrics in a test, as Prometheus would.
    need(
        "/usr/lib/python3/dist-packages/prometheus_client/__init__.py",
        "python3-prometheus-client",
    ),
];

/// One part of the whole.
struct Part {
    name: &'static str,
    run: fn(&Path, Option<&str>) -> Count,
}

const PARTS: [Part; 6] = [
    Part {
        name: "format",
        run: format,
    },
    Part {
        name: "tidy",
        run: |root, _| tidy::check_and_print(root),
    },
    Part {
        name: "lints",
        run: lints,
    },
    Part {
        name: "documentation",
        run: documentation,
    },
    Part {
        name: "worker",
        run: worker,
    },
    Part {
        name: "rust",
        run: rust,
    },
];

/// Run what `arguments` select.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> ExitCode {
    let filter = arguments.filter.as_deref();
    let named = PARTS.iter().any(|part| Some(part.name) == filter);
    let mut total = Count::default();
    let mut failed = Vec::new();
    if let Err(message) = setup::ensure(&NEEDS).and_then(|()| lab::prepare()) {
        println!("{message}");
        total += Count::one(false);
        failed.push("prerequisites");
    }
    for part in &PARTS {
        let (selected, words) = match filter {
            Some(_) if named => (filter == Some(part.name), None),
            Some(words) => (part.name == "rust", Some(words)),
            None => (true, None),
        };
        if !selected {
            continue;
        }
        println!("── {}", part.name);
        let start = Instant::now();
        let count = (part.run)(root, words);
        println!(
            "   {}: {count} in {} s",
            part.name,
            start.elapsed().as_secs()
        );
        if count.failed > 0 {
            failed.push(part.name);
        }
        total += count;
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{total}");
    if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn format(root: &Path, _: Option<&str>) -> Count {
    if !has_cargo_tool("fmt") {
        return skipped("rustfmt is not installed");
    }
    succeeds(cargo(root).args(["fmt", "--all", "--check"]))
}

fn lints(root: &Path, _: Option<&str>) -> Count {
    if !has_cargo_tool("clippy") {
        return skipped("clippy is not installed");
    }
    succeeds(
        cargo(root)
            .args(["clippy", "--workspace", "--all-targets", "--quiet", "--"])
            .args(["-D", "warnings"]),
    )
}

fn documentation(root: &Path, _: Option<&str>) -> Count {
    succeeds(
        cargo(root)
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--quiet",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// The worker's own tests, on every Python that it must run on and that is here, with its native part and without.
fn worker(root: &Path, _: Option<&str>) -> Count {
    let tests = root.join("crates/stead-build/worker/tests");
    if !tests.is_dir() {
        println!("   no {}", tests.display());
        return Count::one(false);
    }
    let pythons = pythons::find();
    // The newest one runs the tests, with each one as the worker's interpreter.
    let Some(newest) = pythons.last() else {
        println!("   no Python 3.6 or newer on PATH");
        return Count::one(false);
    };
    let Some(native) = native_part(root) else {
        println!("   the worker's native part was not compiled");
        return Count::one(false);
    };
    let mut total = Count::default();
    for python in &pythons {
        let run = |native: &str| {
            let mut command = Command::new(&newest.program);
            command
                .args(["-m", "unittest", "discover", "-s", "tests"])
                .current_dir(root.join("crates/stead-build/worker"))
                .env("STEAD_TEST_PYTHONS", &python.program)
                .env("STEAD_WORKER_NATIVE", native)
                .env("PYTHONDONTWRITEBYTECODE", "1");
            read(&mut command, Count::from_unittest)
        };
        // They mostly wait: both at once take as long as one.
        let (with, without) = thread::scope(|scope| {
            let without = scope.spawn(|| run("none"));
            (run(&native), without.join().unwrap_or(Count::one(false)))
        });
        let (major, minor) = python.version;
        println!("   Python {major}.{minor}: {with}; without the native part {without}");
        total += with;
        total += without;
    }
    total
}

/// Where Cargo has the native part of the worker, as its build script made it.
fn native_part(root: &Path) -> Option<String> {
    let mut command = cargo(root);
    command.args([
        "build",
        "--package",
        "stead-build",
        "--message-format",
        "json",
    ]);
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    let messages = String::from_utf8(output.stdout).ok()?;
    let mut lines = messages.lines();
    let line = lines.find(|line| {
        line.contains(r#""reason":"build-script-executed""#) && line.contains("/stead-build#")
    })?;
    let (_, directory) = line.split_once(r#""out_dir":""#)?;
    let library = Path::new(directory.split_once('"')?.0).join("stead_native.so");
    let is_made = library.metadata().is_ok_and(|file| file.len() > 0);
    is_made.then(|| library.display().to_string())
}

fn rust(root: &Path, words: Option<&str>) -> Count {
    let mut command = cargo(root);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.args(words);
    read(&mut command, Count::from_cargo)
}

fn cargo(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root);
    command
}

fn has_cargo_tool(tool: &str) -> bool {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([tool, "--version"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success())
}

fn skipped(why: &str) -> Count {
    println!("   skipped: {why}");
    Count::default()
}

/// One test: the command ends well.
fn succeeds(command: &mut Command) -> Count {
    match command.stdin(Stdio::null()).status() {
        Ok(status) => Count::one(status.success()),
        Err(error) => {
            println!("   cannot run {command:?}: {error}");
            Count::one(false)
        }
    }
}

/// Run a test program, pass its lines on, and count the tests in what it printed.
fn read(command: &mut Command, count: fn(&str) -> Count) -> Count {
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            println!("   cannot run {command:?}: {error}");
            return Count::one(false);
        }
    };
    let output = Arc::new(Mutex::new(String::new()));
    let (done, ended) = mpsc::channel();
    if let Some(stream) = child.stdout.take() {
        let (output, done) = (Arc::clone(&output), done.clone());
        thread::spawn(move || echo(stream, &output, &done, |text| print!("{text}")));
    }
    if let Some(stream) = child.stderr.take() {
        let output = Arc::clone(&output);
        thread::spawn(move || echo(stream, &output, &done, |text| eprint!("{text}")));
    }
    let ended_well = child.wait().is_ok_and(|status| status.success());
    // What is still in the pipes is read, but a grandchild that keeps them open is not waited for.
    for _ in 0..2 {
        let _ = ended.recv_timeout(Duration::from_secs(5));
    }
    let output = output.lock().unwrap_or_else(PoisonError::into_inner);
    let mut count = count(&output);
    // A program that could not be built, or that died, has printed no number for it.
    if !ended_well && count.failed == 0 {
        count += Count::one(false);
    }
    count
}

/// Read to the end; show each line as it comes and keep it.
fn echo(stream: impl Read, output: &Mutex<String>, done: &Sender<()>, show: impl Fn(&str)) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line);
        show(&text);
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.push_str(&text);
        line.clear();
    }
    let _ = done.send(());
}
