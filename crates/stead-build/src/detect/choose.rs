//! From everything that was found to one manifest.

use stead_model::manifest::Program;

use super::dependencies::{self, Dependencies};
use super::draft::{Draft, quoted};
use super::entry::{Candidate, Found, Tier, Why};
use super::kinds::{Kind, Scope, Thing};
use super::project::Project;
use super::server_line::ServerLine;
use super::tree::{file_name, join, parent, within};
use super::{
    django, flask, named, node, own, server_source, shipped, source_line, state, versions,
};

/// Django's `asgi.py` is made by default; it counts only when the project needs ASGI.
pub(crate) fn channels(project: &Project<'_>, found: &mut Found) {
    let Some(first) = found.candidates.first() else {
        return;
    };
    if first.tier != Tier::Wsgi || first.kind != Kind::Wsgi("Django") {
        return;
    }
    let dependencies = dependencies::read(project, &base(project, found));
    let wanted = found.candidates.iter().position(|candidate| {
        parent(&candidate.file) == parent(&first.file)
            && match candidate.kind {
                Kind::Asgi("Django Channels" | "Socket.IO") => true,
                Kind::Asgi(_) => ["channels", "daphne"]
                    .iter()
                    .any(|name| dependencies.has(name)),
                _ => false,
            }
            && candidate.tier <= Tier::Script
    });
    if let Some(at) = wanted {
        let chosen = found.candidates.remove(at);
        found.candidates.insert(0, chosen);
    }
}

/// The directory that the app lives in: the nearest one above the entry point that says what the
/// app needs.
pub(crate) fn base(project: &Project<'_>, found: &Found) -> String {
    let tree = project.tree;
    let file = match found.candidates.first() {
        Some(best) => Some(best.file.clone()),
        None => found.own.first().map(|(file, _, _)| file.clone()),
    };
    // A Procfile's lines are relative to where it lies.
    if tree.has("Procfile") {
        return String::new();
    }
    let Some(file) = file else {
        if dependencies::is_base(tree, "") || tree.has("package.json") || tree.has("index.html") {
            return String::new();
        }
        let mut bases = tree
            .dirs()
            .filter(|dir| dir.matches('/').count() <= 1 && dependencies::is_base(tree, dir))
            .filter(|dir| !super::entry::elsewhere(&join(dir, "x.py")));
        return bases.next().unwrap_or_default().to_owned();
    };
    let mut dir = project.package_parent(&file);
    loop {
        if dir.is_empty() {
            return String::new();
        }
        if dependencies::is_base(tree, dir) {
            // The requirements may lie in a directory whose modules are imported from above.
            let own = project.tree.has(&join(dir, "manage.py"));
            return match project.imported_from_above(dir, &file) {
                Some(root) if !own => root,
                _ => dir.to_owned(),
            };
        }
        dir = parent(dir);
    }
}

/// Decide what is run. `false`: nothing was found.
pub(crate) fn program(
    project: &Project<'_>,
    base: &str,
    found: &Found,
    dependencies: &Dependencies,
    named: Option<String>,
    draft: &mut Draft,
) -> bool {
    let best = found.candidates.first();
    let has_web = shipped::procfile(project, base, draft);
    let ini = shipped::uwsgi_ini(project, base);
    let entry = best.map(|best| entry_point(project, base, best, dependencies));
    let decided = if has_web {
        procfile_alternative(project, base, entry.as_ref(), draft);
        true
    } else if let Some((path, ini)) = &ini {
        let better = entry
            .as_ref()
            .filter(|entry| !entry.asgi)
            .map(|entry| entry.target.clone());
        let from_ini = ini.chdir.is_none().then(|| ini.entry.clone()).flatten();
        shipped::honour_uwsgi(path, base, ini, from_ini.or(better), draft);
        true
    } else if own::brought(project, base, best, dependencies, draft) {
        if let Some(entry) = entry.as_ref().filter(|entry| !entry.asgi) {
            let object = shipped::own_worker(&entry.target, &ServerLine::default());
            draft.alternative("an object that was found in the source", object);
        }
        true
    } else if let (Some(best), Some(entry)) = (best, &entry) {
        python(project, base, best, entry, named, draft);
        true
    } else {
        django::without_wsgi(project, base, draft)
            || own::program(project, base, found, dependencies, draft)
            || named::factory_call(project, base, dependencies, draft)
            || own::script(project, base, dependencies, draft)
    };
    let is_python =
        decided && (best.is_some() || dependencies.file.is_some() || !found.own.is_empty());
    if !decided {
        return without_python(project, base, dependencies, draft);
    }
    if is_python {
        around_python(project, base, found, dependencies, draft);
    } else if let Some(package) = node::package(project.tree, base) {
        // A Procfile line that runs Node.
        let mut other = Draft::default();
        if package.start.is_some() && node::node(project.tree, base, &mut other) {
            draft.origin("build.commands", package.path);
            draft.manifest.build.commands = other.manifest.build.commands;
        }
    }
    true
}

