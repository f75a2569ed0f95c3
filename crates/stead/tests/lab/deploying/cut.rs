//! A deploy that is cut off at each of its steps, in every way: afterwards one release serves, entirely the old one or entirely the
//! new one, what is said of it is true, and the next deploy goes well.
//!
//! | what is cut | before the switch | from the switch on |
//! |---|---|---|
//! | the connection of who deploys | undone, and `stead releases` says why | brought to its end |
//! | the network, without a word | undone when the host learns of it; until then it goes on | brought to its end |
//! | the agent, killed | undone by the next one | brought to its end by the next one |
//! | the machine, without power or in order | undone by the next agent | it boots with the new release |

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use lab::{Lab, Machine};
use stead_model::agent::{Answer, PROTOCOL, Progress, Question, ReleaseState};

use super::app::{App, Host, deploy_of};
use super::visitors::Visitors;
use crate::figures;
use crate::laptop::Laptop;

/// Each step takes long enough to be cut in its midst.
const SLOW: &str = "
import time
time.sleep(0.4)
quick = answer

def answer(path):
    if path == '/health':
        time.sleep(0.4)
    if path == '/slow':
        time.sleep(2)
    return quick(path)
";

/// The line that builds, which is the name of its step.
const BUILD: &str = "sleep 0.4";

/// Where a deploy is cut: the step, and how long after its beginning.
const STEPS: [(&str, u64); 8] = [
    ("write the code out", 0),
    (BUILD, 100),
    ("release command", 100),
    // Its program is being started.
    ("start", 100),
    // It is asked whether it is ready.
    ("start", 700),
    ("switch", 0),
    ("drain", 0),
    ("drain", 300),
];

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Connection,
    Network,
    Agent,
    Power,
    Reboot,
}

