//! An app to be deployed, and a host that is asked as a laptop asks it: over ssh, `stead api`.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lab::Machine;
use stead_model::agent::{
    Answer, AppStatus, Deploy, Done, Failed, Origin, PROTOCOL, Question, ReleaseInfo, Wish,
};
use stead_model::tree::{self, Received, Sending};
use stead_remote::Snapshot;
use tempfile::TempDir;

/// What systemd, a shell and C would all like to make something else of.
pub(super) const ODD: &str = "50% %n $HOME ${HOME} \"q\" 'x' \\n \\ `id` ünï # ; $(id)";
/// A machine of two busy CPUs needs no longer for anything here.
const PATIENCE: Duration = Duration::from_secs(60);

const CODE: &str = r#"
import os, tempfile

BROKEN = False
FAILS = False
PLACES = {"data": "data", "code": ".", "etc": "/etc", "state": "/var/lib/stead"}

def answer(path):
    if path == "/health" and BROKEN:
        print("asked for its health", flush=True)
        raise RuntimeError("broken")
    if path.startswith("/variable/"):
        return os.environ.get(path[10:], "")
    if path.startswith("/write/"):
        try:
            with tempfile.NamedTemporaryFile(dir=PLACES[path[7:]]):
                return "written"
        except OSError as error:
            return "refused: %s" % error
    if FAILS and path == "/release":
        raise RuntimeError("the release fails")
    return os.environ["STEAD_RELEASE"]

def app(environ, start_response):
    body = answer(environ["PATH_INFO"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

print("release", os.environ["STEAD_RELEASE"], "is imported", flush=True)
"#;

/// An app, and its source.
#[derive(Clone)]
pub(super) struct App {
    name: &'static str,
    manifest: String,
    code: String,
}

impl App {
    pub(super) fn new(name: &'static str) -> Self {
        let manifest = format!(
            "app = \"{name}\"\n\n[process.web]\nwsgi = \"app:app\"\ncount = 2\n\
             health = {{ path = \"/health\", status = \"200\", within = \"3s\" }}\n\n[env]\nODD = '''{ODD}'''\n\n\
             [secret.SECRET]\ngenerate = true\n\n[volume.data]\npath = \"data\"\n"
        );
        Self {
            name,
            manifest,
            code: CODE.to_owned(),
        }
    }

    pub(super) fn with_code(&self, line: &str) -> Self {
        let mut app = self.clone();
        app.code.push_str(line);
        app
    }

    pub(super) fn with_setting(&self, lines: &str) -> Self {
        let mut app = self.clone();
        app.manifest.push_str(&format!("\n{lines}\n"));
        app
    }

    /// The host decides how many instances run.
    pub(super) fn with_automatic_count(&self) -> Self {
        let mut app = self.clone();
        app.manifest = app.manifest.replace("count = 2\n", "");
        app
    }

    pub(super) fn with_release_command(&self, command: &str) -> Self {
        self.with_setting(&format!("[release]\ncommand = \"{command}\""))
    }

    fn source(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("app.py"), &self.code).unwrap();
        fs::write(dir.path().join("stead.toml"), &self.manifest).unwrap();
        dir
    }
}

/// A machine that is a host.
pub(super) struct Host<'a> {
    machine: &'a Machine,
}

impl<'a> Host<'a> {
    /// With uv, since the machines of a lab reach no package index: the one that a build here has downloaded.
    pub(super) fn of(machine: &'a Machine) -> Self {
        let host = Self { machine };
        if machine.sh("test -x /usr/local/bin/uv").is_err() {
            fs::copy(uv(), machine.root().join("usr/local/bin/uv")).unwrap();
            machine.sh("chmod 755 /usr/local/bin/uv").unwrap();
        }
        host
    }

    pub(super) fn address(&self) -> String {
        self.machine.address().to_owned()
    }

    /// ssh to it, as root, to be started by the caller.
    pub(super) fn ssh(&self, script: &str) -> Command {
        self.machine.ssh(script)
    }

    /// Lines of shell there, as root.
    #[track_caller]
    pub(super) fn sh(&self, script: &str) -> String {
        self.machine.sh(script).unwrap()
    }

    /// Send the source, and ask for its deploy.
    pub(super) fn deploy(&self, app: &App) -> Said {
        let tree = self.send_app(app);
        self.deploy_as(app.name, &tree)
    }

    /// Send the source alone.
    pub(super) fn send_app(&self, app: &App) -> String {
        let source = app.source();
        let snapshot = Snapshot::take(source.path(), false, "ana@laptop".to_owned()).unwrap();
        self.send(app.name, &snapshot)
    }

    /// Ask for the deploy of a tree of the shop that the host has.
    pub(super) fn deploy_tree(&self, tree: &str) -> Said {
        self.deploy_as("shop", tree)
    }

