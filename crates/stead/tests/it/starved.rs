//! Too few descriptors, too few processes.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

use crate::running::{ONE, Running, Tree, WSGI, get};

/// `stead up` below a program that sets limits first.
fn below(tree: &Tree, limiter: &[&str]) -> Running {
    let mut command = Command::new(limiter[0]);
    command
        .args(&limiter[1..])
        .arg(env!("CARGO_BIN_EXE_stead"))
        .args(["up", "--port", "0"])
        .stdin(std::process::Stdio::null())
        .current_dir(tree.path());
    Running::start(command, tree.path())
}

/// Visitors who stay: as many as are let in.
fn visitors(address: &str, count: usize) -> Vec<std::net::TcpStream> {
    (0..count)
        .map_while(|_| std::net::TcpStream::connect(address).ok())
        .collect()
}

#[test]
fn visitors_who_take_every_descriptor_end_neither_stead_nor_what_serves() {
    let tree = Tree::wsgi();
    tree.write(
        "app.py",
        &WSGI.replace(
            "    start_response",
            "    import os\n    if environ['PATH_INFO'] == '/die': os._exit(9)\n    start_response",
        ),
    );
    let mut running = below(&tree, &["prlimit", "--nofile=64:64"]);
    running.wait_for(" serves after ");
    let address = running.address();
    let mut first = std::net::TcpStream::connect(&address).unwrap();
    assert_eq!(get(&address, "localhost", "/").unwrap().body, "one");
    let others = visitors(&address, 100);
    let open = format!("/proc/{}/fd", running.pid());
    crate::running::wait_until("the last descriptor is taken", || {
        std::fs::read_dir(&open).is_ok_and(|all| all.count() >= 64)
    });

    running.signal(Signal::HUP);
    running.wait_for("too many open files");
    running.wait_for("still serves");
    // An instance cannot be replaced now; it is when visitors have left.
    std::io::Write::write_all(&mut first, b"GET /die HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    running.wait_for("it ended with exit status 9");
    running.wait_for("cannot make a pipe: too many open files in Stead (`ulimit -n`); next try in");
    drop(others);
    drop(first);
    assert_eq!(get(&address, "localhost", "/").unwrap().body, "one");
    running.signal(Signal::HUP);
    running.wait_for_times(" serves after ", 2);
    assert!(running.stop().success());
    assert!(!running.seen().contains("a bug in"), "{}", running.seen());
}

#[test]
fn a_limit_that_serves_nobody_is_refused() {
    let tree = Tree::wsgi();
    let mut running = below(&tree, &["prlimit", "--nofile=12:12"]);
    assert_eq!(running.ended().code(), Some(1));
    running.wait_for("error: cannot start");
    running
        .wait_for("cause: this user may open 12 files (`ulimit -n`), and Stead needs 64 at least");
}

#[test]
fn stead_takes_the_descriptors_that_it_may_and_programs_get_the_usual_limit() {
    let tree = Tree::new(&[
        (
            "app.py",
            "import resource\ndef application(e, start):\n    start('200 OK', [])\n    return [repr(resource.getrlimit(resource.RLIMIT_NOFILE)).encode()]\n",
        ),
        ("stead.toml", ONE),
    ]);
    let mut running = below(&tree, &["prlimit", "--nofile=100:300"]);
    running.wait_for(" serves after ");
    assert_eq!(running.get("/").body, "(100, 300)");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    assert_eq!(
        files.unwrap().split_whitespace().collect::<Vec<_>>()[3..5],
        ["300", "300"]
    );
    assert!(running.stop().success());
}

/// Takes every process that the user may have, as long as `bomb` is there.
const BOMB: &str = r#"
import os, signal, time
while not os.path.exists("bomb"):
    time.sleep(0.02)
held = []
said = False
while os.path.exists("bomb"):
    try:
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        held.append(pid)
    except BlockingIOError:
        if not said:
            print("no more processes", flush=True)
            said = True
        time.sleep(0.01)
for pid in held:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print("calm again", flush=True)
while True:
    time.sleep(600)
"#;

/// One process, no thread.
const SERVER: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os._exit(9)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"one")
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A tree that belongs to a user who runs nothing else, with a copy of the program that this user can execute.
/// `None`: only root can become somebody else.
#[allow(clippy::print_stderr, reason = "a test that cannot run says so")]
fn of_nobody(files: &[(&str, &str)]) -> Option<Tree> {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "not tested: a limit of processes counts all those of a user, so this needs root"
        );
        return None;
    }
    let tree = Tree::new(files);
    std::fs::copy(env!("CARGO_BIN_EXE_stead"), tree.path().join("stead")).unwrap();
    let given = Command::new("chown")
        .args(["-R", NOBODY])
        .arg(tree.path())
        .status();
    assert!(given.unwrap().success());
    Some(tree)
}

