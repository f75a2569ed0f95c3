//! Making a release, in a task beside the loop: code written out, built in a sandbox, sealed.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use stead_model::agent::{Failed, Progress, Stream};
use stead_model::build::{self, BuildSaid, BuildWish, Built};
use stead_model::release::Release;
use stead_model::routing::{Route, Target};
use stead_model::units;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

use super::{App, Message, clock};
use crate::apps::{Shared, link};
use crate::spawn::io_text;
use crate::state::Failure;

/// What comes of it.
#[derive(Debug)]
pub(in crate::apps) enum Making {
    /// A step begins.
    Step(String),
    /// The step ended.
    Ended(String),
    /// A line of a program.
    Output(String),
    /// A sentence.
    Note(String),
    /// It was made.
    Made(Box<Built>),
    /// It was not.
    Failed(Box<Failed>),
}

/// What is made.
struct Maker {
    shared: Arc<Shared>,
    app: String,
    number: u64,
    tree: String,
    messages: UnboundedSender<Message>,
}

impl App {
    /// Begin to make a release of a tree.
    pub(super) fn make(&mut self, tree: String) {
        let Some(ongoing) = &mut self.ongoing else {
            return;
        };
        let maker = Maker {
            shared: Arc::clone(&self.shared),
            app: self.name.clone(),
            number: ongoing.number,
            tree,
            messages: self.messages.clone(),
        };
        ongoing.making = Some(tokio::spawn(Box::pin(async move {
            let made = match maker.make().await {
                Ok(built) => Making::Made(Box::new(built)),
                Err(failed) => Making::Failed(failed),
            };
            maker.tell(made);
        })));
    }

    /// The task said something.
    pub(super) async fn made(&mut self, number: u64, making: Making) {
        // It was given up meanwhile.
        let Some(ongoing) = self
            .ongoing
            .as_mut()
            .filter(|ongoing| ongoing.number == number)
        else {
            return;
        };
        let client = ongoing.client.clone();
        match making {
            Making::Step(name) => self.step(&name),
            Making::Ended(detail) => self.step_ended(&detail),
            Making::Output(line) => client.say(Progress::Output {
                stream: Stream::Build,
                line,
            }),
            Making::Note(text) => client.say(Progress::Note { text }),
            Making::Made(built) => {
                ongoing.making = None;
                let command = ongoing.run_release_command;
                if let Err(failure) = self.launch(*built, command).await {
                    self.end_failed(failure, Vec::new()).await;
                }
            }
            Making::Failed(failed) => {
                ongoing.making = None;
                let mut failed = *failed;
                let act = std::mem::take(&mut failed.act);
                failed.causes.insert(0, act);
                self.end_with(failed).await;
            }
        }
    }

    /// What was built becomes the target.
    pub(super) async fn launch(
        &mut self,
        mut built: Built,
        release_command: bool,
    ) -> Result<(), Failure> {
        let Some(number) = self.ongoing.as_ref().map(|ongoing| ongoing.number) else {
            return Ok(());
        };
        built.release.number = number;
        built.release.app = self.name.clone();
        self.check(&built.release)?;
        let part = crate::table::of_release(&built.release, &|_| Vec::new());
        let parts = self.shared.link.parts().await;
        if let Some((host, other)) = link::conflict(&parts, &self.name, &part) {
            return Err(Failure::new(
                "its routes are another app's",
                format!("`{host}` leads to `{other}` on this host"),
            )
            .hint("hosts = [\"…\"] in [route] names hosts of its own"));
        }
        for note in self.shared.places.link_volumes(&built.release)? {
            self.remark(note);
        }
        let remembered = |failure: crate::store::Failure| Failure::new(failure.act, failure.cause);
        let changed = self.changed(&built.release);
        let makes = self.ongoing.as_ref().is_some_and(|ongoing| ongoing.makes);
        let key = {
            let store = self.shared.store();
            let kept = match makes {
                true => store.built(&self.name, number, &built, &changed),
                // It was, when it was made.
                false => Ok(()),
            };
            kept.and_then(|()| store.begin_launch(&self.name, number, clock()))
                .map_err(remembered)?
        };
        let mut generation = self.generation(key, built, release_command)?;
        // `auto` was decided for the release that serves: its successor starts as many at once.
        let serving = self.desired.serving.as_ref();
        for (name, process) in &mut generation.wanted.processes {
            let before = serving.and_then(|wanted| wanted.processes.get(name));
            process.count = process.count.or(before.and_then(|before| before.count));
        }
        self.desired.target = Some(generation.wanted.clone());
        self.generations.insert(key, generation);
        self.observed.refused = None;
        self.observed.lost.clear();
        self.observed.holds.clear();
        self.falls.clear();
        if let Some(ongoing) = &mut self.ongoing {
            ongoing.key = Some(key);
        }
        Ok(())
    }

