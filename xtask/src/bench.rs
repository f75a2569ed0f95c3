//! `cargo xtask bench`: Stead beside what users would pick instead, on this machine, in one run.

mod ab;
mod catalog;
mod footprint;
mod h2load;
mod idle;
mod load;
mod machine;
mod processes;
mod reload;
mod report;
mod server;
mod slow;
mod venv;
mod visitor;
mod wrk;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::catalog::{PEERS, Peer, STEAD, WORKS, Work, edge};
use self::report::Results;
use self::server::Places;
use crate::setup::{self, need};

/// The arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure: `hello`, `flask`, `megabyte`, `upload-64k`, `upload-10m`, `sleep`,
    /// `reload`, `slow`, `memory`, `start`; `edge` for all of the edge alone, or of those
    /// `proxy-1k`, `proxy-1k-new`, `proxy-1k-tls`, `proxy-1k-h2`, `static-1k`, `static-100k`, `static-10m`,
    /// `static-1k-tls`, `static-100k-tls`, `static-10m-tls`, `static-1k-h2`, `proxy-1k-h2c`, `static-1k-h2c`,
    /// `proxy-1k-hosts`, `idle`, `slow-edge`.
    /// Default: everything.
    #[arg(value_parser = parse_work)]
    works: Vec<String>,
    /// Only this peer, and others given the same way: `stead`, `nginx-uwsgi`, `nginx-gunicorn`,
    /// `caddy-gunicorn`, `granian`; for the edge `nginx`, `haproxy`, `caddy`, `stead-10-hosts`.
    #[arg(long, value_parser = parse_peer)]
    peer: Vec<String>,
    /// How long one measurement takes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many measurements one median is made of.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often Stead reloads under load; each peer beside it a tenth as often, but at least twice.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    reloads: u32,
    /// One short round of each: to see that it runs, not to measure.
    #[arg(long, conflicts_with_all = ["seconds", "rounds", "reloads"])]
    quick: bool,
}

/// How often and how long.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Measurements for a median.
    pub(crate) rounds: usize,
    /// Of one measurement.
    pub(crate) time: Duration,
    /// Of Stead.
    pub(crate) reloads: usize,
    /// Of each peer beside it.
    pub(crate) other_reloads: usize,
}

/// What is measured without wrk, or beside it.
const APP_WORKS: [&str; 4] = ["reload", "slow", "memory", "start"];
/// The same for the edge alone, and its group.
const EDGE_WORKS: [&str; 3] = ["edge", "idle", "slow-edge"];

const NEEDS: [setup::Need; 10] = [
    need("ab", "apache2-utils"),
    need("nginx", "nginx-light"),
    need("haproxy", "haproxy"),
    need("h2load", "nghttp2-client"),
    need("openssl", "openssl"),
    need("uwsgi", "uwsgi-core"),
    need(
        "/usr/lib/uwsgi/plugins/python3_plugin.so",
        "uwsgi-plugin-python3",
    ),
    need("caddy", "caddy"),
    need("wrk", "wrk"),
    need("/usr/share/python-wheels", "python3-venv"),
];

