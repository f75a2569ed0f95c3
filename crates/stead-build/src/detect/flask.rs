//! Flask: its static folder, and globals that only `__main__` fills.

use super::draft::Draft;
use super::entry::Candidate;
use super::kinds::Kind;
use super::paths::Paths;
use super::project::Project;
use super::syntax::{Call, Place, Value};
use super::tree::{join, parent, within};

/// Serve the app's static folder by the edge, if it is the default one.
pub(crate) fn static_folder(project: &Project<'_>, base: &str, draft: &mut Draft) {
    let paths = Paths { project, base };
    let mut folders: Vec<(String, String)> = Vec::new();
    for file in project.python_files() {
        if within(base, file).is_none() || super::entry::elsewhere(file) {
            continue;
        }
        let module = project.module(file);
        for call in &module.calls {
            if let Some(folder) = folder_of(project, &paths, file, call) {
                folders.push((folder, format!("{file}:{}", call.line)));
            }
        }
    }
    // Two apps in one tree: which one is asked for /static is not known.
    folders.dedup_by(|a, b| a.0 == b.0);
    let [(folder, from)] = folders.as_slice() else {
        return;
    };
    let Some(inside) = within(base, folder) else {
        return;
    };
    if project
        .tree
        .files()
        .any(|path| within(folder, path).is_some())
    {
        super::django::add_static(
            "/static",
            inside,
            &format!("the static folder of {from}"),
            draft,
        );
    }
}

fn folder_of(
    project: &Project<'_>,
    paths: &Paths<'_, '_>,
    file: &str,
    call: &Call,
) -> Option<String> {
    let last = call.function.rsplit('.').next()?;
    if last != "Flask" {
        return None;
    }
    if call
        .keyword("static_url_path")
        .is_some_and(|url| url.text() != Some("/static"))
    {
        return None;
    }
    let folder = match call.keyword("static_folder") {
        Some(Value::Str(folder)) if folder == "static" => "static",
        None => "static",
        // Another folder changes the URL, too, unless that is given.
        Some(value) if call.keyword("static_url_path").is_some() => {
            let text = paths.path(file, value)?;
            return Some(join(paths.base, &text));
        }
        Some(_) => return None,
    };
    // `Flask("pkg")` and `Flask(__name__.split(".")[0])` look beside the package.
    let dir = match call.args.first() {
        Some(Value::Name(name)) if name == "__name__" => parent(file).to_owned(),
        Some(Value::Str(name)) => parent(&project.find(file, name)?).to_owned(),
        None if call.keyword("import_name").is_none() => return None,
        _ => parent(file).to_owned(),
    };
    Some(join(&dir, folder))
}

/// Names that functions of `file` read and that only `__main__` binds.
pub(crate) fn unfilled(project: &Project<'_>, file: &str) -> Vec<(String, u32)> {
    let module = project.module(file);
    if !module.has_main {
        return Vec::new();
    }
    let mut names: Vec<(String, u32)> = Vec::new();
    for binding in &module.bindings {
        if binding.name.contains('.') || binding.place < Place::Main {
            continue;
        }
        let bound = module
            .bindings
            .iter()
            .any(|other| other.name == binding.name && other.place <= Place::Branch);
        let read = module.functions.iter().any(|function| {
            function.free.contains(&binding.name) && !function.globals.contains(&binding.name)
        });
        if !bound && read && !names.iter().any(|(name, _)| *name == binding.name) {
            names.push((binding.name.clone(), binding.line));
        }
    }
    names
}

/// `app.run()` outside of `if __name__ == "__main__"` would start the development server at
/// import. Flask leaves it out when its own command line says so.
pub(crate) fn unguarded(project: &Project<'_>, best: &Candidate, draft: &mut Draft) {
    let module = project.module(&best.file);
    let name = best.attribute.trim_end_matches("()").split('.').next();
    let run = module.calls.iter().find(|call| {
        let at_import = call.place <= Place::Branch;
        at_import && call.function.strip_suffix(".run") == name
    });
    let Some(run) = run else { return };
    let at = format!("{}:{}", best.file, run.line);
    if best.kind == Kind::Wsgi("Flask") {
        draft.note(format!(
            "{at} calls `{}` at import: FLASK_RUN_FROM_CLI makes Flask leave it out; better, put it under `if __name__ == \"__main__\"`.",
            run.function
        ));
        draft.origin("env.FLASK_RUN_FROM_CLI", at);
        let env = &mut draft.manifest.env;
        env.insert("FLASK_RUN_FROM_CLI".to_owned(), "true".to_owned());
    } else {
        draft.note(format!(
            "{at} calls `{}` at import, so that importing it does not return: put it under `if __name__ == \"__main__\"`.",
            run.function
        ));
    }
}
