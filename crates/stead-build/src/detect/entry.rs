//! Which Python object a server should be given.
//!
//! Every module-level name of every file is classified ([`Kind`]), and the best one wins.
//! The ranking, best first ([`Tier`]); within one tier: nearer to the top of the tree, then a
//! better file name, then a better attribute name:
//!
//! 1. `Named`: what the repository itself names: `FLASK_APP`, `uvicorn.run("pkg.main:app")`, a
//!    Dockerfile's or unit file's server line, gunicorn's `wsgi_app`. (A Procfile or uwsgi.ini is
//!    honoured before any of this.)
//! 2. `Wsgi`: an app in `wsgi.py`, or an ASGI app in `asgi.py`: they exist for servers. Django's
//!    next to `settings.py` is one of them; `asgi.py` wins only when the project needs ASGI.
//! 3. `Script`: an app bound in a script or module of a usual name (`app.py`, `main.py`, …).
//! 4. `Package`: an app bound in a package's `__init__.py`.
//! 5. `TopScript`: an app bound in any other file at the top (`microblog.py`).
//! 6. `Factory`: `create_app`, `make_app`, … which can be called without arguments.
//! 7. `Deeper`: an app bound anywhere else.
//! 8. `OddFactory`: any other function without arguments that returns an app.
//! 9. `Imported`: a name that a file merely imports.
//!
//! Never taken: files in tests, documentation, examples, migrations and environments; names that
//! are Celery, Typer, tkinter and the like; anything bound only under `__main__`.

use super::kinds::{Kind, Scope, Thing};
use super::project::Project;
use super::syntax::{Binding, Place, Value};
use super::tree::{file_name, parent};

mod held;

/// Something that a server could be given.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) file: String,
    /// `app`, `create_app()`, `app.server`.
    pub(crate) attribute: String,
    pub(crate) kind: Kind,
    pub(crate) tier: Tier,
    pub(crate) line: u32,
    rank: (usize, usize, usize),
}

/// How reliable a candidate is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Named,
    Wsgi,
    Script,
    Package,
    TopScript,
    Factory,
    Deeper,
    OddFactory,
    Imported,
}

/// Something that looks like an entry point and is none.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) line: u32,
    pub(crate) why: Why,
}

/// Why a candidate was passed over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Why {
    /// It is something else.
    Decoy(&'static str),
    /// A factory that needs these arguments.
    NeedsArguments(Vec<String>),
    /// It is bound only under `__main__`.
    OnlyMain,
    /// It lies where tests and examples lie.
    Elsewhere,
    /// An app that is reached only through what a call gives: `Server().app`.
    Held(String),
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Best first.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) passed: Vec<Passed>,
    /// Apps that bring their own server: file, line, framework.
    pub(crate) own: Vec<(String, u32, &'static str)>,
}

/// File names that usually hold the app, best first.
const SCRIPTS: &[&str] = &[
    "app",
    "application",
    "main",
    "server",
    "api",
    "web",
    "run",
    "serve",
    "start",
    "index",
    "webapp",
    "site",
    "__main__",
    "manage",
];
/// Names that usually hold the app, best first.
pub(super) const ATTRIBUTES: &[&str] = &[
    "application",
    "app",
    "asgi_app",
    "wsgi_app",
    "api",
    "server",
    "web",
    "webapp",
    "handler",
    "flask_app",
    "asgi",
    "wsgi",
    "main",
];
const FACTORIES: &[&str] = &[
    "create_app",
    "make_app",
    "build_app",
    "get_app",
    "app_factory",
    "create_application",
    "make_application",
    "build_application",
    "get_application",
    "application_factory",
    "create_flask_app",
    "create_api",
    "make_wsgi_app",
    "create_wsgi_app",
    "init_app",
    "setup_app",
    "create_server",
    "factory",
];
/// Directories whose files never hold the entry point.
const ELSEWHERE: &[&str] = &[
    "test",
    "tests",
    "testing",
    "doc",
    "docs",
    "example",
    "examples",
    "sample",
    "samples",
    "demo",
    "demos",
    "migrations",
    "alembic",
    "versions",
    "fixtures",
    "benchmarks",
    "benchmark",
    "bench",
    "contrib",
    "notebooks",
    "tutorial",
    "tutorials",
    "templates",
    "project_template",
    "project_templates",
    "skeleton",
    "app_template",
    "static",
    "vendor",
    "third_party",
    "build",
    "dist",
    "scripts",
    "bin",
    "tools",
    "hooks",
    "cookbook",
];