/// A deploy that goes on.
pub(super) struct Deploy {
    ssh: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Deploy {
    pub(super) fn begin(host: &Host<'_>, tree: &str) -> Self {
        let question = Question {
            protocol: PROTOCOL,
            wish: deploy_of("shop", tree),
            detached: false,
        };
        let mut ssh = host
            .ssh("stead api 2>/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = ssh.stdin.as_mut().unwrap();
        writeln!(to, "{}", serde_json::to_string(&question).unwrap()).unwrap();
        let lines = BufReader::new(ssh.stdout.take().unwrap()).lines();
        Self { ssh, lines }
    }

    /// Until this step begins, and a little longer.
    pub(super) fn reach(&mut self, step: &str, more: u64) {
        for line in self.lines.by_ref() {
            let answer: Answer = serde_json::from_str(&line.unwrap()).unwrap();
            match answer {
                Answer::Progress(Progress::Began { step: begun }) if begun == step => {
                    std::thread::sleep(Duration::from_millis(more));
                    return;
                }
                Answer::Progress(_) => {}
                other => panic!("before `{step}`: {other:?}"),
            }
        }
        panic!("the connection ended before `{step}`");
    }

    /// What came of it.
    pub(super) fn last(mut self) -> Answer {
        let answers = self.lines.by_ref().map_while(Result::ok);
        let mut answers = answers.map(|line| serde_json::from_str::<Answer>(&line).unwrap());
        let last = answers.find(Answer::is_last).expect("a last line");
        self.ssh.kill().unwrap();
        self.ssh.wait().unwrap();
        last
    }

    /// Nobody is there any more who wants it.
    fn drop_connection(mut self) {
        self.ssh.kill().unwrap();
        self.ssh.wait().unwrap();
    }
}

/// A line of shell that waits there and is carried out at once when it is wanted.
struct Ready(Child);

impl Ready {
    fn to(host: &Host<'_>, script: &str) -> Self {
        let mut child = host
            .ssh(&format!("echo; read line; {script}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self(child)
    }

    fn go(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

fn slow_shop() -> App {
    App::new("shop")
        .with_code(SLOW)
        .with_setting(&format!("[build]\ncommands = [\"{BUILD}\"]"))
        .with_release_command("sleep 0.4")
}

#[test]
fn a_deploy_that_is_cut_at_any_step_is_whole_or_was_never() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let mut machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    laptop.host("add", "h1", &["--yes"]).good();
    let shop = slow_shop();
    Host::of(&machine).deploy(&shop).good();
    let ways = [
        Way::Connection,
        Way::Agent,
        Way::Network,
        Way::Power,
        Way::Reboot,
    ];
    for way in ways {
        for (at, (step, more)) in STEPS.into_iter().enumerate() {
            // Briefly: the connection and the agent at most of them; once, at the switch, what takes a machine's start.
            let is_brief = match way {
                Way::Connection => !matches!(at, 0 | 3 | 6),
                Way::Agent => matches!(at, 1 | 3 | 5 | 6),
                Way::Network => step == "release command",
                Way::Power => step == "switch",
                Way::Reboot => false,
            };
            if is_brief || figures::long() {
                // What is built is another thing each time, or its commands would not run.
                let shop = shop.with_code(&format!("CUT = '{way:?} {at}'"));
                cut(&mut machine, &shop, way, step, more);
            }
        }
    }
    cut_while_it_is_sent(&Host::of(&machine), &shop);
    let host = Host::of(&machine);
    host.deploy(&shop).good();
    // Nothing of those that never served is left.
    let kept = host.sh("ls /var/lib/stead/apps/shop/releases | wc -l; ls -A /var/lib/stead/apps/shop/incoming | grep -v lock; true");
    assert!(kept.trim().parse::<u32>().unwrap() <= 6, "{kept}");
}

fn cut(machine: &mut Machine, shop: &App, way: Way, step: &str, more: u64) {
    let host = Host::of(machine);
    let tree = host.send_app(shop);
    let before: u64 = host.get("/release").parse().unwrap();
    let loses_nobody = !matches!(way, Way::Power | Way::Reboot);
    let visitors = loses_nobody.then(|| Visitors::come(&host.address()));
    let slow = (step == "drain").then(|| {
        let address = host.address();
        // The old release has a request that takes its time, so that it has to drain.
        std::thread::spawn(move || {
            for _ in 0..8 {
                let url = format!("http://{address}/slow");
                let _ = std::process::Command::new("curl")
                    .args(["--silent", "--max-time", "5", &url])
                    .output();
            }
        })
    });
    let kill = (way == Way::Agent).then(|| {
        let kill = "systemctl kill --signal=KILL --kill-who=main stead-agent.service";
        Ready::to(&host, kill)
    });
    let mut deploy = Deploy::begin(&host, &tree);
    deploy.reach(step, more);
    match way {
        Way::Connection => deploy.drop_connection(),
        Way::Agent => {
            kill.unwrap().go();
            deploy.drop_connection();
        }
        Way::Network => {
            machine.cut().unwrap();
            deploy.drop_connection();
            std::thread::sleep(Duration::from_millis(500));
            machine.mend().unwrap();
        }
        Way::Power => {
            machine.kill().unwrap();
            deploy.drop_connection();
            machine.start().unwrap();
        }
        Way::Reboot => {
            machine.reboot().unwrap();
            deploy.drop_connection();
        }
    }
    let host = Host::of(machine);
    let what = format!("{way:?} cut at `{step}` after {more} ms");
    it_is_whole(&host, before, &what);
    let newest = host.releases().remove(0);
    match newest.state {
        ReleaseState::Failed => {
            let why = newest.failure.unwrap_or_default();
            let known = match way {
                Way::Connection | Way::Network => "went away, or gave it up, before it served",
                Way::Agent | Way::Power | Way::Reboot => "the agent was restarted before it served",
            };
            assert!(why.contains(known), "{what}: {why}");
            assert_ne!(step, "drain", "{what}");
        }
        _ => assert!(
            way == Way::Network || ["switch", "drain"].contains(&step),
            "{what}"
        ),
    }
    if let Some(visitors) = visitors {
        assert_eq!(visitors.go().1, Vec::<String>::new(), "{what}");
    }
    drop(slow.map(std::thread::JoinHandle::join));
}

/// What is true is what the store says: entirely the old one, or entirely the new one.
pub(super) fn it_is_whole(host: &Host<'_>, before: u64, what: &str) {
    host.until(|| {
        host.status()
            .is_some_and(|s| s.release.is_some() && s.deploying.is_none())
    });
    host.until(|| host.instances() == 2);
    let releases = host.releases();
    let serving: Vec<u64> = releases
        .iter()
        .filter(|release| release.state == ReleaseState::Serving)
        .map(|release| release.number)
        .collect();
    assert_eq!(serving.len(), 1, "{what}: {releases:?}");
    assert!(
        releases.iter().all(|r| r.state != ReleaseState::Making),
        "{what}: {releases:?}"
    );
    host.until(|| host.get_when_it_is_there("/release") == serving[0].to_string());
    assert!(serving[0] >= before, "{what}");
    let status = host.status().unwrap();
    assert_eq!(status.release.unwrap().number, serving[0], "{what}");
    assert_eq!(status.problems, Vec::<String>::new(), "{what}");
    // Two instances, what the machine boots with is just these, and nothing else of the app runs.
    let units = "ls /etc/systemd/system | grep -c '^stead.shop.web.*.service$'
        for unit in $(sed -n s/^Wants=//p /etc/systemd/system/stead.shop.target); do systemctl is-active $unit; done
        systemctl list-units --no-legend --all 'stead.shop.build.*' 'stead.shop.release.*' | wc -l";
    host.until(|| host.sh(units) == "2\nactive\nactive\n0\n");
}

/// The source comes half, and its sender is gone.
fn cut_while_it_is_sent(host: &Host<'_>, shop: &App) {
    let held = "ls /var/lib/stead/apps/shop/trees | wc -l; find /var/lib/stead/apps/shop/objects -type f | wc -l";
    let before = host.sh(held);
    host.send_half(&shop.with_code("HALF = True"));
    assert_eq!(host.sh(held), before);
    host.deploy(&shop.with_code("HALF = False")).good();
}
