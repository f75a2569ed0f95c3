//! The verbs of a person whose app is on a host: real git, real ssh, a real machine.

mod metacharacters;
mod several;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lab::{Lab, Machine};
use tempfile::TempDir;

use crate::laptop::{Laptop, Said};

/// A server that needs nothing that the machines of a lab do not have. Its first line is replaced by what it says.
const SERVE: &str = r#"#!/usr/bin/env python3
TEXT = "one"
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/visit":
            print("a visitor came, and says: $(touch CANARY)", flush=True)
        body = (os.environ["STEAD_RELEASE"] + " " + TEXT).encode()
        self.send_response(500 if TEXT == "broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

print("release", os.environ["STEAD_RELEASE"], "listens", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const MANIFEST: &str = r#"
app = "shop"

[process.web]
command = "./serve"
count = 1
health = { path = "/", status = "200", within = "10s" }

[env]
ODD = "$(touch CANARY) `touch CANARY` ; touch CANARY"

[hosts]
production = ["h1"]
"#;

/// An app in a git repository, whose names a shell would not like.
pub(crate) struct App {
    dir: TempDir,
}

impl App {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = Self { dir };
        app.git(&["init", "-q", "-b", "main;touch${IFS}CANARY"]);
        app.write("one", "");
        let odd = app.path().join("$(touch CANARY);`touch CANARY`");
        fs::write(odd, "odd").unwrap();
        app.commit();
        app
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn git(&self, words: &[&str]) {
        let who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.com"];
        let done = Command::new("git")
            .arg("-C")
            .arg(self.path())
            .args(who)
            .args(words)
            .status()
            .unwrap();
        assert!(done.success(), "git {words:?}");
    }

    /// What the server says; what stead.toml says further.
    pub(crate) fn write(&self, text: &str, further: &str) {
        let serve = self.path().join("serve");
        fs::write(&serve, SERVE.replace("\"one\"", &format!("{text:?}"))).unwrap();
        fs::set_permissions(&serve, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(
            self.path().join("stead.toml"),
            format!("{MANIFEST}\n{further}"),
        )
        .unwrap();
    }

    /// Put something else in place of a part of a file.
    fn replace(&self, file: &str, old: &str, new: &str) {
        let file = self.path().join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(&file, text.replacen(old, new, 1)).unwrap();
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "Say `more`; touch CANARY"]);
    }
}

/// A person in the app's directory.
pub(crate) struct Person<'a> {
    pub(crate) laptop: &'a Laptop,
    pub(crate) app: &'a App,
}

impl<'a> Person<'a> {
    pub(crate) fn of(laptop: &'a Laptop, app: &'a App) -> Self {
        Self { laptop, app }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.laptop.verb(words);
        command.current_dir(self.app.path()).env("USER", "ana");
        command
    }

    pub(crate) fn says(&self, words: &[&str]) -> Said {
        Said::of(self.command(words).output().unwrap())
    }
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let url = format!("http://{address}{path}");
    let said = Command::new("curl")
        .args(["--silent", "--max-time", "20", &url])
        .output()
        .unwrap();
    String::from_utf8(said.stdout).unwrap()
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_person_deploys_looks_changes_reads_and_takes_back() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let app = App::new();
    let person = Person::of(&laptop, &app);
    // Before anything is there, that is what is said.
    let none = person.says(&["deploy"]).refused();
    assert!(none.contains("cause: it is no host yet\n"), "{none}");
    assert!(none.contains("hint: stead host add h1\n"), "{none}");
    laptop.host("add", "h1", &["--yes"]).good();

    let plan = person.says(&["deploy", "--dry-run"]).good();
    assert!(plan.contains("start new instances of `web`"), "{plan}");
    let first = person.says(&["deploy"]);
    assert!(first.err.contains("source: 3 files"), "{}", first.err);
    let first = first.good();
    assert!(first.contains("release 1 serves after"), "{first}");
    assert_eq!(get(machine.address(), "/"), "1 one");

    changes_are_sent_when_they_are_committed(&person, machine.address());
    what_is_there_is_shown(&person, machine.address());
    what_fails_is_said_and_changes_nothing(&person, machine.address());
    who_gives_up_changes_nothing(&person, &machine);

    let back = person.says(&["rollback", "1"]).good();
    assert!(back.contains("to undo it: stead rollback "), "{back}");
    assert!(get(machine.address(), "/").ends_with(" one"));
    let unknown = person.says(&["rollback", "999"]).refused();
    assert!(unknown.contains("999"), "{unknown}");

    // An agent that does not run is called that, and where to look is said.
    machine.sh("systemctl stop stead-agent.service").unwrap();
    let stopped = person.says(&["status"]).refused();
    assert!(
        stopped.contains("\n  cause: it does not run\n"),
        "{stopped}"
    );
    assert!(
        stopped.contains("\nhint: stead host doctor h1\n"),
        "{stopped}"
    );
    machine.sh("systemctl start stead-agent.service").unwrap();

    an_app_is_removed_and_its_data_stays(&person, &machine);

    // Nothing of all that was run, here or there.
    let canaries = machine
        .sh("find / -xdev -name 'CANARY*' 2>/dev/null; true")
        .unwrap();
    assert_eq!(canaries, "");
    assert!(!app.path().join("CANARY").exists());
}

