//! The whole build of one release, in order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stead_model::manifest::{Manifest, Program};
use stead_model::release::Release;

use crate::environment::{self, Additions, Environment, Recipe};
use crate::machine::Machine;
use crate::{Error, Progress, Source, index, interpreter, launch, requirements, routes};

/// Build (or reuse) the environment and resolve `manifest` into a release.
pub(crate) fn prepare(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    progress: &dyn Progress,
) -> Result<Release, Error> {
    let code = code(manifest, source)?;
    let index = index::resolve(manifest.build.index.as_deref(), machine)?;
    let dependencies = requirements::read(&manifest.build, &code)?;
    let environment = match needs_python(manifest) || dependencies.origin.is_some() {
        false => None,
        true => {
            let want = interpreter::wanted::wanted(manifest.build.python.as_deref(), &code)?;
            let memory = source.state.join("envs/interpreters.json");
            let interpreter = interpreter::find(machine, &memory, &want)?;
            let recipe = Recipe {
                code: &code,
                dependencies: &dependencies,
                interpreter: &interpreter,
                index: &index,
                exclude_newer: manifest.build.exclude_newer.as_deref(),
                packages: &manifest.build.packages,
                additions: Additions::default(),
            };
            Some(environment::obtain(
                machine,
                &source.state,
                &recipe,
                progress,
            )?)
        }
    };
    let place = launch::Place {
        state: &source.state,
        environment: environment.as_ref(),
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
        path: environment.iter().map(Environment::bin).collect(),
        env: variables(manifest, environment.as_ref()),
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
fn variables(manifest: &Manifest, environment: Option<&Environment>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    if let Some(environment) = environment {
        set("VIRTUAL_ENV", environment.root.display().to_string());
        // What an app prints is a log line at once, not when a buffer is full.
        set("PYTHONUNBUFFERED", "1".into());
        // The edge is the only one that can reach an instance, and it sets these headers itself.
        set("FORWARDED_ALLOW_IPS", "*".into());
    }
    variables.extend(manifest.env.clone());
    variables
}

#[cfg(test)]
mod tests;