/// Whether `path` lies in a directory that holds no entry point, or is a test itself.
pub(crate) fn elsewhere(path: &str) -> bool {
    let name = file_name(path);
    let test = name.starts_with("test_")
        || name.ends_with("_test.py")
        || matches!(
            name,
            "conftest.py"
                | "tests.py"
                | "test.py"
                | "setup.py"
                | "noxfile.py"
                | "tasks.py"
                | "fabfile.py"
                | "gunicorn.conf.py"
                | "gunicorn_config.py"
                | "gunicorn_conf.py"
        );
    test || parent(path)
        .split('/')
        .any(|part| ELSEWHERE.contains(&part.to_lowercase().as_str()))
}

/// Classify every name of every file.
pub(crate) fn find(project: &Project<'_>) -> Found {
    let mut found = Found::default();
    for file in project.python_files() {
        look_at(project, file, &mut found);
    }
    found
        .candidates
        .sort_by(|a, b| (a.tier, a.rank, &a.file, a.line).cmp(&(b.tier, b.rank, &b.file, b.line)));
    found
}

fn look_at(project: &Project<'_>, file: &str, found: &mut Found) {
    // `app/__init__.py` beside `app.py`: an import of `app` never reaches the file.
    if project
        .tree
        .has(&format!("{}/__init__.py", file.trim_end_matches(".py")))
    {
        return;
    }
    let module = project.module(file);
    let mut seen: Vec<&str> = Vec::new();
    for binding in module.bindings.iter().rev() {
        let name = binding.name.as_str();
        if seen.contains(&name) || seen.len() > 2_000 {
            continue;
        }
        seen.push(name);
        let Some(bound) = module.bound(name) else {
            under_main(project, file, binding, found);
            continue;
        };
        if name.contains('.') {
            continue;
        }
        match &bound.value {
            Value::Class { .. } => held::by_class(project, file, bound, found),
            Value::Function(index) => function(project, file, name, *index, found),
            _ => instance(project, file, bound, found),
        }
    }
    starred(project, file, found);
    hug(project, file, found);
}

/// `from shop import *` in a wsgi.py.
fn starred(project: &Project<'_>, file: &str, found: &mut Found) {
    let module = project.module(file);
    if module.stars.is_empty() || !matches!(file_name(file), "wsgi.py" | "asgi.py") {
        return;
    }
    for name in ["application", "app"] {
        if module.bound(name).is_some() {
            continue;
        }
        let thing = project.thing(Scope::file(file), name);
        let kind = project.kind_of(&thing);
        if let Some(kind @ (Kind::Wsgi(_) | Kind::Asgi(_))) = kind {
            push(project, file, name, name.to_owned(), kind, false, 1, found);
        }
    }
}

fn under_main(project: &Project<'_>, file: &str, binding: &Binding, found: &mut Found) {
    if binding.place != Place::Main || elsewhere(file) {
        return;
    }
    let thing = project.evaluate(Scope::file(file), &binding.value);
    match project.kind_of(&thing) {
        Some(Kind::Own(framework)) => found.own.push((file.to_owned(), binding.line, framework)),
        Some(kind) if kind.servable() && !matches!(binding.value, Value::Import(_)) => {
            found.passed.push(Passed {
                file: file.to_owned(),
                name: binding.name.clone(),
                line: binding.line,
                why: Why::OnlyMain,
            });
        }
        _ => {}
    }
}

