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

#[test]
fn a_process_that_ends_again_and_again_is_reported_with_its_last_words() {
    let tree = Tree::wsgi();
    let lines: String = (1..=25)
        .map(|n| format!("echo line {n} of the failure; "))
        .collect();
    tree.write(
        "stead.toml",
        &format!("{ONE}[process.worker]\ncommand = \"{lines}exit 4\"\n"),
    );
    let mut running = tree.up(&[]);
    running.wait_for(
        "error: cannot keep `worker.1` running\n  cause: `worker` ended 5 times within a minute\n  \
         state: the web processes are not affected\n",
    );
    running.wait_for("line 25 of the failure");
    running.wait_for("release 1 serves after ");
    running.wait_for("worker: 1 instance, ending again and again\n");
    assert_eq!(running.get("/").body, "one");
    // What comes next is judged by what visitors get.
    tree.write("stead.toml", "app = 5\n");
    running.signal(rustix::process::Signal::HUP);
    running.wait_for("state: release 1 still serves\n");
    assert!(running.stop().success());
}

/// Answers each path with what is in the file of that name, byte for byte.
const RAW: &str = r#"
import os, socket
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(os.environ["PORT"])))
server.listen(16)
while True:
    connection, _ = server.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            break
        head += piece
    else:
        name = head.split(b" ")[1].decode().strip("/") or "good"
        connection.sendall(open("answers/" + name, "rb").read())
    connection.close()
"#;

#[test]
fn an_app_that_answers_nonsense_or_half_harms_no_other_request() {
    let tree = Tree::new(&[
        ("server.py", RAW),
        (
            "stead.toml",
            "app = \"shop\"\n[process.web]\ncommand = \"exec python3 server.py\"\ncount = 1\n",
        ),
        (
            "answers/good",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
        ),
        ("answers/garbage", "\x00\x01 garbage\r\n\r\n"),
        ("answers/nothing", ""),
        (
            "answers/two-lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\none",
        ),
        (
            "answers/status",
            "HTTP/1.1 99 OK\r\nContent-Length: 3\r\n\r\none",
        ),
        (
            "answers/long-head",
            &format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1_000_000)),
        ),
        (
            "answers/half",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        ),
        (
            "answers/half-chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ),
    ]);
    let mut running = tree.serve(&[]);
    for nonsense in ["garbage", "nothing", "two-lengths", "status", "long-head"] {
        assert_eq!(
            running.get(&format!("/{nonsense}")).status,
            502,
            "{nonsense}"
        );
        assert_eq!(running.get("/").body, "one", "after {nonsense}");
    }
    // What a visitor has seen the beginning of cannot become a 502: it is cut, so that nobody takes it for the whole.
    for half in ["half", "half-chunk"] {
        let address = running.address();
        let answer = crate::running::get(&address, "localhost", &format!("/{half}"));
        assert!(answer.is_err(), "{half}: {answer:?}");
        assert_eq!(running.get("/").body, "one", "after {half}");
    }
    running.wait_for("! `GET /garbage`: a malformed head");
    running.wait_for("! it closed the connection instead of answering `GET /nothing`");
    running.wait_for("! `GET /half`: it closed the connection before its answer was complete");
    assert!(running.stop().success());
}
