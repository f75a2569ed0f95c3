//! Detection: what would be run, from the files of a source tree alone. Nothing is executed.
//!
//! In this order, the first that applies decides the `web` process:
//!
//! 1. what the app ships to be started by: `web:` in a Procfile, a `uwsgi.ini`;
//! 2. the Python object that a server should be given ([`entry`] documents the ranking);
//! 3. a Python program that brings its own server (Tornado, aiohttp, `http.server`, …), or a console
//!    script of the project that takes `--port`; of some well-known packages before 2;
//! 4. a Node program (`package.json`, or a script that listens);
//! 5. a folder of static files, unless it holds a server's source.
//!
//! Everything else that was seen becomes a note or a commented alternative.

use std::path::Path;

use stead_model::manifest::fit_app_name;

use crate::{Detection, Error};

mod choose;
mod console;
mod dependencies;
mod django;
mod draft;
mod entry;
mod flask;
mod kinds;
mod named;
mod node;
mod nothing;
mod own;
mod paths;
mod project;
mod server_line;
mod server_source;
mod shipped;
mod state;
mod syntax;
mod tree;
pub(crate) mod uwsgi;
mod versions;

pub(crate) use draft::quoted;

use draft::Draft;
use project::Project;
use tree::Tree;

/// The stack for reading sources of strangers: their syntax trees may be deep.
const STACK: usize = 256 * 1024 * 1024;

/// Look at `dir` and say what would be run.
pub(crate) fn detect(dir: &Path) -> Result<Detection, Error> {
    let act = || format!("cannot tell what to run in `{}`", dir.display());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("detect".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || detect_here(dir));
        let failed = |cause: String| Error {
            act: act(),
            causes: vec![cause],
            hint: None,
            output: Vec::new(),
        };
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(failed(
                "a file could not be read as what it is named".into(),
            )),
            Err(error) => Err(failed(format!("no thread could be started: {error}"))),
        }
    })
}

fn detect_here(dir: &Path) -> Result<Detection, Error> {
    let tree = Tree::list(dir).map_err(|error| Error {
        act: format!("cannot read the directory `{}`", dir.display()),
        causes: vec![error.to_string()],
        hint: None,
        output: Vec::new(),
    })?;
    let project = Project::new(&tree);
    let mut draft = Draft::default();
    let full = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let name = full.file_name().map(|name| name.to_string_lossy());
    draft.manifest.app = fit_app_name(&name.unwrap_or_default());
    if tree.cut {
        draft.note("The tree has very many files: only the first ones were looked at.");
    }
    let mut found = entry::find(&project);
    let hints = named::collect(&project);
    let named = named::raise(&project, &mut found, &hints);
    choose::channels(&project, &mut found);
    let base = choose::base(&project, &found);
    let dependencies = dependencies::read(&project, &base);
    let decided = choose::program(&project, &base, &found, &dependencies, named, &mut draft);
    if !decided {
        return Err(nothing::nothing(
            dir,
            &project,
            &base,
            &found,
            &dependencies,
        ));
    }
    Ok(draft.finish())
}

/// `app.py:12: app = Flask(__name__)`.
fn source_line(project: &Project<'_>, file: &str, line: u32) -> String {
    let text = project.tree.read(file);
    let index = usize::try_from(line).unwrap_or_default().checked_sub(1);
    let text = index.and_then(|index| text.as_deref()?.lines().nth(index));
    let text: String = text.unwrap_or_default().trim().chars().take(80).collect();
    if text.is_empty() {
        return file.to_owned();
    }
    format!("{file}:{line}: {text}")
}