/// An entry point as Stead writes it.
pub(crate) struct Entry {
    target: String,
    asgi: bool,
    /// Relative to the base: must be on the path.
    python_path: Option<String>,
}

/// Connexion 3 made its apps ASGI.
fn is_asgi(kind: &Kind, dependencies: &Dependencies) -> bool {
    match kind {
        Kind::Asgi(_) => true,
        Kind::Holds("Connexion", _) => {
            let version = dependencies.packages.get("connexion");
            let version = version.map_or("", String::as_str);
            let old = ["=1", "=2", "<3", "~2", "^2", "~1", "^1"];
            !old.iter().any(|old| version.contains(old))
        }
        _ => false,
    }
}

fn entry_point(
    project: &Project<'_>,
    base: &str,
    best: &Candidate,
    dependencies: &Dependencies,
) -> Entry {
    let dir = django::project_dir(project, &best.file)
        .filter(|_| {
            matches!(
                best.kind,
                Kind::Wsgi("Django") | Kind::Asgi("Django" | "Django Channels")
            )
        })
        .filter(|dir| within(base, dir).is_some());
    let (root, module) = match dir {
        Some(dir) => {
            let inside = within(&dir, &best.file).unwrap_or(&best.file);
            (
                dir.clone(),
                inside.trim_end_matches(".py").replace('/', "."),
            )
        }
        None => project.import_root(base, &best.file),
    };
    let path = within(base, &root).unwrap_or_default();
    Entry {
        target: format!("{module}:{}", best.attribute),
        asgi: is_asgi(&best.kind, dependencies),
        python_path: (!path.is_empty()).then(|| path.to_owned()),
    }
}

fn python(
    project: &Project<'_>,
    base: &str,
    best: &Candidate,
    entry: &Entry,
    named: Option<String>,
    draft: &mut Draft,
) {
    let mut from = source_line(project, &best.file, best.line);
    if let Some(named) = &named {
        from = format!("{named}; {from}");
    }
    draft.entry = Some(best.file.clone());
    let unfilled = flask::unfilled(project, &best.file);
    let (script, told) = own::script_line(project, base, &best.file);
    if !unfilled.is_empty() {
        let names: Vec<String> = unfilled
            .iter()
            .take(6)
            .map(|(name, line)| format!("`{name}` (line {line})"))
            .collect();
        let fix = format!(
            "{} fills these only under `__main__`, so a server that imports it answers 500: {}",
            best.file,
            names.join(", ")
        );
        if told && best.tier != Tier::Named {
            draft.note(format!("{fix}. It is run as a program instead."));
            draft.run("web", Program::Command(script), from);
            draft.alternative(
                "Stead's own worker, once they are filled at import",
                shipped::own_worker(&entry.target, &ServerLine::default()),
            );
            return;
        }
        draft.note(format!(
            "{fix}. Fill them at import, outside of `if __name__ == \"__main__\"`."
        ));
    }
    let program = match entry.asgi {
        true => Program::Asgi(entry.target.clone()),
        false => Program::Wsgi(entry.target.clone()),
    };
    draft.run("web", program, from);
    flask::unguarded(project, best, draft);
    if let Some(path) = &entry.python_path {
        draft.origin(
            "env.PYTHONPATH",
            format!("{}, which imports from there", best.file),
        );
        draft
            .manifest
            .env
            .insert("PYTHONPATH".to_owned(), path.clone());
    }
}

