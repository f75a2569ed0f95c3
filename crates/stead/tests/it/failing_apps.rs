//! Apps that do not start, or misbehave.

use crate::running::{ONE, Running, Tree, WSGI};

fn fails(files: &[(&str, &str)]) -> String {
    let tree = Tree::new(files);
    let mut running: Running = tree.up(&[]);
    assert_eq!(running.ended().code(), Some(1), "{}", running.seen());
    running.wait_for("state: ");
    let seen = running.seen();
    assert!(!seen.contains("http://"), "{seen}");
    seen
}

#[track_caller]
fn has(seen: &str, parts: &[&str]) {
    for part in parts {
        assert!(seen.contains(part), "`{part}` is missing:\n{seen}");
    }
}

#[test]
fn a_module_that_is_missing_is_named() {
    let seen = fails(&[("app.py", "import no_such_module\n"), ("stead.toml", ONE)]);
    has(
        &seen,
        &[
            "error: cannot start release 1 of `shop`",
            "No module named 'no_such_module'",
            "cause: ",
            "state: ",
        ],
    );
}

#[test]
fn an_entry_point_that_is_missing_is_named() {
    let seen = fails(&[("app.py", "def other(e, s): pass\n"), ("stead.toml", ONE)]);
    has(&seen, &["error: cannot start", "application", "other"]);
}

#[test]
fn an_entry_point_that_is_not_callable_is_named() {
    let seen = fails(&[("app.py", "application = 5\n"), ("stead.toml", ONE)]);
    has(
        &seen,
        &[
            "error: cannot start",
            "of type `int`, which cannot be called",
        ],
    );
}

#[test]
fn an_app_that_exits_at_once_is_reported_with_its_last_words() {
    let seen = fails(&[(
        "stead.toml",
        "app = \"shop\"\n[process.web]\ncommand = \"echo last words; exit 7\"\ncount = 1\n",
    )]);
    has(&seen, &["last words", "exit status 7"]);
}

#[test]
fn an_app_that_never_becomes_healthy_is_reported_with_what_it_answered() {
    let seen = fails(&[
        (
            "app.py",
            &WSGI.replace("200 OK", "500 Internal Server Error"),
        ),
        (
            "stead.toml",
            &format!("{ONE}health = {{ path = \"/up\", within = \"2s\" }}\n"),
        ),
    ]);
    has(&seen, &["/up", "500"]);
}

#[test]
fn a_release_command_that_fails_stops_the_release() {
    let seen = fails(&[
        ("app.py", WSGI),
        (
            "stead.toml",
            &format!("{ONE}[release]\ncommand = \"echo no database; exit 3\"\n"),
        ),
    ]);
    has(&seen, &["no database", "release"]);
}

#[test]
fn an_app_that_floods_its_log_still_serves() {
    let tree = Tree::wsgi();
    tree.write(
        "app.py",
        &format!("import threading\ndef flood():\n    while True:\n        print('x' * 200)\nthreading.Thread(target=flood, daemon=True).start()\n{WSGI}"),
    );
    let mut running = tree.up(&[]);
    running.wait_for(" serves after ");
    assert_eq!(running.get("/").body, "one");
    assert!(running.stop().success());
}

#[test]
fn an_instance_that_dies_is_replaced() {
    let tree = Tree::wsgi();
    tree.write(
        "app.py",
        &WSGI.replace(
            "    start_response",
            "    import os\n    if environ['PATH_INFO'] == '/die': os._exit(9)\n    start_response",
        ),
    );
    let mut running = tree.serve(&[]);
    assert_eq!(running.get("/die").status, 502);
    assert_eq!(running.get("/").body, "one");
    assert!(running.stop().success());
}