/// The task.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> ExitCode {
    match measure(root, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: cannot finish the bench\n  cause: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(root: &Path, arguments: &Arguments) -> Result<(), String> {
    let places = prepare(root, arguments)?;
    let pace = pace(arguments);
    let all = arguments.works.is_empty();
    let named = |name: &str| arguments.works.iter().any(|work| work == name);
    let peers = |peer: &Peer| {
        arguments.peer.is_empty() || arguments.peer.iter().any(|name| name == peer.name)
    };
    // Only a whole run replaces the results that are committed.
    let whole = arguments.peer.is_empty() && !arguments.quick;
    let write = |name: &str, whole: bool, results: &Results| {
        let path = if whole { &places.bench } else { &places.work }.join(name);
        fs::write(&path, results.document(&pace))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("wrote {}", path.display());
        Ok::<(), String>(())
    };
    let wanted = |name: &str| all || named(name);
    if WORKS
        .iter()
        .map(|work| work.name)
        .chain(APP_WORKS)
        .any(wanted)
    {
        let results = of_apps(&places, &pace, &wanted, &peers)?;
        write("RESULTS.md", whole && all, &results)?;
    }
    let group = all || named("edge");
    let wanted = |name: &str| group || named(name);
    if edge::WORKS
        .iter()
        .map(|work| work.name)
        .chain(EDGE_WORKS)
        .any(wanted)
    {
        let results = of_edge(&places, &pace, &wanted, &peers)?;
        write("EDGE.md", whole && group, &results)?;
    }
    Ok(())
}

/// Stead beside what else serves apps.
fn of_apps(
    places: &Places,
    pace: &Pace,
    wanted: &dyn Fn(&str) -> bool,
    peers: &dyn Fn(&Peer) -> bool,
) -> Result<Results, String> {
    let works: Vec<&'static Work> = WORKS.iter().filter(|work| wanted(work.name)).collect();
    let taking_part: Vec<&'static Peer> = PEERS.iter().filter(|peer| peers(peer)).collect();
    let with_stead = taking_part.iter().any(|peer| peer.name == STEAD);
    let mut results = Results {
        title: "Results",
        machine: machine::describe(places),
        peers: taking_part.clone(),
        ..Results::default()
    };
    results.loads = load::run(places, &works, peers, pace)?;
    if wanted("memory") && with_stead {
        results.memory = Some(footprint::memory(places)?);
    }
    if wanted("start") && with_stead {
        for app in ["bare", "flask"] {
            results
                .starts
                .push(footprint::start(places, app, pace.rounds)?);
        }
    }
    if wanted("slow") {
        for peer in &taking_part {
            if matches!(peer.name, STEAD | "nginx-uwsgi") {
                results
                    .slow
                    .push(slow::run(places, peer, &WORKS[0], slow::APP, pace)?);
            }
        }
    }
    if wanted("reload") {
        // What stands before gunicorn makes no difference to its reload.
        for peer in taking_part
            .iter()
            .filter(|peer| peer.name != "caddy-gunicorn")
        {
            let reloads = if peer.name == STEAD {
                pace.reloads
            } else {
                pace.other_reloads
            };
            for app in ["bare", "slow-import"] {
                results
                    .reloads
                    .push(reload::run(places, peer, app, reloads)?);
            }
        }
    }
    Ok(results)
}

/// The edge beside other proxies and file servers.
fn of_edge(
    places: &Places,
    pace: &Pace,
    wanted: &dyn Fn(&str) -> bool,
    peers: &dyn Fn(&Peer) -> bool,
) -> Result<Results, String> {
    let works: Vec<&'static Work> = edge::WORKS
        .iter()
        .filter(|work| wanted(work.name))
        .collect();
    let proxies: Vec<&'static Peer> = edge::PROXIES.iter().filter(|peer| peers(peer)).collect();
    let others = edge::FILE_SERVERS.iter().chain(&edge::TABLES);
    let others = others.filter(|peer| peers(peer));
    let mut results = Results {
        title: "Results of the edge alone",
        machine: machine::describe(places),
        peers: proxies.iter().copied().chain(others).collect(),
        ..Results::default()
    };
    results.loads = load::run(places, &works, peers, pace)?;
    if wanted("idle") {
        // HAProxy wants two descriptors for each visitor in any case, which is more than many a machine allows.
        for peer in proxies.iter().filter(|peer| peer.name != "haproxy") {
            results.idle.push(idle::run(places, peer)?);
        }
    }
    if wanted("slow-edge") {
        for crowd in slow::EDGE {
            for peer in &proxies {
                if matches!(peer.name, STEAD | "nginx") {
                    results
                        .slow
                        .push(slow::run(places, peer, &edge::WORKS[0], crowd, pace)?);
                }
            }
        }
    }
    Ok(results)
}

/// Everything that must be there before the first measurement.
fn prepare(root: &Path, arguments: &Arguments) -> Result<Places, String> {
    setup::ensure(&NEEDS)?;
    let places = Places {
        bench: root.join("bench"),
        work: root.join("target/bench"),
        venv: root.join("target/bench/venv"),
        stead: root.join("target/release/stead"),
        proxy: root.join("target/release/examples/proxy"),
        certificate: root.join("target/bench/certificate.pem"),
        certificate_rsa: root.join("target/bench/rsa/certificate.pem"),
    };
    fs::create_dir_all(&places.work)
        .map_err(|error| format!("cannot write {}: {error}", places.work.display()))?;
    venv::ensure(&places)?;
    // P-256, as most public ones are now.
    certify(
        &places.certificate,
        &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    )?;
    certify(&places.certificate_rsa, &["rsa:2048"])?;
    raise_open_files();
    if arguments.peer.is_empty() || arguments.peer.iter().any(|peer| peer == STEAD) {
        build(root, &["--package", "stead"])?;
        build(root, &["--package", "stead-edge", "--example", "proxy"])?;
    }
    Ok(places)
}

fn build(root: &Path, what: &[&str]) -> Result<(), String> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release"])
        .args(what)
        .current_dir(root)
        .stdin(Stdio::null())
        .status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err("Stead does not build".to_owned())
}

/// A certificate that nobody trusts, for those who serve TLS, with a key of this kind beside it.
fn certify(certificate: &Path, kind: &[&str]) -> Result<(), String> {
    if certificate.exists() {
        return Ok(());
    }
    if let Some(directory) = certificate.parent() {
        fs::create_dir_all(directory)
            .map_err(|error| format!("cannot write {}: {error}", directory.display()))?;
    }
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey"])
        .args(kind)
        .args(["-days", "3650", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(certificate.with_file_name("key.pem"))
        .arg("-out")
        .arg(certificate)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run openssl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("openssl made no certificate: {}", stderr.trim()))
}

fn pace(arguments: &Arguments) -> Pace {
    if arguments.quick {
        return Pace {
            rounds: 1,
            time: Duration::from_secs(1),
            reloads: 3,
            other_reloads: 2,
        };
    }
    Pace {
        rounds: arguments.rounds as usize,
        time: Duration::from_secs(arguments.seconds),
        reloads: arguments.reloads as usize,
        other_reloads: (arguments.reloads as usize / 10).max(2),
    }
}

/// A thousand slow visitors need a thousand descriptors here, and the servers that we start as
/// many again.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit
            .maximum
            .map_or(Some(65_536), |most| Some(most.min(65_536))),
        maximum: limit.maximum,
    };
    if limit.current < raised.current {
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// The middle one; the mean of the middle two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

fn parse_work(name: &str) -> Result<String, String> {
    let known = || {
        let works = catalog::works().map(|work| work.name);
        works.chain(APP_WORKS).chain(EDGE_WORKS)
    };
    known_name(name, known().collect())
}

fn parse_peer(name: &str) -> Result<String, String> {
    let mut known: Vec<&str> = catalog::names().collect();
    known.sort_unstable();
    known.dedup();
    known_name(name, known)
}

fn known_name(name: &str, known: Vec<&str>) -> Result<String, String> {
    if known.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("one of: {}", known.join(", ")))
}