    /// What came out of the build is looked at before it is obeyed: paths stay within the app's own directory.
    fn check(&self, release: &Release) -> Result<(), Failure> {
        let dir = self.dir();
        let refused = |what: String| {
            Failure::new(
                "what was built cannot be used",
                format!("{what} is outside of the app's directory"),
            )
        };
        let inside = |path: &PathBuf| {
            path.starts_with(&dir)
                && !path
                    .components()
                    .any(|part| matches!(part, std::path::Component::ParentDir))
        };
        if !inside(&release.code) {
            return Err(refused("the code".to_owned()));
        }
        for route in &release.routes {
            let mut paths = Vec::new();
            if let Target::Folder(folder) = &route.target {
                paths.push(folder.root.clone());
            }
            if let Some(rules) = &route.rules {
                paths.extend(rules.errors.values().cloned());
            }
            if let Some(path) = paths.iter().find(|path| !inside(path)) {
                return Err(refused(format!("`{}`", path.display())));
            }
        }
        let names = release.processes.keys().chain(release.jobs.keys());
        for name in names {
            if !stead_model::agent::is_process_name(name) {
                return Err(Failure::new(
                    "what was built cannot be used",
                    format!("`{}` is no name of a process", name.escape_debug()),
                ));
            }
        }
        Ok(())
    }

    /// In what it differs from what serves.
    fn changed(&self, new: &Release) -> Vec<String> {
        let serving = self.desired.serving.as_ref();
        let Some(old) = serving.and_then(|wanted| self.generations.get(&wanted.release)) else {
            return Vec::new();
        };
        let old = &old.release;
        let tree = |number| {
            let record = self.shared.store().release(&self.name, number);
            record.ok().flatten().map(|record| record.info.tree)
        };
        let mut changed = Vec::new();
        for (what, differs) in [
            ("code", tree(old.number) != tree(new.number)),
            ("environment", old.path != new.path),
            ("processes", old.processes != new.processes),
            ("jobs", old.jobs != new.jobs),
            ("routes", routes_within_code(old) != routes_within_code(new)),
            (
                "variables",
                old.env != new.env || old.secrets != new.secrets,
            ),
        ] {
            if differs {
                changed.push(what.to_owned());
            }
        }
        changed
    }
}

/// Its routes, with folders as they are named within its code: each release has its code at a place of its own.
fn routes_within_code(release: &Release) -> Vec<Route> {
    let within = |path: &mut PathBuf| {
        if let Ok(inner) = path.strip_prefix(&release.code) {
            *path = inner.to_owned();
        }
    };
    let mut routes = release.routes.clone();
    for route in &mut routes {
        if let Target::Folder(folder) = &mut route.target {
            within(&mut folder.root);
        }
        if let Some(rules) = &mut route.rules {
            let maintenance = rules.maintenance.iter_mut();
            let files = maintenance.filter_map(|maintenance| maintenance.file.as_mut());
            let files = files.chain(&mut rules.users_file);
            files.chain(rules.errors.values_mut()).for_each(within);
        }
        if let Some(tls) = &mut route.tls {
            tls.client_ca.iter_mut().for_each(within);
        }
    }
    routes
}

impl Maker {
    fn tell(&self, making: Making) {
        let _ = self.messages.send(Message::Making(self.number, making));
    }

    async fn make(&self) -> Result<Built, Box<Failed>> {
        self.tell(Making::Step("write the code out".to_owned()));
        let code = self.shared.places.code(&self.app, self.number);
        let (places, app, tree, to) = (
            self.shared.places.clone(),
            self.app.clone(),
            self.tree.clone(),
            code.clone(),
        );
        let written = tokio::task::spawn_blocking(move || -> Result<(), Box<Failed>> {
            let failed = |act: &str, why: String| {
                Box::new(Failed {
                    act: act.to_owned(),
                    causes: vec![why],
                    ..Failed::default()
                })
            };
            places
                .prepare(&app)
                .map_err(|why| failed("cannot prepare the host", why))?;
            // What an agent that was killed left.
            let _ = std::fs::remove_dir_all(&to);
            crate::source::materialize(&places.app(&app), &tree, &to)
                .map_err(|error| failed("cannot write the code out", error.to_string()))?;
            places
                .open(&app, &to)
                .map_err(|why| failed("cannot write the code out", why))
        });
        match written.await {
            Ok(written) => written?,
            Err(error) => return Err(broken("cannot write the code out", error.to_string())),
        }
        self.tell(Making::Ended(String::new()));
        let built = self.build(&code).await;
        let (places, sealed) = (self.shared.places.clone(), code.clone());
        let seal = tokio::task::spawn_blocking(move || places.seal(&sealed)).await;
        let built = built?;
        match seal {
            Ok(Ok(())) => Ok(built),
            Ok(Err(why)) => Err(broken("cannot build the release", why)),
            Err(error) => Err(broken("cannot build the release", error.to_string())),
        }
    }

