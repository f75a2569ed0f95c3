//! The whole build of one release, in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stead_model::manifest::{Manifest, Program, Server};
use stead_model::release::Release;

use crate::environment::{self, Additions, Environment, Recipe};
use crate::interpreter::Interpreter;
use crate::interpreter::wanted::Version;
use crate::machine::Machine;
use crate::{Error, Progress, Source, index, interpreter, launch, requirements, routes, scan};

/// Build (or reuse) the environment and resolve `manifest` into a release.
pub(crate) fn prepare(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    progress: &dyn Progress,
) -> Result<Release, Error> {
    let code = code(manifest, source)?;
    let index = index::resolve(manifest.build.index.as_deref(), machine)?;
    let environment =
        match needs_python(manifest) || requirements::file(&manifest.build, &code)?.is_some() {
            false => None,
            true => Some(python(machine, manifest, source, &code, progress)?),
        };
    let dependencies = requirements::file(&manifest.build, &code)?;
    let place = launch::Place {
        machine,
        code: &code,
        state: &source.state,
        environment: environment
            .as_ref()
            .map(|(environment, version)| (environment, *version)),
        dependencies: dependencies.as_deref(),
    };
    let mut processes = BTreeMap::new();
    for (name, process) in &manifest.process {
        if let Some(spec) = launch::resolve(name, process, place)? {
            processes.insert(name.clone(), spec);
        }
    }
    Ok(Release {
        app: manifest.app.clone(),
        number: source.number,
        path: environment
            .iter()
            .map(|(environment, _)| environment.bin())
            .collect(),
        env: variables(
            manifest,
            &code,
            environment.as_ref().map(|(environment, _)| environment),
        ),
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
        code,
    })
}

fn python(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    code: &Path,
    progress: &dyn Progress,
) -> Result<(Environment, Version), Error> {
    let index = index::resolve(manifest.build.index.as_deref(), machine)?;
    let want = interpreter::wanted::wanted(manifest.build.python.as_deref(), code)?;
    let interpreter = interpreter::find(machine, &interpreter::memory(&source.state), &want)?;
    let target = requirements::Target {
        python: interpreter.version,
        implementation: interpreter.implementation.clone(),
    };
    let dependencies = requirements::read(&manifest.build, code, &target)?;
    let recipe = Recipe {
        code,
        dependencies: &dependencies,
        interpreter: &interpreter,
        index: &index,
        exclude_newer: manifest.build.exclude_newer.as_deref(),
        packages: &manifest.build.packages,
        additions: additions(manifest, code, &interpreter),
    };
    let environment = environment::obtain(machine, &source.state, &recipe, progress)?;
    Ok((environment, interpreter.version))
}

/// What Stead adds for this app, as far as its source says.
fn additions(manifest: &Manifest, code: &Path, interpreter: &Interpreter) -> Additions {
    let asgi = manifest.process.values().any(|process| {
        matches!(process.program, Program::Asgi(_))
            && matches!(process.server, None | Some(Server::Uvicorn))
    });
    let found = scan::imports(code);
    Additions {
        uvicorn: asgi,
        setuptools: found.pkg_resources
            || found.distutils && interpreter.version >= Version(3, 12, 0),
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

/// Variables for everything that runs. What the manifest says wins.
fn variables(
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
        variables.extend(launch::variables(process, code));
    }
    variables.extend(manifest.env.clone());
    variables
}

#[cfg(test)]
mod tests;
