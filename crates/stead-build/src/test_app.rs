//! An app in a temporary directory, for tests of several modules.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use stead_model::manifest::{Manifest, Process, Program};
use stead_model::release::{Release, Start};

use crate::machine::Machine;
use crate::{Error, Finding, Progress, Source, check, prepare};

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Said(pub(crate) Mutex<Vec<String>>);

impl Progress for Said {
    fn step(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn output(&self, line: &str) {
        self.0.lock().unwrap().push(format!("  {line}"));
    }
    fn done(&self, detail: &str) {
        self.0.lock().unwrap().push(format!("= {detail}"));
    }
}

pub(crate) struct App {
    directory: tempfile::TempDir,
    pub(crate) manifest: Manifest,
    pub(crate) machine: Machine,
    pub(crate) said: Said,
}

impl App {
    /// An app whose `web` runs `program`.
    pub(crate) fn new(program: Program) -> Self {
        let mut manifest = Manifest {
            app: "shop".into(),
            ..Manifest::default()
        };
        manifest.process.insert("web".into(), Process::new(program));
        Self {
            directory: tempfile::tempdir().unwrap(),
            manifest,
            machine: Machine::of_this_process(),
            said: Said::default(),
        }
    }

    pub(crate) fn wsgi() -> Self {
        Self::new(Program::Wsgi("app:app".into()))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir().join(".stead")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.dir().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Copy the files of `tests/locks/<name>`.
    pub(crate) fn locked(&self, name: &str) -> &Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/locks")
            .join(name);
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            std::fs::copy(entry.path(), self.dir().join(entry.file_name())).unwrap();
        }
        self
    }

    pub(crate) fn web(&mut self) -> &mut Process {
        self.manifest.process.get_mut("web").unwrap()
    }

    pub(crate) fn source(&self) -> Source {
        Source {
            keeps_environments: false,
            mark: None,
            dir: self.dir().to_owned(),
            state: self.state(),
            number: 1,
        }
    }

    pub(crate) fn prepare(&self) -> Result<Release, Error> {
        self.said.0.lock().unwrap().clear();
        prepare::prepare(&self.machine, &self.manifest, &self.source(), &self.said)
    }

    pub(crate) fn check(&self) -> Vec<Finding> {
        check::check(&self.machine, &self.manifest, &self.source(), None)
    }

    /// What was said while the last release was prepared, as one text.
    pub(crate) fn told(&self) -> String {
        self.said.0.lock().unwrap().join("\n")
    }

    /// Whether anything was installed while the last release was prepared.
    pub(crate) fn installed(&self) -> bool {
        self.told().contains("packages of") || self.told().contains("environment with")
    }
}

/// The argument vector of `web`.
pub(crate) fn arguments(release: &Release) -> Vec<String> {
    match &release.processes["web"].start {
        Start::Command(arguments) | Start::Preload(arguments) => arguments.clone(),
    }
}

/// What Python code prints in the release's environment.
pub(crate) fn python(release: &Release, code: &str) -> String {
    let output = Command::new(release.path[0].join("python"))
        .args(["-c", code])
        .current_dir(&release.code)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The installed distributions, sorted, without versions.
pub(crate) fn distributions(release: &Release) -> Vec<String> {
    python(
        release,
        "from importlib.metadata import distributions\nprint(' '.join(sorted({d.metadata['Name'].lower() for d in distributions()})))",
    )
    .split(' ')
    .map(str::to_owned)
    .collect()
}
