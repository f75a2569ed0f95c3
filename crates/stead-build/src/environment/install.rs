//! Filling an environment with uv.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{Environment, Recipe, disk, repair};
use crate::child::{self, Outcome};
use crate::failure::{self, Remedy};
use crate::machine::Machine;
use crate::requirements::{Install, normalized};
use crate::uv::Uv;
use crate::{Error, Progress, interpreter, scan};

/// The last setuptools line that has `pkg_resources` and does not complain about it.
const SETUPTOOLS: &str = "setuptools<81";

/// Make the environment and install everything into it.
pub(super) fn install(
    machine: &Machine,
    uv: &Uv,
    recipe: &Recipe<'_>,
    environment: &Environment,
    memory: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let work = Work {
        machine,
        uv,
        recipe,
        environment,
        memory,
        progress,
    };
    work.create()?;
    for note in &recipe.dependencies.notes {
        work.note(note);
    }
    work.dependencies()?;
    work.repair()?;
    work.project()?;
    work.additions()
}

struct Work<'a> {
    machine: &'a Machine,
    uv: &'a Uv,
    recipe: &'a Recipe<'a>,
    environment: &'a Environment,
    memory: &'a Path,
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
            return Err(self.explain("cannot make an environment", &outcome));
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
        let (file, hashed, complete) = match &self.recipe.dependencies.install {
            Install::Nothing => return Ok(()),
            Install::File { path, hashed } => (path.clone(), *hashed, false),
            Install::Text {
                text,
                hashed,
                complete,
            } => {
                self.write(&written, text)?;
                (written, *hashed, *complete)
            }
            Install::UvLock => {
                self.export(&written)?;
                (written, false, true)
            }
        };
        self.progress.step(&format!("packages of {origin}"));
        let started = Instant::now();
        let act = format!("cannot install the packages of `{origin}`");
        self.pip_install(&act, |command| {
            command.arg("-r").arg(&file);
            if hashed {
                command.arg("--require-hashes");
            }
            if complete {
                command.arg("--no-deps");
            }
        })?;
        let count = distributions(&self.environment.root).len();
        self.progress.done(&format!(
            "{count} package{} in {:.1} s",
            if count == 1 { "" } else { "s" },
            started.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// uv.lock as requirements; uv knows its own format best.
    fn export(&self, to: &Path) -> Result<(), Error> {
        let mut command = self.command();
        command
            .args([
                "export",
                "--quiet",
                "--frozen",
                "--no-dev",
                "--no-emit-project",
            ])
            .args(["--no-header", "--format", "requirements.txt", "--python"])
            .arg(self.environment.python())
            .arg("--output-file")
            .arg(to);
        let outcome = self.run(command)?;
        match outcome.status.success() {
            true => Ok(()),
            false => Err(self.explain("cannot read `uv.lock`", &outcome)),
        }
    }

    /// The app itself, when it is a package: editable, so that its code stays where it is and its
    /// programs, metadata and entry points are found.
    fn project(&self) -> Result<(), Error> {
        let Some(project) = &self.recipe.dependencies.project else {
            return Ok(());
        };
        self.progress.step("the app's own package");
        let result = self.pip_install("cannot install the app's own package", |command| {
            command.arg("--no-deps").arg("--editable").arg(project);
        });
        match result {
            Ok(()) => {
                self.progress.done("editable");
                Ok(())
            }
            Err(error) if is_no_package(&error) => {
                // Poetry and setuptools find nothing to install in many an app that is run
                // from its directory: it is, here too.
                self.progress
                    .done("not installed: its build finds no package in it; the app runs from its directory");
                Ok(())
            }
            // Beside a requirements.txt nobody may ever have installed it.
            Err(error) if self.recipe.dependencies.by_hand() => {
                let why = error.causes.first().cloned().unwrap_or_default();
                self.progress.done(&format!(
                    "not installed ({why}); the app runs from its directory"
                ));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Hold back what is newer than the app's pins can work with.
    fn repair(&self) -> Result<(), Error> {
        let installed = distributions(&self.environment.root);
        let needed = repair::needed(&installed, self.recipe.dependencies);
        if needed.is_empty() {
            return Ok(());
        }
        let bounds: Vec<&str> = needed.iter().map(|(bound, _)| bound.as_str()).collect();
        let reasons: Vec<&str> = needed.iter().map(|(_, why)| why.as_str()).collect();
        self.progress
            .step(&format!("holding back {}", bounds.join(", ")));
        // Everything that the app names stays what it is.
        let pins = self.environment.root.join("stead-named.txt");
        let text: String = installed
            .iter()
            .filter(|(name, version)| {
                self.recipe.dependencies.mentions(name) && !version.contains('+')
            })
            .map(|(name, version)| format!("{name}=={version}\n"))
            .collect();
        self.write(&pins, &text)?;
        let result = self.pip_install("cannot hold packages back", |command| {
            command.arg("--constraints").arg(&pins).args(&bounds);
        });
        // It may be that no such set exists; then the app has what it asked for.
        match result {
            Ok(()) => self.progress.done(&reasons.join("; ")),
            Err(_) => self
                .progress
                .done("not possible; set `exclude-newer` under [build] to the date of the app"),
        }
        Ok(())
    }

    /// What the app's own dependencies did not bring. Nothing that they did bring is changed.
    fn additions(&self) -> Result<(), Error> {
        let installed = distributions(&self.environment.root);
        let mut wanted: Vec<(&str, String)> = Vec::new();
        if self.recipe.additions.uvicorn {
            let websockets = ["websockets", "wsproto"]
                .iter()
                .any(|name| installed.contains_key(*name));
            if !installed.contains_key("uvicorn") {
                wanted.push(("uvicorn", "the app lists no ASGI server".into()));
                if !websockets {
                    wanted.push(("websockets", "uvicorn needs it for WebSockets".into()));
                }
            } else if !websockets {
                self.note("the app's uvicorn has no WebSocket support: `uvicorn[standard]` or `websockets` in its dependencies adds it");
            }
        }
        if let Some((module, why)) = self.needs_setuptools() {
            // A newer one that something else asked for has no `pkg_resources` any more.
            let site = site_packages(&self.environment.root);
            let there = site.is_some_and(|site| site.join("pkg_resources").is_dir());
            let lacks = module == "pkg_resources"
                && !there
                && !self.recipe.dependencies.lists("setuptools");
            if !installed.contains_key("setuptools") || lacks {
                wanted.push((SETUPTOOLS, why));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        let reasons: Vec<&str> = wanted.iter().map(|(_, why)| why.as_str()).collect();
        self.progress.step(&format!("adding {}", names.join(", ")));
        let pins = self.environment.root.join("stead-installed.txt");
        let text: String = installed
            .iter()
            .filter(|(name, version)| !version.contains('+') && *name != "setuptools")
            .map(|(name, version)| format!("{name}=={version}\n"))
            .collect();
        self.write(&pins, &text)?;
        self.pip_install(&format!("cannot add `{}`", names.join("`, `")), |command| {
            command.arg("--constraints").arg(&pins).args(&names);
        })?;
        self.progress.done(&reasons.join("; "));
        Ok(())
    }

    /// The module of setuptools that something imports, and why it is needed.
    fn needs_setuptools(&self) -> Option<(&'static str, String)> {
        if self.recipe.additions.setuptools {
            let module = match scan::imports(self.recipe.code).pkg_resources {
                true => "pkg_resources",
                false => "distutils",
            };
            return Some((module, "the app imports it".into()));
        }
        let site = site_packages(&self.environment.root)?;
        let entries = std::fs::read_dir(site).ok()?;
        let new = self.recipe.interpreter.version >= interpreter::wanted::Version(3, 12, 0);
        let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        names.sort();
        names.into_iter().find_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            if matches!(
                name.as_str(),
                "setuptools" | "pip" | "wheel" | "pkg_resources"
            ) {
                return None;
            }
            let found = scan::imports(&path);
            let module = match (found.pkg_resources, found.distutils && new) {
                (true, _) => "pkg_resources",
                (false, true) => "distutils",
                (false, false) => return None,
            };
            Some((module, format!("`{name}` imports `{module}`")))
        })
    }

    /// Run `uv pip install`. A build that fails for a known reason is tried again with older build tools.
    fn pip_install(&self, act: &str, arguments: impl Fn(&mut Command)) -> Result<(), Error> {
        let mut remedies: Vec<&'static Remedy> = Vec::new();
        let constraints = self.environment.root.join("stead-build-constraints.txt");
        loop {
            let mut command = self.command();
            command
                .args(["pip", "install", "--compile-bytecode", "--python"])
                .arg(self.environment.python());
            if let Some(date) = self.recipe.exclude_newer {
                command.args(["--exclude-newer", date]);
            }
            if !remedies.is_empty() {
                command.arg("--build-constraints").arg(&constraints);
            }
            arguments(&mut command);
            let outcome = self.run(command)?;
            if outcome.status.success() {
                return Ok(());
            }
            let Some(remedy) = failure::remedy(&outcome.lines, &remedies) else {
                return Err(self.explain(act, &outcome));
            };
            self.progress.output(&format!(
                "{}: trying again with {}",
                remedy.why, remedy.constraint
            ));
            remedies.push(remedy);
            let text: String = remedies
                .iter()
                .map(|remedy| format!("{}\n", remedy.constraint))
                .collect();
            self.write(&constraints, &text)?;
        }
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

    fn explain(&self, act: &str, outcome: &Outcome) -> Error {
        let available = interpreter::versions(self.machine, self.memory);
        failure::explain(
            &outcome.lines,
            &failure::Context {
                act,
                python: self.recipe.interpreter.version,
                available: &available,
                packages: self.recipe.packages,
                index: self.recipe.index.url(),
            },
        )
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        std::fs::write(path, text).map_err(|error| disk(path, &error))
    }

    fn note(&self, text: &str) {
        self.progress.step(text);
        self.progress.done("");
    }
}

/// Whether a build says that there is no package in the project.
fn is_no_package(error: &Error) -> bool {
    let signs = [
        "Multiple top-level packages discovered",
        "Multiple top-level modules discovered",
        "Unable to determine which files to ship",
        "No file/folder found for package",
        "Expected a Python module at",
        "does not contain any element",
        "is not a valid package",
    ];
    error
        .output
        .iter()
        .chain(&error.causes)
        .any(|line| signs.iter().any(|sign| line.contains(sign)))
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