fn instance(project: &Project<'_>, file: &str, binding: &Binding, found: &mut Found) {
    let thing = project.thing(Scope::file(file), &binding.name);
    let Some(kind) = project.kind_of(&thing) else {
        if !held::by_instance(project, file, binding, &thing, found) {
            conventional(project, file, binding, found);
        }
        return;
    };
    if let Kind::Own(framework) = kind {
        if !elsewhere(file) && !matches!(binding.value, Value::Import(_)) {
            found.own.push((file.to_owned(), binding.line, framework));
        }
        return;
    }
    if !kind.servable() {
        let app_like = ATTRIBUTES[..2].contains(&binding.name.as_str());
        if app_like && !matches!(binding.value, Value::Import(_)) {
            found.passed.push(Passed {
                file: file.to_owned(),
                name: binding.name.clone(),
                line: binding.line,
                why: Why::Decoy(kind.name()),
            });
        }
        return;
    }
    if elsewhere(file) {
        if !matches!(binding.value, Value::Import(_)) {
            found.passed.push(Passed {
                file: file.to_owned(),
                name: binding.name.clone(),
                line: binding.line,
                why: Why::Elsewhere,
            });
        }
        return;
    }
    // A function that is an app by its parameters is bound, not imported.
    let imported = matches!(binding.value, Value::Import(_));
    let attribute = match &kind {
        Kind::Holds("Connexion", _) => binding.name.clone(),
        Kind::Holds(_, inner) => format!("{}.{inner}", binding.name),
        _ => binding.name.clone(),
    };
    push(
        project,
        file,
        &binding.name,
        attribute,
        kind,
        imported,
        binding.line,
        found,
    );
}

fn function(project: &Project<'_>, file: &str, name: &str, index: usize, found: &mut Found) {
    let module = project.module(file);
    let Some(function) = module.functions.get(index) else {
        return;
    };
    if let Some(kind) = project.kind_of(&Thing::Function(file.to_owned(), index)) {
        if !elsewhere(file) && function.decorators.is_empty() {
            push(
                project,
                file,
                name,
                name.to_owned(),
                kind,
                false,
                function.line,
                found,
            );
        }
        return;
    }
    // A command, a view or a fixture may return an app; none of them is a factory.
    let plain = function.decorators.iter().all(|decorator| {
        let last = decorator.trim_end_matches("()").rsplit('.').next();
        matches!(last, Some("lru_cache" | "cache" | "inject" | "wraps"))
    });
    if !plain || function.is_async || function.yields || elsewhere(file) {
        return;
    }
    let Thing::Instance(kind) = project.made_by(file, index) else {
        return;
    };
    if let Kind::Own(framework) = kind {
        found.own.push((file.to_owned(), function.line, framework));
        return;
    }
    if !kind.servable() {
        return;
    }
    if !function.callable_bare() {
        let needed = function.parameters.iter().filter(|(_, required)| *required);
        found.passed.push(Passed {
            file: file.to_owned(),
            name: name.to_owned(),
            line: function.line,
            why: Why::NeedsArguments(needed.map(|(name, _)| name.clone()).collect()),
        });
        return;
    }
    let attribute = match &kind {
        Kind::Holds("Connexion", _) | Kind::Wsgi(_) | Kind::Asgi(_) => format!("{name}()"),
        Kind::Holds(_, inner) => {
            // An entry point ends with its call.
            found.passed.push(Passed {
                file: file.to_owned(),
                name: name.to_owned(),
                line: function.line,
                why: Why::Held(format!("{name}().{inner}")),
            });
            return;
        }
        _ => return,
    };
    push(
        project,
        file,
        name,
        attribute,
        kind,
        false,
        function.line,
        found,
    );
}

