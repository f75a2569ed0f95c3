//! Entry points that the repository names for some other way of starting it: Dockerfiles,
//! compose files, unit files, start scripts, `FLASK_APP`, `uvicorn.run("pkg.main:app")`.
//!
//! These lines are hints: they say which object is meant, never how Stead runs it.

use stead_model::manifest::Program;

use super::dependencies::Dependencies;
use super::draft::Draft;
use super::entry::{Found, Tier, elsewhere};
use super::kinds::Kind;
use super::project::Project;
use super::server_line::{self, ServerLine};
use super::syntax::Value;
use super::tree::{Tree, file_name, join, parent, resolve};

/// One place that names an entry point.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) line: ServerLine,
    /// `Dockerfile:9`.
    pub(crate) from: String,
    /// The directory that the line is about.
    pub(crate) dir: String,
}

/// Every hint of the tree, the most telling first.
pub(crate) fn collect(project: &Project<'_>) -> Vec<Named> {
    let tree = project.tree;
    let mut named = Vec::new();
    for path in tree.files() {
        let name = file_name(path);
        let deep = path.matches('/').count() > 3 || elsewhere_for_hints(path);
        if deep {
            continue;
        }
        if name.ends_with(".service") {
            lines(tree, path, &mut named, |line| {
                line.strip_prefix("ExecStart=").map(str::to_owned)
            });
        } else if name == "Dockerfile"
            || name.starts_with("Dockerfile.")
            || name.ends_with(".Dockerfile")
        {
            lines(tree, path, &mut named, docker_line);
        } else if name.contains("compose") && (name.ends_with(".yml") || name.ends_with(".yaml")) {
            lines(tree, path, &mut named, |line| {
                line.strip_prefix("command:").map(unlist)
            });
        } else if name == "app.yaml" {
            lines(tree, path, &mut named, |line| {
                line.strip_prefix("entrypoint:").map(unlist)
            });
        } else if name.ends_with(".sh") && path.matches('/').count() <= 2 {
            lines(tree, path, &mut named, |line| Some(line.to_owned()));
        } else if name.ends_with(".py") && !elsewhere(path) {
            run_calls(project, path, &mut named);
        }
    }
    if let Some(conf) = super::shipped::gunicorn_conf(project, "", None)
        && conf.line.target.is_some()
    {
        named.insert(
            0,
            Named {
                dir: parent(&conf.path).to_owned(),
                from: format!("{}: wsgi_app", conf.path),
                line: conf.line,
            },
        );
    }
    flask_app(project, &mut named);
    // A script that is only run says least.
    named.retain(|hint| hint.line.server != "python");
    named
}

fn elsewhere_for_hints(path: &str) -> bool {
    let skipped = [
        "tests",
        "test",
        "docs",
        "doc",
        "examples",
        "example",
        "node_modules",
    ];
    parent(path).split('/').any(|part| skipped.contains(&part))
}

fn lines(tree: &Tree, path: &str, named: &mut Vec<Named>, pick: impl Fn(&str) -> Option<String>) {
    let Some(text) = tree.read(path) else { return };
    // A continued line is one line.
    let text = text.replace("\\\r\n", "      ").replace("\\\n", "  ");
    for (number, line) in text.lines().enumerate().take(5_000) {
        let Some(picked) = pick(line.trim()) else {
            continue;
        };
        if picked.len() > 4_000 || picked.starts_with('#') {
            continue;
        }
        if let Some(line) = server_line::read(&picked) {
            let from = match path.ends_with(".sh") || text.contains("  ") {
                true => path.to_owned(),
                false => format!("{path}:{}", number + 1),
            };
            let dir = parent(path).to_owned();
            named.push(Named { line, from, dir });
        }
    }
}

fn docker_line(line: &str) -> Option<String> {
    let rest = ["CMD", "ENTRYPOINT"].iter().find_map(|word| {
        let rest = line.strip_prefix(word)?;
        rest.starts_with([' ', '[', '\t']).then_some(rest)
    })?;
    Some(unlist(rest))
}

/// `["gunicorn", "app:app"]` as a line; other text as it is.
fn unlist(text: &str) -> String {
    let text = text.trim();
    if let Ok(words) = serde_json::from_str::<Vec<String>>(text) {
        if let [shell, flag, line] = words.as_slice()
            && shell.ends_with("sh")
            && flag.starts_with('-')
        {
            return line.clone();
        }
        return words.join(" ");
    }
    text.trim_matches(['"', '\'']).to_owned()
}

