//! Detection: what would be run, from the files of a source tree alone. Nothing is executed.
//!
//! In this order, the first that applies decides the `web` process:
//!
//! 1. what the app ships to be started by: `web:` in a Procfile, a `uwsgi.ini`;
//! 2. the Python object that a server should be given ([`entry`] documents the ranking);
//! 3. a Python program that brings its own server (Tornado, aiohttp, `http.server`, …);
//! 4. a Node program (`package.json`);
//! 5. a folder of static files.
//!
//! Everything else that was seen becomes a note or a commented alternative.

use std::path::Path;

use stead_model::manifest::Program;

use crate::{Detection, Error};

mod dependencies;
mod draft;
mod entry;
mod kinds;
mod project;
mod syntax;
mod tree;

use draft::Draft;
use entry::Candidate;
use project::Project;
use tree::{Tree, parent, within};

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
    draft.manifest.app = app_name(dir);
    let found = entry::find(&project);
    if let Some(best) = found.candidates.first() {
        python(&project, best, &mut draft);
        return Ok(draft.finish());
    }
    Err(Error {
        act: format!("cannot tell what to run in `{}`", dir.display()),
        causes: Vec::new(),
        hint: None,
        output: Vec::new(),
    })
}

/// The directory's name, made to fit `[a-z][a-z0-9-]{0,31}`.
fn app_name(dir: &Path) -> String {
    let full = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let name = full.file_name().map(|name| name.to_string_lossy());
    let mut fit = String::new();
    for c in name.unwrap_or_default().to_lowercase().chars() {
        match c {
            'a'..='z' => fit.push(c),
            '0'..='9' if !fit.is_empty() => fit.push(c),
            _ if !fit.is_empty() && !fit.ends_with('-') => fit.push('-'),
            _ => {}
        }
    }
    fit.truncate(32);
    let fit = fit.trim_end_matches('-');
    if fit.is_empty() { "app" } else { fit }.to_owned()
}

/// The directory that holds what `file` needs: the nearest one upwards that says so.
fn base_of(project: &Project<'_>, file: &str) -> String {
    let mut dir = project.package_parent(file);
    loop {
        if dir.is_empty() || dependencies::is_base(project.tree, dir) {
            return dir.to_owned();
        }
        dir = parent(dir);
    }
}

fn python(project: &Project<'_>, best: &Candidate, draft: &mut Draft) {
    let base = base_of(project, &best.file);
    let (root, module) = project.import_root(&base, &best.file);
    if !base.is_empty() {
        draft.origin("build.root", format!("where `{}` lies", best.file));
        draft.manifest.build.root = Some(base.clone());
    }
    let path = within(&base, &root).unwrap_or_default();
    if !path.is_empty() {
        draft.origin(
            "env.PYTHONPATH",
            format!("`{}` imports from there", best.file),
        );
        draft
            .manifest
            .env
            .insert("PYTHONPATH".to_owned(), path.to_owned());
    }
    let target = format!("{module}:{}", best.attribute);
    let program = match best.kind {
        kinds::Kind::Asgi(_) => Program::Asgi(target),
        _ => Program::Wsgi(target),
    };
    draft.run("web", program, source_line(project, &best.file, best.line));
}

/// `app.py:12: app = Flask(__name__)`.
fn source_line(project: &Project<'_>, file: &str, line: u32) -> String {
    let text = project.tree.read(file);
    let index = usize::try_from(line).unwrap_or_default().saturating_sub(1);
    let text = text.as_deref().and_then(|text| text.lines().nth(index));
    let text: String = text.unwrap_or_default().trim().chars().take(80).collect();
    format!("{file}:{line}: {text}")
}
