//! A source tree in a temporary directory, and `stead` running in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The smallest WSGI app that can be told apart from its next version.
pub(crate) const WSGI: &str = r#"
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one"]
"#;

/// One instance of `app.py`, so that tests are light.
pub(crate) const ONE: &str = r#"
app = "shop"
[process.web]
wsgi = "app:application"
count = 1
threads = 4
"#;

/// A source tree.
pub(crate) struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    /// A tree with these files.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("shop").tempdir().unwrap();
        let tree = Self { dir };
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    /// `app.py` is [`WSGI`], `stead.toml` is [`ONE`].
    pub(crate) fn wsgi() -> Self {
        Self::new(&[("app.py", WSGI), ("stead.toml", ONE)])
    }

    /// A copy of one of `examples/`.
    pub(crate) fn example(name: &str) -> Self {
        let tree = Self::new(&[]);
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples")
            .join(name);
        let copied = Command::new("cp")
            .arg("-R")
            .arg(from.join("."))
            .arg(tree.path())
            .status()
            .unwrap();
        assert!(copied.success());
        let _ = std::fs::remove_dir_all(tree.path().join(".stead"));
        tree
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As editors do: a new file takes the old one's place.
        let draft = path.with_extension("draft~");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(path)).unwrap()
    }

    /// `stead` with these arguments in this tree.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stead(arguments);
        command.current_dir(self.path());
        command
    }

    /// Run `stead` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What [`Tree::run`] printed, and its exit code, for a snapshot.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        said(&self.run(arguments), &self.path())
    }

    /// Start `stead up` on a free port.
    pub(crate) fn up(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&["up", "--port", "0"]);
        command.args(arguments);
        Running::start(command, self.path())
    }

    /// Start `stead up` on a free port and wait until it answers.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Running {
        let running = self.up(arguments);
        running.wait_for(" serves after ");
        running
    }
}

/// The program under test.
pub(crate) fn stead(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "PORT"] {
        command.env_remove(variable);
    }
    command
}

/// stdout, stderr and exit code, with what differs from run to run taken out.
pub(crate) fn said(output: &Output, dir: &Path) -> String {
    let part = |name: &str, bytes: &[u8]| match String::from_utf8_lossy(bytes).as_ref() {
        "" => String::new(),
        text => format!("--- {name}\n{}\n", text.trim_end()),
    };
    let text = format!(
        "{}{}--- exit code {}",
        part("stdout", &output.stdout),
        part("stderr", &output.stderr),
        output
            .status
            .code()
            .map_or("none".to_owned(), |code| code.to_string()),
    );
    text.replace(&*dir.to_string_lossy(), "[DIR]")
}

/// `stead up`, running. Stopped when dropped.
pub(crate) struct Running {
    child: Child,
    dir: PathBuf,
    seen: Arc<(Mutex<String>, Condvar)>,
}

impl Running {
    pub(crate) fn start(mut command: Command, dir: PathBuf) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        collect(child.stdout.take().unwrap(), Arc::clone(&seen));
        collect(child.stderr.take().unwrap(), Arc::clone(&seen));
        Self { child, dir, seen }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Everything printed so far, stdout and stderr together.
    pub(crate) fn seen(&self) -> String {
        self.seen
            .0
            .lock()
            .unwrap()
            .replace(&*self.dir.to_string_lossy(), "[DIR]")
    }

    /// Wait until `text` was printed.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_for_times(text, 1);
    }

    /// Wait until `text` was printed so many times.
    pub(crate) fn wait_for_times(&self, text: &str, times: usize) {
        let (seen, changed) = &*self.seen;
        let until = Instant::now() + PATIENCE;
        let mut guard = seen.lock().unwrap();
        while guard.matches(text).count() < times {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{text}` did not come:\n{}", *guard);
            guard = changed.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// `127.0.0.1:41234`.
    pub(crate) fn address(&self) -> String {
        self.wait_for("http://");
        let seen = self.seen.0.lock().unwrap();
        let address = seen.lines().find_map(|line| line.strip_prefix("http://"));
        address.unwrap().to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        get(&self.address(), "localhost", path).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Wait for the end, whoever asked for it.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < until,
                "stead did not end:\n{}",
                self.seen()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and wait.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // The keeper ends the instances.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn collect(stream: impl Read + Send + 'static, seen: Arc<(Mutex<String>, Condvar)>) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            seen.0
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            seen.1.notify_all();
            line.clear();
        }
    });
}

/// What a visitor got.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One request on a connection of its own.
pub(crate) fn get(address: &str, host: &str, path: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let broken = || std::io::Error::other(format!("no whole answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let mut body = body.to_owned();
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        body = unchunked(&body).ok_or_else(broken)?;
    }
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        head: head.to_owned(),
        body,
    })
}

fn unchunked(mut text: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..size)?);
        text = rest.get(size + 2..)?;
    }
}

/// Whether any process still has `text` in its command line.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Wait until `done`, or fail saying `what`.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Snapshot settings that take out what differs from run to run.
#[macro_export]
macro_rules! snapshot {
    ($value:expr, @$expected:literal) => {{
        let mut settings = insta::Settings::clone_current();
        for (pattern, instead) in [
            (r"\d+\.\d+ s\b", "[TIME]"),
            (r"\b\d+ ms\b", "[TIME]"),
            (r"process \d+", "process [PID]"),
            (r"127\.0\.0\.1:\d{5}", "127.0.0.1:[PORT]"),
            (r"[0-9a-f]{20}", "[HASH]"),
            (r"shop\w{6}", "[NAME]"),
            (r"--port [1-9]\d{4}", "--port [PORT]"),
            (r"-HUP \d+", "-HUP [PID]"),
            (r"stead \d+\.\d+\.\d+", "stead [VERSION]"),
            (r"\d+ CPUs?; \d+ MB each", "[MACHINE]"),
            (r"Python 3\.\d+\.\d+", "Python [VERSION]"),
            (r"\S+/bin/python[0-9.]*", "[PYTHON]"),
            (r"from https?://\S+, with uv .*", "from [INDEX], with uv [VERSION]"),
        ] {
            settings.add_filter(pattern, instead);
        }
        settings.bind(|| insta::assert_snapshot!($value, @$expected));
    }};
}