    fn deploy_as(&self, app: &str, tree: &str) -> Said {
        self.ask(deploy_of(app, tree))
    }

    /// Begin to send the source, and go away in the midst of it.
    pub(super) fn send_half(&self, app: &App) {
        let source = app.source();
        let snapshot = Snapshot::take(source.path(), false, "ana@laptop".to_owned()).unwrap();
        let mut offer = Offer::make(self.machine, app.name, &snapshot);
        let frame = offer.contents(&snapshot);
        assert!(frame.len() > 100);
        offer.to.write_all(&frame[..frame.len() / 2]).unwrap();
        offer.to.flush().unwrap();
        offer.ssh.kill().unwrap();
        offer.ssh.wait().unwrap();
    }

    /// Send the source to a program in whose environment something else is; what it answers in the end.
    pub(super) fn send_with(&self, app: &App, environment: &str) -> Received {
        let source = app.source();
        let snapshot = Snapshot::take(source.path(), false, "ana@laptop".to_owned()).unwrap();
        let mut offer = Offer::make_with(self.machine, app.name, &snapshot, environment);
        let frame = offer.contents(&snapshot);
        let _ = offer.to.write_all(&frame).and_then(|()| offer.to.flush());
        offer.answer()
    }

    fn send(&self, app: &str, snapshot: &Snapshot) -> String {
        let mut offer = Offer::make(self.machine, app, snapshot);
        if !offer.missing.is_empty() {
            let frame = offer.contents(snapshot);
            offer.to.write_all(&frame).unwrap();
            offer.to.flush().unwrap();
        }
        let last = offer.answer();
        drop(offer.to);
        assert!(offer.ssh.wait().unwrap().success());
        match last {
            Received::Complete { tree } => tree,
            other => panic!("{other:?}"),
        }
    }

