//! Filling an environment with uv.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{Environment, Recipe, disk};
use crate::child::{self, Outcome};
use crate::machine::Machine;
use crate::requirements::{Install, normalized};
use crate::uv::Uv;
use crate::{Error, Progress};

/// Make the environment and install everything into it.
pub(super) fn install(
    machine: &Machine,
    uv: &Uv,
    recipe: &Recipe<'_>,
    environment: &Environment,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let work = Work {
        machine,
        uv,
        recipe,
        environment,
        progress,
    };
    work.create()?;
    for note in &recipe.dependencies.notes {
        progress.step(note);
        progress.done("");
    }
    work.dependencies()?;
    Ok(())
}

struct Work<'a> {
    machine: &'a Machine,
    uv: &'a Uv,
    recipe: &'a Recipe<'a>,
    environment: &'a Environment,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    fn create(&self) -> Result<(), Error> {
        let interpreter = self.recipe.interpreter;
        self.progress
            .step(&format!("environment with Python {}", interpreter.version));
        let mut command = self.command();
        command
            .args(["venv", "--quiet", "--no-project", "--python"])
            .arg(&interpreter.program)
            .arg(&self.environment.root);
        let outcome = self.run(command)?;
        if !outcome.status.success() {
            return Err(failure("cannot make an environment", &outcome));
        }
        self.progress
            .done(&interpreter.program.display().to_string());
        Ok(())
    }

    fn dependencies(&self) -> Result<(), Error> {
        let Some(origin) = &self.recipe.dependencies.origin else {
            return Ok(());
        };
        let written = self.environment.root.join("stead-requirements.txt");
        let (file, hashed) = match &self.recipe.dependencies.install {
            Install::Nothing => return Ok(()),
            Install::File { path, hashed } => (path.clone(), *hashed),
            Install::Text { text, hashed } => {
                std::fs::write(&written, text).map_err(|error| disk(&written, &error))?;
                (written, *hashed)
            }
            Install::UvLock => return Ok(()),
        };
        self.progress.step(&format!("packages of {origin}"));
        let started = Instant::now();
        let mut command = self.pip_install();
        command.arg("-r").arg(file);
        if hashed {
            command.arg("--require-hashes");
        }
        let outcome = self.run(command)?;
        if !outcome.status.success() {
            return Err(failure(
                &format!("cannot install the packages of `{origin}`"),
                &outcome,
            ));
        }
        self.progress.done(&format!(
            "{} packages in {:.1} s",
            distributions(&self.environment.root).len(),
            started.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    fn pip_install(&self) -> Command {
        let mut command = self.command();
        command
            .args(["pip", "install", "--compile-bytecode", "--python"])
            .arg(self.environment.python());
        if let Some(date) = self.recipe.exclude_newer {
            command.args(["--exclude-newer", date]);
        }
        command
    }

    fn command(&self) -> Command {
        self.uv
            .command(self.machine, self.recipe.index, self.recipe.code)
    }

    fn run(&self, command: Command) -> Result<Outcome, Error> {
        child::run(command, self.progress).map_err(|error| {
            Error::new(
                "cannot build the environment",
                vec![format!("{} cannot be run: {error}", self.uv.describe())],
            )
        })
    }
}

fn failure(act: &str, outcome: &Outcome) -> Error {
    Error {
        act: act.to_owned(),
        causes: Vec::new(),
        hint: None,
        output: outcome.tail(20),
    }
}

/// Where packages are: `lib/python3.11/site-packages`.
pub(super) fn site_packages(root: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root.join("lib")).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path().join("site-packages"))
        .find(|path| path.is_dir())
}

/// Installed distributions, normalized name → version, from the names of their metadata directories.
pub(super) fn distributions(root: &Path) -> BTreeMap<String, String> {
    let Some(entries) = site_packages(root).and_then(|path| std::fs::read_dir(path).ok()) else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (name, version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
            Some((normalized(name), version.to_owned()))
        })
        .collect()
}