/// The own worker, beside a Procfile's `web` line.
fn procfile_alternative(
    project: &Project<'_>,
    base: &str,
    entry: Option<&Entry>,
    draft: &mut Draft,
) {
    let Some(Program::Command(command)) = draft.manifest.process.get("web").map(|web| &web.program)
    else {
        return;
    };
    let line = super::server_line::read(command).unwrap_or_default();
    let mut settings = line.clone();
    let conf = (line.server == "gunicorn")
        .then(|| shipped::gunicorn_conf(project, base, line.config.as_deref()))
        .flatten();
    if let Some(conf) = &conf {
        settings.workers = settings.workers.or(conf.line.workers);
        settings.threads = settings.threads.or(conf.line.threads);
        settings.timeout = settings.timeout.or(conf.line.timeout);
        settings.preload |= conf.line.preload;
        settings.asgi |= conf.line.asgi;
        settings.target = settings.target.or_else(|| conf.line.target.clone());
    }
    let target = settings.entry().or_else(|| {
        entry
            .filter(|entry| !entry.asgi)
            .map(|entry| entry.target.clone())
    });
    let uwsgi_ini = line.server == "uwsgi" && line.target.is_none();
    if let Some(target) = target.filter(|_| !settings.asgi && !uwsgi_ini) {
        let what = match line.server.as_str() {
            "" | "python" => "the Procfile's line".to_owned(),
            server => format!("{server}, with the settings of the Procfile's line"),
        };
        let mut toml = shipped::own_worker(&target, &settings);
        if let Some(path) = line.chdir.filter(|path| !path.starts_with('/')) {
            toml.push_str(&format!(
                "[env]\nPYTHONPATH = {}\n",
                quoted(path.trim_start_matches("./"))
            ));
        }
        draft.alternative(format!("Stead's own worker instead of {what}"), toml);
    }
}

fn around_python(
    project: &Project<'_>,
    base: &str,
    found: &Found,
    dependencies: &Dependencies,
    draft: &mut Draft,
) {
    if !base.is_empty() {
        let file = found.candidates.first().map(|best| best.file.clone());
        let from = file
            .or_else(|| dependencies.file.clone())
            .unwrap_or_default();
        draft.origin("build.root", format!("where {from} lies"));
        draft.manifest.build.root = Some(base.to_owned());
    }
    versions::python(project, base, draft);
    match &dependencies.file {
        Some(file) if !dependencies.usual => {
            let inside = within(base, file).unwrap_or(file).to_owned();
            draft.origin("build.requirements", file.clone());
            draft.manifest.build.requirements = Some(inside);
        }
        Some(_) => {}
        // What is wrong with it is said where it is read.
        None if project.tree.is_odd(&join(base, "requirements.txt")) => {}
        None if let Some((file, name)) = imports_framework(project, draft) => draft.missing(
            format!(
                "{file} imports {name}, and no file says which packages the app needs (requirements.txt, pyproject.toml, Pipfile, …)"
            ),
            format!("echo {name} > requirements.txt"),
        ),
        None => draft.note(
            "No file says which packages the app needs (requirements.txt, pyproject.toml, Pipfile, …): it runs without any.",
        ),
    }
    let entry = draft
        .entry
        .clone()
        .or_else(|| found.candidates.first().map(|best| best.file.clone()));
    draft.entry = entry;
    not_python_three(project, draft);
    let required = state::variables(project, base, draft);
    if let Some(best) = found.candidates.first() {
        let django = matches!(
            best.kind,
            Kind::Wsgi("Django") | Kind::Asgi("Django" | "Django Channels")
        );
        if django {
            django::settings(project, base, &best.file, required, draft);
        } else if best.kind.name() == "Flask" {
            flask::static_folder(project, base, draft);
        }
        framework_notes(project, base, dependencies, draft);
        others(project, base, best, found, dependencies, draft);
    }
    if let Some(conf) = shipped::gunicorn_conf(project, base, None) {
        shipped::apply_gunicorn(&conf, draft);
    }
    passed_over(found, draft);
    node::beside_python(project.tree, base, draft);
    state::directories(project, base, draft);
    state::dotenv(project, base, draft);
}

/// A framework that the app's own files import: the file, and the package.
fn imports_framework(project: &Project<'_>, draft: &Draft) -> Option<(String, String)> {
    let files = state::imported_from(project, draft.entry.as_deref());
    files.into_iter().find_map(|file| {
        let module = project.module(&file);
        let name = module.imports.iter().find_map(|import| {
            let top = import.split('.').next().unwrap_or_default();
            let package = top.to_lowercase().replace('_', "-");
            let foreign = project.find(&file, top).is_none();
            (foreign && server_source::is_web(&package)).then_some(package)
        })?;
        Some((file, name))
    })
}

/// Files that the app imports and that no Python 3 reads.
fn not_python_three(project: &Project<'_>, draft: &mut Draft) {
    let files = state::imported_from(project, draft.entry.as_deref());
    let broken = files.iter().filter(|file| {
        let text = project.tree.read(file);
        project.module(file).broken && text.is_some_and(|text| text.len() < 512 * 1024)
    });
    for file in broken.take(3) {
        draft.missing(
            format!("{file} is not valid Python 3, so the app cannot import it"),
            format!("python3 -m py_compile {file}"),
        );
    }
}

