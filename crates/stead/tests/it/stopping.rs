//! The end of `stead up`: drained, forced, killed.

use rustix::process::Signal;

use crate::running::{Tree, get, processes_with, wait_until};

/// Answers after `/tmp`-like file `go` in the source exists.
const SLOW: &str = r#"
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("in flight", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.02)
    start_response("200 OK", [])
    return [b"done"]
"#;

#[test]
fn requests_in_flight_end_before_stead_does() {
    let tree = Tree::wsgi();
    tree.write("app.py", SLOW);
    let mut running = tree.serve(&[]);
    let address = running.address();
    let visitor = std::thread::spawn(move || get(&address, "localhost", "/slow"));
    running.wait_for("in flight");
    running.signal(Signal::TERM);
    running.wait_for("stopping: draining 1 connection; again to stop now");
    tree.write("go", "");
    let answer = visitor.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    assert!(running.ended().success());
    running.wait_for("stopped");
}

#[test]
fn a_second_signal_stops_at_once() {
    let tree = Tree::wsgi();
    tree.write("app.py", SLOW);
    let mut running = tree.serve(&[]);
    let address = running.address();
    let visitor = std::thread::spawn(move || get(&address, "localhost", "/slow"));
    running.wait_for("in flight");
    running.signal(Signal::INT);
    running.wait_for("again to stop now");
    // Two signals close together are one wish.
    std::thread::sleep(std::time::Duration::from_millis(400));
    running.signal(Signal::INT);
    assert_eq!(running.ended().code(), Some(130));
    assert!(visitor.join().unwrap().is_err());
    let dir = tree.path().to_string_lossy().into_owned();
    wait_until("the end of every instance", || {
        processes_with(&dir).is_empty()
    });
}

#[test]
fn no_orphan_is_left_when_stead_is_killed() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 2\n[process.worker]\ncommand = \"setsid sleep 654321 & sleep 654322\"\n",
    );
    let running = tree.serve(&[]);
    wait_until("the worker", || !processes_with("sleep 654321").is_empty());
    running.signal(Signal::KILL);
    let dir = tree.path().to_string_lossy().into_owned();
    wait_until("the end of every instance", || {
        processes_with(&dir).is_empty() && processes_with("sleep 65432").is_empty()
    });
}

#[test]
fn an_app_that_ignores_sigterm_is_killed_after_its_drain() {
    let tree = Tree::new(&[(
        "server.py",
        "import signal, http.server, os\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nhttp.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['PORT']), bind='127.0.0.1')\n",
    )]);
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\ncommand = \"exec python3 server.py\"\ncount = 1\ndrain = \"1s\"\n",
    );
    let mut running = tree.serve(&[]);
    assert_eq!(running.get("/server.py").status, 200);
    assert!(running.stop().success());
}

#[test]
fn a_stop_during_the_first_start_leaves_nothing() {
    let tree = Tree::wsgi();
    tree.write(
        "app.py",
        "import time\nprint('importing', flush=True)\ntime.sleep(600)\n",
    );
    let mut running = tree.up(&[]);
    running.wait_for("importing");
    assert!(running.stop().success());
    let dir = tree.path().to_string_lossy().into_owned();
    wait_until("the end of every instance", || {
        processes_with(&dir).is_empty()
    });
}

/// A tree whose build takes for ever, in processes that are no direct children.
fn building(mark: &str) -> Tree {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        &format!(
            "app = \"shop\"\n[build]\ncommands = [\"(setsid sleep {mark}1 &) ; sh -c 'sleep {mark}2; true'\"]\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n"
        ),
    );
    tree
}

#[test]
fn no_orphan_of_a_build_is_left_when_stead_is_killed() {
    let tree = building("65411");
    let running = tree.up(&[]);
    wait_until("the build", || processes_with("sleep 65411").len() >= 2);
    running.signal(Signal::KILL);
    wait_until("the end of the build", || {
        processes_with("sleep 65411").is_empty()
    });
}

#[test]
fn a_stop_during_a_build_leaves_nothing_of_it() {
    let tree = building("65412");
    let mut running = tree.up(&[]);
    wait_until("the build", || processes_with("sleep 65412").len() >= 2);
    assert!(running.stop().success());
    assert_eq!(processes_with("sleep 65412"), Vec::<String>::new());
}

#[test]
fn what_a_build_command_leaves_in_the_background_does_not_hold_the_build_up() {
    let tree = Tree::wsgi();
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[build]\ncommands = [\"sleep 654131 & echo made\"]\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n",
    );
    let running = tree.serve(&[]);
    assert_eq!(running.get("/").status, 200);
    wait_until("the end of what the build left", || {
        processes_with("sleep 654131").is_empty()
    });
}

/// A real Celery, whose queue is a directory: its children run the tasks, and its parent waits for them.
const TASKS: &str = r#"
import os, time
from celery import Celery
os.makedirs("queue", exist_ok=True)
app = Celery("tasks", broker="filesystem://", broker_transport_options={
    "data_folder_in": "queue", "data_folder_out": "queue", "store_processed": False})
@app.task
def wait_for_go():
    print("task begins", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.02)
    print("task ends", flush=True)
"#;

#[test]
fn a_task_of_celery_ends_before_its_worker_does() {
    let tree = Tree::new(&[
        ("tasks.py", TASKS),
        ("requirements.txt", "celery==5.4.0\n"),
        (
            "app.py",
            "import tasks\ndef application(environ, start_response):\n    if environ['PATH_INFO'] == '/go':\n        tasks.wait_for_go.delay()\n    start_response('200 OK', [])\n    return [b'one']\n",
        ),
        (
            "stead.toml",
            "app = \"shop\"\n[process.web]\nwsgi = \"app:application\"\ncount = 1\n[process.worker]\ncommand = \"celery -A tasks worker -c 2 --loglevel=INFO\"\n",
        ),
    ]);
    let mut running = tree.serve(&[]);
    running.wait_for(" ready.");
    assert_eq!(running.get("/go").status, 200);
    running.wait_for("task begins");
    running.signal(Signal::TERM);
    running.wait_for("Warm shutdown");
    tree.write("go", "");
    running.wait_for("task ends");
    assert!(running.ended().success());
    assert!(!running.seen().contains("WorkerLost"), "{}", running.seen());
}