    /// Ask the agent.
    pub(super) fn ask(&self, wish: Wish) -> Said {
        let question = Question {
            protocol: PROTOCOL,
            wish,
            detached: false,
        };
        let mut api = self
            .machine
            .ssh("timeout 60 stead api 2>/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = api.stdin.take().unwrap();
        let _ = writeln!(to, "{}", serde_json::to_string(&question).unwrap());
        let mut answers = Vec::new();
        let mut from = BufReader::new(api.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = from.next() {
            let answer: Answer = serde_json::from_str(&line).expect(&line);
            let last = answer.is_last();
            answers.push(answer);
            if last {
                break;
            }
        }
        drop(to);
        let _ = from.map_while(Result::ok).count();
        let _ = api.wait();
        Said { answers }
    }

    /// The names of all apps.
    pub(super) fn apps(&self) -> Vec<String> {
        match self.ask(Wish::Apps).answers.pop() {
            Some(Answer::Apps(apps)) => apps.into_iter().map(|app| app.app).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn status(&self) -> Option<AppStatus> {
        self.status_of("shop")
    }

    pub(super) fn status_of(&self, name: &str) -> Option<AppStatus> {
        match self.ask(Wish::Apps).answers.pop() {
            Some(Answer::Apps(apps)) => apps.into_iter().find(|app| app.app == name),
            _ => None,
        }
    }

    pub(super) fn releases(&self) -> Vec<ReleaseInfo> {
        let mut said = self.ask(Wish::Releases { app: "shop".into() });
        match said.answers.pop() {
            Some(Answer::Releases(releases)) => releases,
            other => panic!("{other:?}"),
        }
    }

    /// Of the first instance.
    pub(super) fn unit(&self) -> String {
        self.status().unwrap().processes[0].instances[0]
            .unit
            .clone()
    }

    /// How many instances of `web` there are.
    pub(super) fn instances(&self) -> u32 {
        let status = self.status();
        let processes = status.iter().flat_map(|status| &status.processes);
        let count: usize = processes.map(|process| process.instances.len()).sum();
        u32::try_from(count).unwrap()
    }

    pub(super) fn wait_for(&self, so: impl Fn(&AppStatus) -> bool) {
        self.until(|| self.status().is_some_and(|status| so(&status)));
    }

    pub(super) fn until(&self, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            if Instant::now() > deadline {
                let log = self.sh("journalctl --quiet --boot --no-pager --lines=20 --unit=stead-agent --unit=stead-edge");
                panic!("{:?}\n{log}", self.ask(Wish::Apps));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a visitor gets.
    pub(super) fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.machine.address());
        let curl = ["--silent", "--fail", "--max-time", "20", "--globoff"];
        let said = Command::new("curl").args(curl).arg(&url).output().unwrap();
        assert!(said.status.success(), "{url}: {:?}", self.status());
        String::from_utf8(said.stdout).unwrap()
    }

    /// The same, once there is something.
    pub(super) fn get_when_it_is_there(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.machine.address());
        let curl = [
            "--silent",
            "--fail",
            "--max-time",
            "20",
            "--retry",
            "30",
            "--retry-delay",
            "1",
        ];
        let curl = curl.into_iter().chain(["--retry-all-errors"]);
        let said = Command::new("curl").args(curl).arg(&url).output().unwrap();
        assert!(said.status.success(), "{url}: {said:?}");
        String::from_utf8(said.stdout).unwrap()
    }
}

/// A tree that is offered to a host, which has said what it lacks of it.
struct Offer {
    ssh: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    missing: Vec<usize>,
}

impl Offer {
    fn make(machine: &Machine, app: &str, snapshot: &Snapshot) -> Self {
        Self::make_with(machine, app, snapshot, "")
    }

    fn make_with(machine: &Machine, app: &str, snapshot: &Snapshot, environment: &str) -> Self {
        let mut ssh = machine
            .ssh(&format!("{environment} stead api source {app}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut offer = Self {
            to: ssh.stdin.take().unwrap(),
            from: BufReader::new(ssh.stdout.take().unwrap()).lines(),
            ssh,
            missing: Vec::new(),
        };
        let text = snapshot.tree.text();
        let sending = Sending {
            protocol: tree::PROTOCOL,
            listing: text.len(),
        };
        writeln!(offer.to, "{}", serde_json::to_string(&sending).unwrap()).unwrap();
        offer.to.write_all(&text).unwrap();
        let Received::Missing { contents } = offer.answer() else {
            panic!("the host takes no tree");
        };
        offer.missing = contents;
        offer
    }

    fn answer(&mut self) -> Received {
        serde_json::from_str(&self.from.next().unwrap().unwrap()).unwrap()
    }

    /// What the host lacks, as it is sent.
    fn contents(&self, snapshot: &Snapshot) -> Vec<u8> {
        let contents = snapshot.tree.contents();
        let wanted: Vec<_> = self.missing.iter().map(|at| contents[*at]).collect();
        let mut frame = zstd::Encoder::new(Vec::new(), 3).unwrap();
        let written = snapshot.contents.write(&wanted, &mut frame, &mut |_| ());
        written.unwrap();
        frame.finish().unwrap()
    }
}

/// The wish for a deploy of a tree.
pub(super) fn deploy_of(app: &str, tree: &str) -> Wish {
    Wish::Deploy(Deploy {
        app: app.to_owned(),
        tree: tree.to_owned(),
        origin: Origin {
            who: "ana@laptop".to_owned(),
            ..Origin::default()
        },
        release_command: true,
    })
}

/// What the agent said of a wish.
#[derive(Debug)]
pub(super) struct Said {
    answers: Vec<Answer>,
}

impl Said {
    #[track_caller]
    pub(super) fn last(mut self) -> Answer {
        self.answers.pop().expect("an answer")
    }

    #[track_caller]
    pub(super) fn good(self) -> Done {
        match self.answers.last() {
            Some(Answer::Done(done)) => (**done).clone(),
            _ => panic!("{:#?}", self.answers),
        }
    }

    #[track_caller]
    pub(super) fn bad(self) -> Failed {
        match self.answers.last() {
            Some(Answer::Failed(failed)) => (**failed).clone(),
            _ => panic!("{:#?}", self.answers),
        }
    }
}

/// The uv of this machine's builds; one is made when there was none.
fn uv() -> std::path::PathBuf {
    let cache = tempfile::tempdir().unwrap().keep();
    let home = std::env::var_os("HOME").unwrap_or_default();
    let caches = [
        std::env::var_os("XDG_CACHE_HOME")
            .unwrap_or_default()
            .into(),
        std::path::Path::new(&home).join(".cache"),
    ];
    let kept = |dir: &std::path::Path| {
        let versions = fs::read_dir(dir.join("stead/uv")).ok()?;
        let found = versions.flatten().map(|version| version.path().join("uv"));
        found.into_iter().find(|uv| uv.is_file())
    };
    if let Some(uv) = caches.iter().find_map(|dir: &std::path::PathBuf| kept(dir)) {
        let _ = fs::remove_dir_all(cache);
        return uv;
    }
    let source = App::new("shop").source();
    let wish = stead_model::build::BuildWish {
        protocol: stead_model::build::PROTOCOL,
        app: "shop".into(),
        number: 1,
        code: source.path().to_owned(),
        state: cache.join("state"),
    };
    fs::create_dir(&wish.state).unwrap();
    let mut build = Command::new(env!("CARGO_BIN_EXE_stead"))
        .arg("build-release")
        .env("XDG_CACHE_HOME", &cache)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = build.stdin.take().unwrap();
    to.write_all(&serde_json::to_vec(&wish).unwrap()).unwrap();
    drop(to);
    let mut said = String::new();
    let mut out = build.stdout.take().unwrap();
    out.read_to_string(&mut said).unwrap();
    assert!(build.wait().unwrap().success(), "{said}");
    kept(&cache).expect("a build downloads uv, or finds it on PATH")
}