fn framework_notes(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) {
    let imports = |name: &str| {
        project.python_files().iter().any(|file| {
            within(base, file).is_some()
                && !super::entry::elsewhere(file)
                && project
                    .module(file)
                    .imports
                    .iter()
                    .any(|import| import == name)
        })
    };
    let wsgi = matches!(
        draft.manifest.process.get("web").map(|web| &web.program),
        Some(Program::Wsgi(_))
    );
    if wsgi && (imports("flask_socketio") || dependencies.has("flask-socketio")) {
        draft.note(
            "The app uses Flask-SocketIO: Stead's own worker carries its long polling; WebSocket needs a server of its own, such as `command = \"gunicorn -k gevent -w 1 -b 127.0.0.1:$PORT …\"`.",
        );
    }
}

/// Other objects that could be meant.
fn others(
    project: &Project<'_>,
    base: &str,
    best: &Candidate,
    found: &Found,
    dependencies: &Dependencies,
    draft: &mut Draft,
) {
    let same = |other: &Candidate| {
        other.file == best.file && other.attribute == best.attribute
            || origin_of(project, other) == origin_of(project, best)
    };
    let mut shown = Vec::new();
    for other in found.candidates.iter().skip(1) {
        if shown.len() >= 3 || other.tier > Tier::Deeper || other.file == best.file || same(other) {
            continue;
        }
        // What wraps or makes the chosen one is no other app.
        if matches!(other.tier, Tier::Factory) || within(base, &other.file).is_none() {
            continue;
        }
        let origin = origin_of(project, other);
        if shown.contains(&origin) {
            continue;
        }
        shown.push(origin);
        let entry = entry_point(project, base, other, dependencies);
        let key = if entry.asgi { "asgi" } else { "wsgi" };
        draft.alternative(
            format!("{} holds another {} app", other.file, other.kind.name()),
            format!("[process.web]\n{key} = {}\n", quoted(&entry.target)),
        );
    }
}

/// The file in which a candidate's object is made.
fn origin_of(project: &Project<'_>, candidate: &Candidate) -> String {
    let mut file = candidate.file.clone();
    let mut name = candidate.attribute.clone();
    for _ in 0..8 {
        let module = project.module(&file);
        let Some(binding) = module.bound(name.trim_end_matches("()")) else {
            break;
        };
        match &binding.value {
            super::syntax::Value::Import(import) => {
                let Some(found) = project.find(&file, &import.module) else {
                    break;
                };
                if found == file {
                    break;
                }
                file = found;
                name = import.name.clone().unwrap_or_default();
            }
            super::syntax::Value::Call(call) => {
                match project.thing(Scope::file(&file), &call.function) {
                    Thing::Function(found, _) if found != file => {
                        file = found;
                        name = call
                            .function
                            .rsplit('.')
                            .next()
                            .unwrap_or_default()
                            .to_owned();
                    }
                    _ => break,
                }
            }
            _ => break,
        }
    }
    file
}

fn passed_over(found: &Found, draft: &mut Draft) {
    let mut count = 0;
    for passed in &found.passed {
        let (file, name, line) = (&passed.file, &passed.name, passed.line);
        let text = match &passed.why {
            Why::Decoy(what) => format!("`{name}` in {file}:{line} was passed over: it is {what}."),
            Why::NeedsArguments(_) | Why::OnlyMain | Why::Elsewhere | Why::Held(_) => continue,
        };
        count += 1;
        if count <= 4 {
            draft.note(text);
        }
    }
}

fn without_python(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    let tree = project.tree;
    if node::node(tree, base, draft) {
        return true;
    }
    let signs = server_source::signs(project, base, dependencies);
    if signs.is_empty() && node::site(project, draft) {
        return true;
    }
    let mut dirs: Vec<&str> = tree
        .files()
        .filter(|path| file_name(path) == "package.json" && path.matches('/').count() <= 2)
        .map(parent)
        .filter(|dir| *dir != base && !super::entry::elsewhere(&join(dir, "x.js")))
        .collect();
    let names = [
        "backend", "server", "api", "app", "web", "frontend", "client",
    ];
    dirs.sort_by_key(|dir| {
        let name = names
            .iter()
            .position(|name| *name == file_name(dir))
            .unwrap_or(99);
        (dir.matches('/').count(), name)
    });
    dirs.into_iter().any(|dir| node::node(tree, dir, draft))
}