/// Who owns nothing and runs nothing: no user of the system, and another one for each process that runs tests.
const NOBODY: &str = "64207";

fn up_of_nobody(tree: &Tree, processes: &str) -> Running {
    let id: u32 = NOBODY.parse().unwrap();
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nproc={processes}:{processes}"))
        .args(["./stead", "up", "--port", "0"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", tree.path())
        .stdin(std::process::Stdio::null())
        .current_dir(tree.path())
        .uid(id)
        .gid(id);
    Running::start(command, tree.path())
}

#[test]
fn a_fork_bomb_of_an_app_ends_neither_stead_nor_what_serves() {
    let files = [
        ("bomb.py", BOMB),
        ("server.py", SERVER),
        (
            "stead.toml",
            "app = \"shop\"\n[process.web]\ncommand = \"exec python3 server.py\"\ncount = 1\n[process.bomb]\ncommand = \"exec python3 bomb.py\"\n",
        ),
    ];
    let Some(tree) = of_nobody(&files) else {
        return;
    };
    // First with too few to begin at all.
    let mut refused = up_of_nobody(&tree, "4");
    assert_eq!(refused.ended().code(), Some(1));
    refused.wait_for("error: cannot start\n");
    refused.wait_for("cause: this user (or machine) may not have more processes (`ulimit -u`)");

    let mut running = up_of_nobody(&tree, "60");
    running.wait_for(" serves after ");
    assert_eq!(running.get("/").body, "one");
    tree.write("bomb", "");
    running.wait_for("no more processes");
    // The edge gave its last table away after 5 s, and 10 s later a thread that waits for work in vain ends, unless it is
    // told otherwise: then there was none, and none to be had.
    std::thread::sleep(std::time::Duration::from_secs(17));
    assert_eq!(running.get("/").body, "one");
    running.signal(Signal::HUP);
    running.wait_for("still serves");
    assert_eq!(running.get("/die").status, 502);
    running.wait_for(
        "cannot fork: this user (or machine) may not have more processes (`ulimit -u`); next try",
    );
    std::fs::remove_file(tree.path().join("bomb")).unwrap();
    running.wait_for("calm again");
    assert_eq!(running.get("/").body, "one");
    assert!(running.stop().success());
    assert!(!running.seen().contains("a bug in"), "{}", running.seen());
}

#[test]
fn a_reload_is_no_end_of_the_terminal_when_descriptors_lack() {
    let tree = Tree::wsgi();
    let line = format!(
        "exec prlimit --nofile=64:64 {} up --port 0",
        env!("CARGO_BIN_EXE_stead")
    );
    // `script` gives it a terminal of its own.
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(std::process::Stdio::null())
        .current_dir(tree.path());
    let mut running = Running::start(command, tree.path());
    running.wait_for(" serves after ");
    let pid: i32 = tree.read(".stead/up.lock").trim().parse().unwrap();
    let shown = running.seen();
    let address = shown.split_once("http://").unwrap().1;
    let address: String = address
        .chars()
        .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
        .collect();
    let others = visitors(&address, 100);
    let open = format!("/proc/{pid}/fd");
    crate::running::wait_until("the last descriptor is taken", || {
        std::fs::read_dir(&open).is_ok_and(|all| all.count() >= 64)
    });
    let stead = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(stead, Signal::HUP).unwrap();
    running.wait_for("still serves");
    drop(others);
    assert_eq!(get(&address, "localhost", "/").unwrap().body, "one");
    rustix::process::kill_process(stead, Signal::TERM).unwrap();
    assert!(running.ended().success());
}