fn changes_are_sent_when_they_are_committed(person: &Person<'_>, address: &str) {
    person.app.write("two", "");
    let refused = person.says(&["deploy"]).refused();
    assert!(
        refused.contains("cause: there are changes that are not committed: `serve`\n"),
        "{refused}"
    );
    assert!(
        refused.contains("hint: stead deploy --dirty\n"),
        "{refused}"
    );
    assert_eq!(get(address, "/"), "1 one");
    person.app.commit();
    let second = person.says(&["deploy", "--json"]);
    assert!(second.err.contains("source: 1 file"), "{}", second.err);
    let facts: serde_json::Value = serde_json::from_str(&second.good()).unwrap();
    assert_eq!(facts["hosts"][0]["outcome"]["done"]["release"], 2);
    assert_eq!(get(address, "/"), "2 two");
}

fn what_is_there_is_shown(person: &Person<'_>, address: &str) {
    let status = person.says(&["status"]).good();
    assert!(
        status.starts_with("shop on h1\n  release      2, "),
        "{status}"
    );
    assert!(status.contains("web          1 of 1 run"), "{status}");
    let facts: serde_json::Value =
        serde_json::from_str(&person.says(&["status", "--json"]).good()).unwrap();
    assert_eq!(facts[0]["status"]["release"]["number"], 2);
    let releases = person.says(&["releases"]).good();
    assert!(releases.contains("    2  serves"), "{releases}");
    assert!(releases.contains("Say `more`; touch CANARY"), "{releases}");

    person.says(&["scale", "web=2"]).good();
    let status = person.says(&["status"]).good();
    assert!(
        status.contains("2 of 2 run, as `stead scale` said"),
        "{status}"
    );
    person.says(&["scale", "web=auto"]).good();
    person.says(&["restart"]).good();

    let logs = person
        .says(&["logs", "--since", "1h", "--release", "1"])
        .good();
    assert!(logs.contains("web.1 | release 1 listens"), "{logs}");
    assert!(!logs.contains("release 2 listens"), "{logs}");
    for (words, why) in [
        (
            ["logs", "--process", "worker"],
            "error: there is nothing of a process `worker` of `shop` on `h1`\n  cause: there are `web`\n",
        ),
        (
            ["logs", "--release", "999"],
            "error: there is no release 999 of `shop` on `h1`\n",
        ),
    ] {
        let said = person.says(&words).refused();
        assert!(said.contains(why), "{said}");
    }
    let none = person
        .says(&["logs", "--app", "none", "--on", "h1"])
        .refused();
    assert!(
        none.contains("error: there is no app `none` on `h1`\n  cause: there are `shop`\n"),
        "{none}"
    );

    // Lines that come are shown as they come, until Ctrl-C.
    let mut follow = person
        .command(&["logs", "-f", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    get(address, "/visit");
    let visit = lines.by_ref().map_while(Result::ok);
    let visit = visit
        .into_iter()
        .find(|line| line.contains("a visitor came"));
    let visit: serde_json::Value = serde_json::from_str(&visit.unwrap()).unwrap();
    assert_eq!(visit["text"], "a visitor came, and says: $(touch CANARY)");
    interrupt(&follow);
    assert_eq!(follow.wait().unwrap().code(), Some(0));
}

fn an_app_is_removed_and_its_data_stays(person: &Person<'_>, machine: &Machine) {
    let unasked = person.says(&["rm", "shop"]);
    assert_eq!(unasked.code, Some(2), "{}", unasked.err);
    let plan = person.says(&["rm", "shop", "--dry-run"]).good();
    assert!(plan.contains("  the unit `stead.shop.web."), "{plan}");
    assert!(plan.contains("and its secrets: they stay\n"), "{plan}");
    let removed = person.says(&["rm", "shop", "--yes"]).good();
    assert!(removed.contains("`shop` is removed after "), "{removed}");
    assert!(
        removed.contains("ssh -t h1 rm -r /var/lib/stead/apps/shop\n"),
        "{removed}"
    );
    let left = machine
        .sh("ls /var/lib/stead/apps/shop; ls /etc/systemd/system | grep 'stead.shop' || true");
    assert_eq!(left.unwrap(), "secrets\nvolumes\n");
    let again = person.says(&["rm", "shop", "--yes"]).refused();
    assert!(
        again.contains("error: there is no app `shop` on `h1`"),
        "{again}"
    );
}

fn what_fails_is_said_and_changes_nothing(person: &Person<'_>, address: &str) {
    person.app.write("broken", "");
    person.app.commit();
    let broken = person.says(&["deploy"]).refused();
    assert!(
        broken.contains("error: cannot deploy `shop` to `h1`\n"),
        "{broken}"
    );
    assert!(broken.contains("answered 500"), "{broken}");
    assert!(broken.contains("state: release "), "{broken}");
    assert!(get(address, "/").ends_with(" two"));

    person.app.write(
        "three",
        "[release]\ncommand = \"echo no such table; exit 3\"",
    );
    person.app.commit();
    let failed = person.says(&["deploy"]).refused();
    assert!(failed.contains("no such table"), "{failed}");
    assert!(get(address, "/").ends_with(" two"));
}

fn who_gives_up_changes_nothing(person: &Person<'_>, machine: &Machine) {
    let address = machine.address();
    person
        .app
        .write("four", "[release]\ncommand = \"echo it begins; sleep 600\"");
    person.app.commit();
    let deploy = person
        .command(&["deploy"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its release command runs.
    machine
        .sh("for i in $(seq 600); do pgrep -fx 'sleep 600' && exit; sleep 0.1; done; exit 1")
        .unwrap();
    interrupt(&deploy);
    let said = Said::of(deploy.wait_with_output().unwrap());
    let rest = said.refused();
    assert!(rest.contains("state: "), "{rest}");
    assert!(get(address, "/").ends_with(" two"));
    // Nothing is locked.
    person.app.write("five", "");
    person.app.commit();
    let next = person.says(&["deploy"]).good();
    assert!(next.contains("serves after"), "{next}");
    assert!(get(address, "/").ends_with(" five"));
}