/// `application` is WSGI's own name: believed in a file of a usual name even if what makes it
/// could not be followed; in wsgi.py and asgi.py, `app` is, too.
fn conventional(project: &Project<'_>, file: &str, binding: &Binding, found: &mut Found) {
    let stem = file_name(file).trim_end_matches(".py");
    let for_servers = matches!(stem, "wsgi" | "asgi");
    let usual = for_servers || SCRIPTS.contains(&stem);
    let named = binding.name == "application" || for_servers && binding.name == "app";
    let made = matches!(binding.value, Value::Call(_));
    if !usual || !named || !made || elsewhere(file) {
        return;
    }
    let kind = if stem == "asgi" {
        Kind::Asgi("ASGI")
    } else {
        Kind::Wsgi("WSGI")
    };
    push(
        project,
        file,
        &binding.name,
        binding.name.clone(),
        kind,
        false,
        binding.line,
        found,
    );
}

/// hug puts `__hug_wsgi__` into every module that defines routes.
fn hug(project: &Project<'_>, file: &str, found: &mut Found) {
    let module = project.module(file);
    let routes = ["get", "post", "put", "delete", "patch", "http", "local"];
    let hug = module.imports.iter().any(|import| import == "hug")
        && module.functions.iter().any(|function| {
            function.decorators.iter().any(|decorator| {
                let bare = decorator.trim_end_matches("()");
                bare.strip_prefix("hug.")
                    .is_some_and(|route| routes.contains(&route))
            })
        });
    if hug && !elsewhere(file) {
        let attribute = "__hug_wsgi__".to_owned();
        let kind = Kind::Wsgi("hug");
        push(project, file, "app", attribute, kind, false, 1, found);
    }
}

#[expect(clippy::too_many_arguments, reason = "one call per kind of binding")]
fn push(
    project: &Project<'_>,
    file: &str,
    name: &str,
    attribute: String,
    kind: Kind,
    imported: bool,
    line: u32,
    found: &mut Found,
) {
    let stem = file_name(file).trim_end_matches(".py");
    let top = project.package_parent(file);
    let depth = file.matches('/').count();
    let position = |list: &[&str], item: &str| {
        list.iter()
            .position(|entry| *entry == item)
            .unwrap_or(list.len())
    };
    let made = attribute.contains("()") && name != "app" && !attribute.contains(".wsgifunc");
    let asgi = matches!(kind, Kind::Asgi(_));
    let script = position(SCRIPTS, stem);
    let usual_name = ATTRIBUTES.contains(&name);
    // `celery_worker.py` and shells push a context and are no servers.
    let helper = [
        "celery",
        "worker",
        "shell",
        "cron",
        "cli",
        "beat",
        "scheduler",
        "seed",
    ]
    .iter()
    .any(|part| stem.contains(part));
    let tier = if made && FACTORIES.contains(&name) {
        Tier::Factory
    } else if made {
        Tier::OddFactory
    } else if helper {
        Tier::Imported
    } else if stem == "wsgi" && !asgi || stem == "asgi" && asgi {
        Tier::Wsgi
    } else if script < SCRIPTS.len() && usual_name && !(imported && stem == "manage") {
        if imported && depth > 0 {
            Tier::Imported
        } else {
            Tier::Script
        }
    } else if imported && (depth > 0 || !usual_name) {
        Tier::Imported
    } else if stem == "__init__" {
        Tier::Package
    } else if parent(file) == top && depth == 0 {
        if imported {
            Tier::Factory
        } else {
            Tier::TopScript
        }
    } else {
        Tier::Deeper
    };
    let attribute_rank = if made {
        position(FACTORIES, name)
    } else {
        position(ATTRIBUTES, name)
    };
    // Within `Tier::Wsgi`, wsgi.py comes before asgi.py.
    let script = if tier == Tier::Wsgi {
        usize::from(asgi)
    } else {
        script
    };
    found.candidates.push(Candidate {
        file: file.to_owned(),
        attribute,
        kind,
        tier,
        line,
        rank: (depth, script, attribute_rank),
    });
}

/// An entry point that the repository names and that could not be followed.
pub(crate) fn believed(file: &str, attribute: &str, kind: Kind) -> Candidate {
    Candidate {
        file: file.to_owned(),
        attribute: attribute.to_owned(),
        kind,
        tier: Tier::Named,
        line: 0,
        rank: (0, 0, 0),
    }
}
