//! The whole build of one release, in order: system packages are checked, the Python environment and
//! Node's packages are made, the build commands run, and the processes become argument vectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stead_model::manifest::{Manifest, Program, Server};
use stead_model::release::Release;

use crate::environment::{self, Additions, Environment, Recipe};
use crate::index::{self, Index};
use crate::interpreter::wanted::{self, Version};
use crate::interpreter::{self, Interpreter, Want};
use crate::machine::Machine;
use crate::requirements::{self, Dependencies};
use crate::scan::{self, Imports};
use crate::{Error, Progress, Source, commands, launch, node, routes, system};

/// Build (or reuse) the environment and resolve `manifest` into a release.
pub(crate) fn prepare(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    progress: &dyn Progress,
) -> Result<Release, Error> {
    let code = code(manifest, source)?;
    system::require(machine, &manifest.build.packages)?;
    let python = Python::of(machine, manifest, source, &code)?;
    let environment = match &python {
        None => None,
        Some(python) => {
            let recipe = python.recipe(manifest, &code);
            Some(environment::obtain(
                machine,
                &source.state,
                &recipe,
                source.keeps_environments,
                progress,
            )?)
        }
    };
    let node = node::read(manifest, &code, python.is_some())?;
    if let Some(node) = &node {
        node.install(machine, progress)?;
    }
    let path: Vec<PathBuf> = environment
        .iter()
        .map(Environment::bin)
        .chain(node.iter().map(node::Node::bin))
        .collect();
    let env = variables(machine, manifest, &code, environment.as_ref());
    let setting = commands::Setting {
        machine,
        code: &code,
        state: &source.state,
        path: &path,
        env: &env,
    };
    commands::run(&manifest.build.commands, &setting, progress)?;
    let place = launch::Place {
        machine,
        code: &code,
        state: &source.state,
        environment: environment
            .as_ref()
            .zip(python.as_ref().map(|python| python.interpreter.version)),
        dependencies: python.as_ref().and_then(Python::origin),
        planned: false,
    };
    let mut processes = BTreeMap::new();
    for (name, process) in &manifest.process {
        if let Some(spec) = launch::resolve(manifest, name, process, place)? {
            processes.insert(name.clone(), spec);
        }
    }
    Ok(Release {
        app: manifest.app.clone(),
        number: source.number,
        path,
        env,
        secrets: manifest
            .secret
            .iter()
            .map(|(name, secret)| (name.clone(), secret.generate))
            .collect(),
        volumes: manifest
            .volume
            .iter()
            .map(|(name, volume)| (name.clone(), volume.path.clone()))
            .collect(),
        release_command: manifest.release_command.clone(),
        processes,
        jobs: manifest.job.clone(),
        routes: routes::resolve(manifest, &code),
        edge: manifest.edge.clone(),
        webhook: manifest.webhook.clone(),
        code,
    })
}

/// What an app with Python in it is built from, found without doing anything.
#[derive(Debug)]
pub(crate) struct Python {
    /// What the app asks for.
    pub(crate) want: Want,
    /// What it gets.
    pub(crate) interpreter: Interpreter,
    /// What it depends on.
    pub(crate) dependencies: Dependencies,
    /// Where that comes from.
    pub(crate) index: Index,
    /// What its own code imports.
    pub(crate) imports: Imports,
}

impl Python {
    /// `None` for an app that has nothing of Python in it.
    pub(crate) fn of(
        machine: &Machine,
        manifest: &Manifest,
        source: &Source,
        code: &Path,
    ) -> Result<Option<Self>, Error> {
        // A file of dependencies counts even when no process names Python: a command may be one
        // of the programs that it brings.
        let has_file = requirements::file(&manifest.build, code, &source.dir)?.is_some();
        if !(needs_python(manifest) || has_file && runs_something(manifest)) {
            return Ok(None);
        }
        let index = index::resolve(manifest.build.index.as_deref(), machine)?;
        let mut want = wanted::wanted(manifest.build.python.as_deref(), code)?;
        if want.text.is_none() {
            // A repository says at its top which Python its parts use.
            want = wanted::wanted(None, &source.dir)?;
        }
        let interpreter = interpreter::find(machine, &interpreter::memory(&source.state), &want)?;
        let target = requirements::Target {
            python: interpreter.version,
            implementation: interpreter.implementation.clone(),
        };
        Ok(Some(Self {
            want,
            dependencies: requirements::read(&manifest.build, code, &source.dir, &target)?,
            index,
            imports: scan::imports(code),
            interpreter,
        }))
    }

    /// The file that the dependencies are in.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.dependencies.origin.as_deref()
    }

    /// What decides which environment it is.
    pub(crate) fn recipe<'a>(&'a self, manifest: &'a Manifest, code: &'a Path) -> Recipe<'a> {
        let asgi = manifest.process.values().any(|process| {
            matches!(process.program, Program::Asgi(_))
                && matches!(process.server, None | Some(Server::Uvicorn))
        });
        let new = self.interpreter.version >= Version(3, 12, 0);
        Recipe {
            code,
            dependencies: &self.dependencies,
            interpreter: &self.interpreter,
            index: &self.index,
            exclude_newer: manifest.build.exclude_newer.as_deref(),
            packages: &manifest.build.packages,
            additions: Additions {
                uvicorn: asgi,
                setuptools: self.imports.pkg_resources || self.imports.distutils && new,
            },
        }
    }
}

/// The directory that the app runs in.
pub(crate) fn code(manifest: &Manifest, source: &Source) -> Result<PathBuf, Error> {
    let Some(root) = &manifest.build.root else {
        return Ok(source.dir.clone());
    };
    let code = source.dir.join(root);
    match code.is_dir() {
        true => Ok(code),
        false => Err(Error::new(
            format!("cannot build `{}`", manifest.app),
            vec![format!(
                "`build.root` is `{root}`, and there is no such directory"
            )],
        )),
    }
}

fn needs_python(manifest: &Manifest) -> bool {
    let runs_python = |line: &str| {
        line.split(|character: char| !(character.is_alphanumeric() || "._-".contains(character)))
            .any(|word| word.starts_with("python"))
    };
    manifest
        .process
        .values()
        .any(|process| match &process.program {
            Program::Wsgi(_) | Program::Asgi(_) | Program::Uwsgi(_) => true,
            Program::Command(line) => runs_python(line),
            Program::Static(_) => false,
        })
        || manifest.job.values().any(|job| runs_python(&job.command))
        || manifest.release_command.as_deref().is_some_and(runs_python)
}

/// Whether anything is run at all, rather than only served from folders.
fn runs_something(manifest: &Manifest) -> bool {
    let processes = manifest.process.values();
    processes
        .into_iter()
        .any(|process| !matches!(process.program, Program::Static(_)))
        || !manifest.job.is_empty()
        || manifest.release_command.is_some()
        || !manifest.build.commands.is_empty()
}

/// Variables for everything that runs. What the manifest says wins.
pub(crate) fn variables(
    machine: &Machine,
    manifest: &Manifest,
    code: &Path,
    environment: Option<&Environment>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    if let Some(environment) = environment {
        set("VIRTUAL_ENV", environment.root.display().to_string());
        // What an app prints is a log line at once, not when a buffer is full.
        set("PYTHONUNBUFFERED", "1".into());
        // The edge is the only one that can reach an instance, and it sets these headers itself.
        set("FORWARDED_ALLOW_IPS", "*".into());
    }
    for process in manifest.process.values() {
        variables.extend(launch::variables(manifest, machine, process, code));
    }
    variables.extend(manifest.env.clone());
    variables
}

#[cfg(test)]
mod tests;
