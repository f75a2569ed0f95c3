//! Django: settings, static files and what `manage.py` needs.

use super::draft::{Draft, quoted};
use super::paths::Paths;
use super::project::Project;
use super::syntax::Value;
use super::tree::{file_name, join, parent, within};
use stead_model::manifest::{Program, Route};

/// The directory of the `manage.py` that belongs to `file`.
pub(crate) fn project_dir(project: &Project<'_>, file: &str) -> Option<String> {
    let mut dir = parent(file);
    loop {
        if project.tree.has(&join(dir, "manage.py")) {
            return Some(dir.to_owned());
        }
        if dir.is_empty() {
            return None;
        }
        dir = parent(dir);
    }
}

/// The settings module that `file` (a wsgi.py or manage.py) chooses by default.
pub(crate) fn settings_module(project: &Project<'_>, file: &str) -> Option<String> {
    let module = project.module(file);
    let name = "DJANGO_SETTINGS_MODULE";
    module.calls.iter().find_map(|call| {
        let sets = call.function.ends_with("environ.setdefault");
        match call.args.as_slice() {
            [Value::Str(key), Value::Str(value)] if sets && key == name => Some(value.clone()),
            [Value::Str(key), Value::Call(inner)] if sets && key == name => {
                inner.args.get(1).and_then(Value::text).map(str::to_owned)
            }
            _ => None,
        }
    })
}

/// Say what the settings say about static files, uploads and databases.
pub(crate) fn settings(
    project: &Project<'_>,
    base: &str,
    wsgi: &str,
    required: bool,
    draft: &mut Draft,
) {
    let dir = project_dir(project, wsgi);
    let chosen = settings_module(project, wsgi);
    let named = chosen.clone().or_else(|| {
        let manage = join(dir.as_deref()?, "manage.py");
        settings_module(project, &manage)
    });
    let beside = join(parent(wsgi), "settings.py");
    let files: Vec<String> = match named.and_then(|module| project.find(wsgi, &module)) {
        Some(file) => vec![file],
        None if project.tree.has(&beside) => vec![beside],
        None => Vec::new(),
    };
    let Some(file) = files.into_iter().next() else {
        let module = project.module(wsgi);
        // They are in the file itself.
        if module
            .calls
            .iter()
            .any(|call| call.function.ends_with("settings.configure"))
        {
            return;
        }
        draft.note("The Django settings were not found: set DJANGO_SETTINGS_MODULE in [env].");
        return;
    };
    let lowered = file_name(&file).to_lowercase();
    if ["local", "dev", "test"]
        .iter()
        .any(|part| lowered.contains(part))
    {
        let settings = settings_module(project, wsgi).unwrap_or_default();
        draft.note(format!(
            "`{wsgi}` chooses the settings `{settings}`, which are not for visitors by their name: set DJANGO_SETTINGS_MODULE in [env]."
        ));
    }
    let paths = Paths { project, base };
    let value = |name: &str| paths.setting(&file, name, 6);
    if let Some((Value::Bool(true), _)) = value("DEBUG") {
        draft.note(format!(
            "{file} has `DEBUG = True`: visitors would see tracebacks with settings."
        ));
    }
    if let Some((Value::List(hosts), _)) = value("ALLOWED_HOSTS")
        && hosts.is_empty()
    {
        draft.note(format!(
                "{file} has an empty ALLOWED_HOSTS: Django answers 400 to every visitor unless DEBUG is on."
            ));
    }
    static_files(
        project,
        base,
        chosen.as_deref().filter(|name| is_module_name(name)),
        &file,
        dir.as_deref(),
        required,
        &paths,
        draft,
    );
    if let Some((root, from)) = value("MEDIA_ROOT")
        && let Some(folder) = paths.path(&from, &root).filter(|folder| !folder.is_empty())
    {
        super::state::propose(&folder, &format!("{from}: MEDIA_ROOT"), draft);
    }
    if let Some((_, from)) = value("DATABASES") {
        let manage = dir.as_deref().map(|dir| join(dir, "manage.py"));
        let manage = manage.as_deref().and_then(|file| within(base, file));
        migrations(manage, &from, draft);
    }
}

/// Propose what brings the tables up to date, unless the app has said already what runs before a release. Proposed, not
/// decided: it changes data. `manage`: relative to the app.
fn migrations(manage: Option<&str>, from: &str, draft: &mut Draft) {
    let (Some(manage), None) = (manage, &draft.manifest.release_command) else {
        return;
    };
    draft.alternative(
        format!(
            "the tables of DATABASES ({from}) are brought up to date before a release serves, once"
        ),
        format!("[release]\ncommand = \"python {manage} migrate --noinput\"\n"),
    );
}