    /// `stead build-release`, as the app's user, at the lowest priority, with nothing to write to but code and environments.
    async fn build(&self, code: &std::path::Path) -> Result<Built, Box<Failed>> {
        const ACT: &str = "cannot build the release";
        let state = self.shared.places.build(&self.app);
        let wish = BuildWish {
            protocol: build::PROTOCOL,
            app: self.app.clone(),
            number: self.number,
            code: code.to_owned(),
            state: state.clone(),
        };
        let user = units::user(&self.app);
        let places = &self.shared.places;
        let properties = [
            format!("User={user}"),
            format!("Group={user}"),
            format!("WorkingDirectory={}", code.display()),
            "Nice=19".to_owned(),
            "CPUWeight=1".to_owned(),
            "IOWeight=1".to_owned(),
            "IOSchedulingClass=idle".to_owned(),
            "OOMScoreAdjust=800".to_owned(),
            "MemoryMax=75%".to_owned(),
            "TasksMax=2048".to_owned(),
            "NoNewPrivileges=yes".to_owned(),
            "CapabilityBoundingSet=".to_owned(),
            "ProtectSystem=strict".to_owned(),
            "ProtectHome=yes".to_owned(),
            "PrivateTmp=yes".to_owned(),
            "PrivateDevices=yes".to_owned(),
            "ProtectKernelTunables=yes".to_owned(),
            "ProtectControlGroups=yes".to_owned(),
            "RestrictSUIDSGID=yes".to_owned(),
            "LockPersonality=yes".to_owned(),
            "RuntimeMaxSec=3600".to_owned(),
            format!("Environment=HOME={} LANG=C.UTF-8", state.display()),
            format!(
                "TemporaryFileSystem={}:ro,mode=0755",
                places.state.display()
            ),
            format!("BindPaths={} {}", code.display(), state.display()),
        ];
        let unit = units::build_unit(&self.app, self.number);
        let mut command = Command::new("systemd-run");
        command
            .args([
                "--quiet",
                "--pipe",
                "--wait",
                "--collect",
                "--service-type=exec",
            ])
            .arg(format!("--unit={unit}"))
            .arg(format!("--slice={}", units::slice(&self.app)))
            .arg(format!(
                "--description={}: build of release {}",
                self.app, self.number
            ))
            .args(
                properties
                    .iter()
                    .map(|property| format!("--property={property}")),
            )
            .arg("--")
            .arg(&self.shared.program)
            .arg("build-release")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let failed = |error: std::io::Error| broken(ACT, io_text(&error));
        let mut child = command.spawn().map_err(failed)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        if let Some(mut stdin) = stdin {
            let text = serde_json::to_vec(&wish).unwrap_or_default();
            // A program that does not read says why itself.
            let _ = stdin.write_all(&text).await;
        }
        let said = async {
            let mut last = None;
            let Some(stdout) = stdout else { return last };
            let mut lines = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                let mut bounded = (&mut lines).take(build::LONGEST_LINE as u64);
                match bounded.read_until(b'\n', &mut line).await {
                    Ok(0) | Err(_) => return last,
                    Ok(_) => {}
                }
                match serde_json::from_slice(&line) {
                    Ok(BuildSaid::Step { text }) => self.tell(Making::Step(text)),
                    Ok(BuildSaid::Output { line }) => self.tell(Making::Output(line)),
                    Ok(BuildSaid::Ended { detail }) => self.tell(Making::Ended(detail)),
                    Ok(BuildSaid::Note { text }) => self.tell(Making::Note(text)),
                    Ok(BuildSaid::Built(built)) => last = Some(Ok(*built)),
                    Ok(BuildSaid::Failed(failed)) => last = Some(Err(failed)),
                    // A newer program's words.
                    Err(_) => {}
                }
            }
        };
        let errors = async {
            let mut text = Vec::new();
            if let Some(stderr) = stderr {
                let _ = stderr.take(64 << 10).read_to_end(&mut text).await;
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        let (said, errors) = tokio::join!(said, errors);
        let status = child.wait().await.map_err(failed)?;
        match said {
            Some(Ok(built)) if status.success() => Ok(built),
            Some(Err(failed)) => Err(failed),
            _ => {
                let mut failed = broken(ACT, format!("the build ended with {status}"));
                failed.log = errors.lines().map(str::to_owned).collect();
                Err(failed)
            }
        }
    }
}

fn broken(act: &str, why: String) -> Box<Failed> {
    Box::new(Failed {
        act: act.to_owned(),
        causes: vec![why],
        ..Failed::default()
    })
}
