//! What is said when nothing was found that could be run: what was seen, and the lines to write.

use std::path::Path;

use stead_model::manifest::fit_app_name;

use super::dependencies::Dependencies;
use super::draft::quoted;
use super::entry::{ATTRIBUTES, Found, Passed, Why, elsewhere};
use super::project::Project;
use super::syntax::{Binding, Value};
use super::{console, server_source};
use crate::Error;

/// No more of a kind than this are named.
const NAMED: usize = 5;

/// The error for the tree of `project`, which is `dir`.
pub(crate) fn nothing(
    dir: &Path,
    project: &Project<'_>,
    base: &str,
    found: &Found,
    dependencies: &Dependencies,
) -> Error {
    let mut causes = Vec::new();
    if project.tree.files().next().is_none() {
        causes.push("there are no files in it".to_owned());
    }
    causes.push(
        "no Procfile, uwsgi.ini, Python app object (Flask, Django, FastAPI, …), package.json with a `start` script, or index.html was found"
            .to_owned(),
    );
    let mut example = vec!["wsgi = \"module:app\"".to_owned()];
    if let Some(refused) = refused_site(project, base, dependencies) {
        if refused.foreign {
            example = vec!["static = \"public\"".to_owned()];
        }
        causes = vec![refused.text];
    }
    if let Some((file, line, entry)) = guess(project, base) {
        causes.push(format!(
            "what {file}:{line} binds could not be followed to an app"
        ));
        example = vec![format!("wsgi = {}", quoted(&entry))];
    }
    for passed in found.passed.iter().take(NAMED) {
        if let Why::NeedsArguments(_) | Why::Held(_) = passed.why {
            example = vec!["wsgi = \"wsgi:app\"".to_owned()];
        }
        causes.push(why(project, base, passed));
    }
    let programs = console::programs(project, base, dependencies);
    causes.extend(programs.iter().take(NAMED).map(console::Program::sentence));
    if let Some(toml) = programs.iter().find_map(|program| program.toml.clone()) {
        example = vec![toml];
    }
    let app = fit_app_name(&dir.file_name().unwrap_or_default().to_string_lossy());
    let or = match example.iter().any(|line| line.starts_with("wsgi")) {
        false => "",
        true => ", or with `command = \"…\"` for a program that listens on $PORT",
    };
    Error::new(
        format!("cannot tell what to run in `{}`", dir.display()),
        causes,
    )
    .hinted(format!(
        "write a stead.toml with these lines{or}:\napp = \"{app}\"\n[process.web]\n{}",
        example.join("\n")
    ))
}

/// Why a candidate was passed over.
fn why(project: &Project<'_>, base: &str, passed: &Passed) -> String {
    let Passed {
        file, name, line, ..
    } = passed;
    match &passed.why {
        Why::Decoy(what) => format!("`{name}` in {file}:{line} is {what}"),
        Why::NeedsArguments(needed) => format!(
            "the factory `{name}` in {file}:{line} needs arguments ({}): call it in a file wsgi.py of your own, as `app = {name}(…)`",
            needed.join(", ")
        ),
        Why::OnlyMain => {
            format!("`{name}` in {file}:{line} exists only when the file is run as a program")
        }
        Why::Elsewhere => {
            format!("`{name}` in {file}:{line} lies among tests, examples or documents")
        }
        Why::Held(held) => {
            let (_, module) = project.import_root(base, file);
            format!(
                "the app of {file}:{line} is `{held}`: make it in a file wsgi.py of your own, as `from {module} import {name}` and `app = {held}`"
            )
        }
    }
}

/// An index.html that is not served, because a server's source lies beside it.
struct Refused {
    text: String,
    /// The source is of a kind that Stead does not run.
    foreign: bool,
}

fn refused_site(project: &Project<'_>, base: &str, dependencies: &Dependencies) -> Option<Refused> {
    let index = super::node::index(project.tree)?;
    let mut signs = server_source::signs(project, base, dependencies);
    if signs.is_empty() {
        let folder = super::tree::parent(&index);
        let file = server_source::run_elsewhere(project, folder)?;
        return Some(Refused {
            text: format!(
                "{index} is there, and so is {file}, whose source would be public: Stead does not run it; move what visitors may see into a folder of its own"
            ),
            foreign: true,
        });
    }
    signs.truncate(3);
    Some(Refused {
        text: format!(
            "{}, and no app was found in it: {index} alone does not make it a site, as its source would be public",
            signs.join(", ")
        ),
        foreign: false,
    })
}

/// The name that most looks like an app, though what it is bound to could not be followed: file, line
/// and entry point.
fn guess(project: &Project<'_>, base: &str) -> Option<(String, u32, String)> {
    let looks = |binding: &&Binding| {
        ATTRIBUTES.contains(&binding.name.as_str()) && matches!(binding.value, Value::Call(_))
    };
    project.python_files().into_iter().find_map(|file| {
        let module = project.module(file);
        let web = module.imports.iter().any(|import| {
            let top = import.split('.').next().unwrap_or_default().to_lowercase();
            import.starts_with('.') || server_source::is_web(&top.replace('_', "-"))
        });
        let binding = module.bindings.iter().find(looks).filter(|_| web)?;
        let bound = module.bound(&binding.name)?;
        if elsewhere(file) {
            return None;
        }
        let known = project.kind_of(&project.thing(super::kinds::Scope::file(file), &bound.name));
        if known.is_some() {
            return None;
        }
        let (_, name) = project.import_root(base, file);
        Some((
            file.to_owned(),
            bound.line,
            format!("{name}:{}", bound.name),
        ))
    })
}