fn is_module_name(name: &str) -> bool {
    name.split('.').all(super::project::is_identifier)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller, which has them all at hand"
)]
fn static_files(
    project: &Project<'_>,
    base: &str,
    settings: Option<&str>,
    file: &str,
    dir: Option<&str>,
    required: bool,
    paths: &Paths<'_, '_>,
    draft: &mut Draft,
) {
    let Some((root, from)) = paths.setting(file, "STATIC_ROOT", 6) else {
        draft.note(format!(
            "{file} has no STATIC_ROOT: without one Django's static files (the admin's, too) are not served when DEBUG is off."
        ));
        return;
    };
    let url = paths.setting(file, "STATIC_URL", 6);
    let url = url
        .as_ref()
        .and_then(|(value, _)| value.text())
        .unwrap_or("/static/");
    let Some(folder) = paths.path(&from, &root).filter(|folder| !folder.is_empty()) else {
        draft.note(format!(
            "STATIC_ROOT of {from} could not be read as a folder of the repository: add it to [route] static once `collectstatic` has filled it."
        ));
        return;
    };
    let manage = dir.and_then(|dir| within(base, &join(dir, "manage.py")).map(str::to_owned));
    // manage.py may choose other settings than wsgi.py does.
    let of_manage = dir.and_then(|dir| settings_module(project, &join(dir, "manage.py")));
    let choice = match settings {
        Some(settings) if of_manage.is_some() && of_manage.as_deref() != Some(settings) => {
            format!("DJANGO_SETTINGS_MODULE={settings} ")
        }
        _ => String::new(),
    };
    // A build has no secrets, and collecting files needs none: any value will do.
    let secrets: String = draft
        .manifest
        .secret
        .keys()
        .map(|name| format!("{name}=of-the-build "))
        .collect();
    let line = format!(
        "{secrets}{choice}python {} collectstatic --noinput",
        manage.as_deref().unwrap_or("manage.py")
    );
    if manage.is_none() || !uses_staticfiles(project, paths, file) {
        return;
    }
    if required {
        draft.alternative(
            format!("static files of {from}: the settings need variables that a build does not have; give them in [env] first"),
            format!(
                "[build]\ncommands = [{}]\n[route]\nstatic = {{ {} = {} }}\n",
                quoted(&line),
                quoted(&prefix(url)),
                quoted(&folder)
            ),
        );
        return;
    }
    draft.origin("build.commands", format!("{from}: STATIC_ROOT"));
    draft.manifest.build.commands.push(line);
    if url.starts_with("http") || url.starts_with("//") {
        draft.note(format!(
            "STATIC_URL of {file} is {url}: static files are served from there."
        ));
        return;
    }
    add_static(
        &prefix(url),
        &folder,
        &format!("{from}: STATIC_ROOT"),
        draft,
    );
}

/// Apps without `django.contrib.staticfiles` have no `collectstatic`. Believed when unreadable.
fn uses_staticfiles(project: &Project<'_>, paths: &Paths<'_, '_>, file: &str) -> bool {
    match paths.setting(file, "INSTALLED_APPS", 6) {
        Some((Value::List(apps), _)) => apps.iter().any(|app| match app.text() {
            Some(name) => name.contains("staticfiles"),
            None => true,
        }),
        _ => !project.module(file).broken,
    }
}

/// `static/` → `/static`.
fn prefix(url: &str) -> String {
    let trimmed = url.trim_matches('/');
    format!("/{trimmed}")
}

/// Serve `folder` under `prefix` by the edge.
pub(crate) fn add_static(prefix: &str, folder: &str, from: &str, draft: &mut Draft) {
    if folder.is_empty() || folder == "." || prefix == "/" {
        return;
    }
    if draft.manifest.route.is_empty() {
        draft.manifest.route.push(Route {
            path: "/".to_owned(),
            ..Route::default()
        });
    }
    draft.origin("route.static", from);
    if let Some(route) = draft.manifest.route.first_mut() {
        route
            .static_folders
            .insert(prefix.to_owned(), folder.to_owned());
    }
}

/// A project with a `manage.py` and no `wsgi.py`: Django makes the app by itself.
pub(crate) fn without_wsgi(project: &Project<'_>, base: &str, draft: &mut Draft) -> bool {
    let manage = join(base, "manage.py");
    let Some(settings) = settings_module(project, &manage) else {
        return false;
    };
    if !is_module_name(&settings) || project.find(&manage, &settings).is_none() {
        return false;
    }
    let program = Program::Wsgi("django.core.wsgi:get_wsgi_application()".to_owned());
    draft.run("web", program, manage.clone());
    draft.origin("env.DJANGO_SETTINGS_MODULE", manage);
    let env = &mut draft.manifest.env;
    env.insert("DJANGO_SETTINGS_MODULE".to_owned(), settings);
    true
}