/// `uvicorn.run("pkg.main:app")`.
fn run_calls(project: &Project<'_>, path: &str, named: &mut Vec<Named>) {
    let module = project.module(path);
    for call in module.calls_of("uvicorn.run") {
        let Some(Value::Str(target)) = call.argument("app", 0) else {
            continue;
        };
        let factory = matches!(call.keyword("factory"), Some(Value::Bool(true)));
        named.push(Named {
            line: ServerLine {
                server: "uvicorn".to_owned(),
                target: Some(target.clone()),
                factory,
                asgi: true,
                ..ServerLine::default()
            },
            from: format!("{path}:{}", call.line),
            dir: project.package_parent(path).to_owned(),
        });
    }
}

/// `FLASK_APP=microblog.py` in a committed `.flaskenv` or `.env`: only this key is taken.
fn flask_app(project: &Project<'_>, named: &mut Vec<Named>) {
    for name in [".flaskenv", ".env", ".env.example"] {
        let Some(text) = project.tree.hidden(name) else {
            continue;
        };
        for line in text.lines() {
            let line = line.trim().trim_start_matches("export ");
            let Some(value) = line.strip_prefix("FLASK_APP=") else {
                continue;
            };
            let target = value.trim().trim_matches(['"', '\'']).to_owned();
            named.push(Named {
                line: ServerLine {
                    server: "flask".to_owned(),
                    target: Some(target),
                    ..ServerLine::default()
                },
                from: format!("{name}: FLASK_APP"),
                dir: String::new(),
            });
        }
    }
}

/// Raise the candidates that a hint names, and say which hint it was.
pub(crate) fn raise(project: &Project<'_>, found: &mut Found, named: &[Named]) -> Option<String> {
    for hint in named {
        let Some(entry) = hint.line.entry() else {
            continue;
        };
        let Some((module, attribute)) = entry.split_once(':') else {
            continue;
        };
        let Some(file) = locate(project, hint, module) else {
            continue;
        };
        let given = hint.line.target.as_deref().is_some_and(|t| t.contains(':'));
        let matching = found.candidates.iter().position(|candidate| {
            candidate.file == file
                && (candidate.attribute == attribute
                    || hint.line.server == "flask" && !given
                    || candidate.attribute == format!("{attribute}()")
                        && hint.line.server != "gunicorn")
        });
        if let Some(at) = matching {
            let mut chosen = found.candidates.remove(at);
            chosen.tier = Tier::Named;
            found.candidates.insert(0, chosen);
            return Some(hint.from.clone());
        }
        // Named, and nothing that is understood: believed, unless it is known to be none.
        let decoy = found
            .passed
            .iter()
            .any(|passed| passed.file == file && passed.name == attribute.trim_end_matches("()"));
        let bound = project
            .module(&file)
            .bound(attribute.trim_end_matches("()"))
            .is_some();
        if given && bound && !decoy {
            let kind = if hint.line.asgi {
                Kind::Asgi("ASGI")
            } else {
                Kind::Wsgi("WSGI")
            };
            found
                .candidates
                .insert(0, super::entry::believed(&file, attribute, kind));
            return Some(hint.from.clone());
        }
    }
    None
}

/// A factory with arguments, `gunicorn "shop:create_app('production')"`: only gunicorn calls those, so it is
/// run as the repository says. `false` if no line names one.
pub(crate) fn factory_call(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    if !dependencies.has("gunicorn") {
        return false;
    }
    let lines = collect(project);
    let call = lines.iter().find_map(|hint| {
        let target = hint.line.target.as_deref()?;
        let (module, rest) = target.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.:(),='-/ ".contains(c);
        let sound = rest.contains('(') && rest.ends_with(')') && target.chars().all(plain);
        let file = locate(project, hint, module).filter(|_| sound)?;
        let here = project.import_root(base, &file).0 == base;
        (hint.line.server == "gunicorn" && here).then_some((hint, target))
    });
    let Some((hint, target)) = call else {
        return false;
    };
    let workers = hint
        .line
        .workers
        .map_or(String::new(), |workers| format!(" -w {workers}"));
    let command = format!("gunicorn -b 127.0.0.1:$PORT{workers} \"{target}\"");
    draft.run("web", Program::Command(command), hint.from.clone());
    true
}

/// The file that a hint's module means.
fn locate(project: &Project<'_>, hint: &Named, module: &str) -> Option<String> {
    let mut dirs = Vec::new();
    if let Some(chdir) = &hint.line.chdir {
        dirs.extend(resolve(&hint.dir, chdir.trim_start_matches('/')));
        // `/app/src` in a container is `src` here.
        dirs.push(file_name(chdir).to_owned());
    }
    dirs.extend([hint.dir.clone(), String::new()]);
    for dir in ["src", "app", "backend", "server", "api", "web"] {
        dirs.push(join(&hint.dir, dir));
        dirs.push(dir.to_owned());
    }
    let tail = module.replace('.', "/");
    dirs.iter().find_map(|dir| {
        let stem = join(dir, &tail);
        [format!("{stem}.py"), format!("{stem}/__init__.py")]
            .into_iter()
            .find(|path| project.tree.has(path))
    })
}
