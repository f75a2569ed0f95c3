//! Reads a state from lines of words; see the files beside this one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use stead_model::plan::{
    Desired, Hold, Instance, Observed, Phase, ReleaseCommand, Step, Table, Wanted, WantedProcess,
    complete, next_wake, plan,
};
use stead_model::routing::InstanceId;

#[test]
fn every_state_leads_to_its_steps() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let mut seen = 0;
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "txt"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        let (state, expected) = text.split_once("----------\n").unwrap();
        assert_eq!(check(state), expected, "{}", file.display());
        seen += 1;
    }
    assert!(seen > 20, "{seen} cases");
}

fn check(state: &str) -> String {
    let (desired, observed) = read(state);
    let mut text = String::new();
    for step in plan(&desired, &observed) {
        let line = match step {
            Step::RunReleaseCommand { release } => format!("run release command of r{release}"),
            Step::Start {
                id,
                release,
                process,
                slot,
            } => {
                format!("start {} r{release} {process}.{slot}", id.0)
            }
            Step::Publish(table) => format!("publish {}", show(&table)),
            Step::Drain(id) => format!("drain {}", id.0),
            Step::Terminate(id) => format!("terminate {}", id.0),
            Step::Kill(id) => format!("kill {}", id.0),
            Step::Abandon { release, why } => format!("abandon r{release} {why:?}"),
        };
        writeln!(text, "{line}").unwrap();
    }
    if text.is_empty() {
        text = match next_wake(&observed) {
            Some(at) => format!("nothing until {}s", at.as_secs_f64()),
            None => "nothing".into(),
        };
        text += if complete(&desired, &observed) {
            ", complete\n"
        } else {
            "\n"
        };
    }
    text
}

fn show(table: &Table) -> String {
    let mut text = table.release.map_or("none".into(), |r| format!("r{r}"));
    for id in &table.instances {
        write!(text, " {}", id.0).unwrap();
    }
    text
}

fn read(state: &str) -> (Desired, Observed) {
    let mut desired = Desired {
        starting_limit: 1,
        ..Desired::default()
    };
    let mut observed = Observed {
        next_id: 100,
        ..Observed::default()
    };
    let mut releases: BTreeMap<u64, Wanted> = BTreeMap::new();
    let (mut target, mut serving) = (None, None);
    for line in state
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["now", at] => observed.now = seconds(at),
            ["at", "once"] => desired.at_once = true,
            ["limit", n] => desired.starting_limit = n.parse().unwrap(),
            ["target", r] => target = Some(number(r)),
            ["serving", r] => serving = Some(number(r)),
            ["release", r, rest @ ..] => {
                releases.insert(number(r), wanted(number(r), rest));
            }
            ["command", "running", r] => {
                observed.release_command = Some(ReleaseCommand::Running(number(r)));
            }
            ["command", "done", r] => {
                observed.release_command = Some(ReleaseCommand::Done(number(r)));
            }
            ["command", "failed", r] => {
                observed.release_command = Some(ReleaseCommand::Failed(number(r)));
            }
            ["sent", rest @ ..] => {
                observed.sent = table(rest);
                observed.unanswered = 1;
            }
            ["confirmed", rest @ ..] => observed.confirmed = table(rest),
            ["table", rest @ ..] => {
                observed.sent = table(rest);
                observed.confirmed = table(rest);
            }
            ["refused", rest @ ..] => observed.refused = Some(table(rest)),
            ["lost", id, r] => {
                observed
                    .lost
                    .insert(InstanceId(id.parse().unwrap()), number(r));
            }
            ["hold", r, place, "until", at] => {
                let (process, slot) = place.split_once('.').unwrap();
                observed.holds.push(Hold {
                    release: number(r),
                    process: process.into(),
                    slot: slot.parse().unwrap(),
                    until: seconds(at),
                });
            }
            ["instance", id, r, place, phase, rest @ ..] => {
                observed.instances.push(instance(id, r, place, phase, rest));
            }
            other => panic!("{other:?}"),
        }
    }
    desired.target = target.map(|r| releases[&r].clone());
    desired.serving = serving.map(|r| releases[&r].clone());
    (desired, observed)
}

/// `web x2`, `web auto`, `worker x1`, `web x2 ceiling 3`, `command`, separated by commas.
fn wanted(release: u64, words: &[&str]) -> Wanted {
    let mut wanted = Wanted {
        release,
        ..Wanted::default()
    };
    for part in words.join(" ").split(", ") {
        let words: Vec<&str> = part.split(' ').collect();
        if words == ["command"] {
            wanted.release_command = true;
            continue;
        }
        let ceiling = match words.as_slice() {
            [_, _, "ceiling", n] => n.parse().unwrap(),
            _ => u32::MAX,
        };
        let process = WantedProcess {
            count: words[1].strip_prefix('x').map(|n| n.parse().unwrap()),
            ceiling,
            visited: !words[0].starts_with("worker"),
        };
        wanted.processes.insert(words[0].into(), process);
    }
    wanted
}

fn instance(id: &str, r: &str, place: &str, phase: &str, rest: &[&str]) -> Instance {
    let (process, slot) = place.split_once('.').unwrap();
    let visited = !process.starts_with("worker");
    let mut instance = Instance {
        id: InstanceId(id.parse().unwrap()),
        release: number(r),
        process: process.into(),
        slot: slot.parse().unwrap(),
        phase: match phase {
            "starting" => Phase::Starting,
            "healthy" => Phase::Healthy,
            "draining" => Phase::Draining,
            "stopping" => Phase::Stopping,
            "killed" => Phase::Killed,
            other => panic!("{other}"),
        },
        since: Duration::ZERO,
        visited,
        listed: visited && phase != "starting",
        drained: false,
        recycle: false,
        within: Duration::from_secs(if visited { 60 } else { 1 }),
        drain: Duration::from_secs(30),
        grace: Duration::from_secs(10),
    };
    for word in rest {
        match *word {
            "drained" => instance.drained = true,
            "recycle" => instance.recycle = true,
            "unlisted" => instance.listed = false,
            "listed" => instance.listed = true,
            since => instance.since = seconds(since),
        }
    }
    instance
}

fn table(words: &[&str]) -> Table {
    Table {
        release: words.first().filter(|w| **w != "none").map(|w| number(w)),
        instances: words
            .iter()
            .skip(1)
            .map(|w| InstanceId(w.parse().unwrap()))
            .collect(),
    }
}

fn number(word: &str) -> u64 {
    word.trim_start_matches('r').parse().unwrap()
}

fn seconds(word: &str) -> Duration {
    Duration::from_secs_f64(word.trim_end_matches('s').parse().unwrap())
}
