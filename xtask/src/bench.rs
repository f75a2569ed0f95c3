//! `cargo xtask bench`: Stead beside what users would pick instead, on this machine, in one run.

mod catalog;
mod footprint;
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

use self::catalog::{PEERS, Peer, STEAD, WORKS, Work};
use self::report::Results;
use self::server::Places;
use crate::setup::{self, need};

/// The arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure: `hello`, `flask`, `megabyte`, `upload-64k`, `upload-10m`, `sleep`,
    /// `reload`, `slow`, `memory`, `start`. Default: everything.
    #[arg(value_parser = parse_work)]
    works: Vec<String>,
    /// Only this peer, and others given the same way: `stead`, `nginx-uwsgi`,
    /// `nginx-gunicorn`, `caddy-gunicorn`, `granian`.
    #[arg(long, value_parser = parse_peer)]
    peer: Vec<&'static Peer>,
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
const OTHER_WORKS: [&str; 4] = ["reload", "slow", "memory", "start"];

const NEEDS: [setup::Need; 6] = [
    need("nginx", "nginx-light"),
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
    let peers: Vec<&'static Peer> = PEERS
        .iter()
        .filter(|peer| {
            arguments.peer.is_empty() || arguments.peer.iter().any(|p| p.name == peer.name)
        })
        .collect();
    let with_stead = peers.iter().any(|peer| peer.name == STEAD);
    let wanted =
        |name: &str| arguments.works.is_empty() || arguments.works.iter().any(|w| w == name);
    let works: Vec<&'static Work> = WORKS.iter().filter(|work| wanted(work.name)).collect();

    let mut results = Results {
        machine: machine::describe(&places),
        ..Results::default()
    };
    results.loads = load::run(&places, &works, &peers, &pace)?;
    if wanted("memory") && with_stead {
        results.memory = Some(footprint::memory(&places)?);
    }
    if wanted("start") && with_stead {
        for app in ["bare", "flask"] {
            results
                .starts
                .push(footprint::start(&places, app, pace.rounds)?);
        }
    }
    if wanted("slow") {
        for peer in peers
            .iter()
            .filter(|peer| matches!(peer.name, STEAD | "nginx-uwsgi"))
        {
            results.slow.push(slow::run(&places, peer, &pace)?);
        }
    }
    if wanted("reload") {
        // What stands before gunicorn makes no difference to its reload.
        for peer in peers.iter().filter(|peer| peer.name != "caddy-gunicorn") {
            let reloads = if peer.name == STEAD {
                pace.reloads
            } else {
                pace.other_reloads
            };
            for app in ["bare", "slow-import"] {
                results
                    .reloads
                    .push(reload::run(&places, peer, app, reloads)?);
            }
        }
    }

    // Only a whole run replaces the results that are committed.
    let whole = arguments.works.is_empty() && arguments.peer.is_empty() && !arguments.quick;
    let path = if whole { &places.bench } else { &places.work }.join("RESULTS.md");
    fs::write(&path, results.document(&pace))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Everything that must be there before the first measurement.
fn prepare(root: &Path, arguments: &Arguments) -> Result<Places, String> {
    setup::ensure(&NEEDS)?;
    let places = Places {
        bench: root.join("bench"),
        work: root.join("target/bench"),
        venv: root.join("target/bench/venv"),
        stead: root.join("target/release/stead"),
    };
    fs::create_dir_all(&places.work)
        .map_err(|error| format!("cannot write {}: {error}", places.work.display()))?;
    venv::ensure(&places)?;
    raise_open_files();
    if arguments.peer.is_empty() || arguments.peer.iter().any(|peer| peer.name == STEAD) {
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--package", "stead"])
            .current_dir(root)
            .stdin(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err("Stead does not build".to_owned());
        }
    }
    Ok(places)
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
    let known = || WORKS.iter().map(|work| work.name).chain(OTHER_WORKS);
    if known().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "one of: {}",
        known().collect::<Vec<_>>().join(", ")
    ))
}

fn parse_peer(name: &str) -> Result<&'static Peer, String> {
    let known: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
    catalog::peer(name).ok_or_else(|| format!("one of: {}", known.join(", ")))
}
