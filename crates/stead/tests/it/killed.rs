//! `kill -9` at every moment: nothing is left, and the next start is an ordinary one.

use rustix::process::Signal;

use crate::running::{Tree, processes_with, wait_until};

/// Everything that runs says so, and leaves something behind.
const APP: &str = r#"
import subprocess, sys, time
subprocess.Popen(["sleep", "765401"], start_new_session=True)
print("importing", flush=True)
time.sleep(0.3)
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"one"]
"#;

const TREE: &str = r#"
app = "shop"
[process.web]
wsgi = "app:application"
count = 1
[process.worker]
command = "setsid sleep 765402 & echo working; sleep 765403; true"
[release]
command = "setsid sleep 765404 & echo migrating; sleep 0.3"
[job.tick]
schedule = "* * * * *"
command = "setsid sleep 765405 & echo ticking; sleep 765406; true"
"#;

#[test]
fn wherever_stead_is_killed_nothing_is_left_and_it_starts_again() {
    let tree = Tree::new(&[("app.py", APP), ("stead.toml", TREE)]);
    let dir = tree.path().to_string_lossy().into_owned();
    let nothing_is_left = |moment: &str| {
        wait_until(
            &format!("killed at `{moment}`: the end of everything"),
            || processes_with(&dir).is_empty() && processes_with("sleep 76540").is_empty(),
        );
    };
    // The words after which it is killed, how often they must have come, and whether a reload is asked for.
    for (moment, times, reload) in [
        ("shop in", 1, false),
        ("migrating", 1, false),
        ("importing", 1, false),
        ("http://", 1, false),
        ("working", 1, false),
        ("ticking", 1, false),
        ("reloading", 1, true),
        ("migrating", 2, true),
        ("importing", 2, true),
        ("serves after", 2, true),
    ] {
        // A job that was due a moment ago, while Stead was not running, is caught up with.
        let due = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(120);
        let reference = serde_json::json!({"tick": {
            "schedule": "* * * * *", "timezone": null, "reference": due.to_string(),
        }});
        tree.write(".stead/jobs.json", &reference.to_string());
        let running = tree.up(&[]);
        if reload {
            running.wait_for("serves after");
            running.signal(Signal::HUP);
        }
        running.wait_for_times(moment, times);
        running.signal(Signal::KILL);
        drop(running);
        nothing_is_left(moment);
    }
    let mut running = tree.serve(&[]);
    assert_eq!(running.get("/").body, "one");
    assert!(running.stop().success());
    nothing_is_left("the end");
}
