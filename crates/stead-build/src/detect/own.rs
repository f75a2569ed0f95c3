//! Python programs that bring their own server, and how they are told where to listen.

use stead_model::manifest::{Count, Program, Volume};

use super::dependencies::Dependencies;
use super::draft::Draft;
use super::entry::{Candidate, Found, Tier, elsewhere};
use super::kinds::{Kind, Scope, Thing, constructed};
use super::project::Project;
use super::syntax::{Call, Place, Value};
use super::tree::{file_name, join, parent, within};
use super::{console, server_source};

/// `python serve.py --port $PORT`, and whether the program can be told where to listen.
pub(crate) fn script_line(project: &Project<'_>, base: &str, file: &str) -> (String, bool) {
    let inside = within(base, file).unwrap_or(file);
    let package = project.tree.has(&join(parent(file), "__init__.py"));
    let mut line = match package {
        true => format!(
            "python -m {}",
            inside
                .trim_end_matches(".py")
                .trim_end_matches("/__main__")
                .replace('/', ".")
        ),
        false => format!("python {inside}"),
    };
    let module = project.module(file);
    let mut told = reads_port(project, file);
    // Options are often declared in a module beside the program.
    let package = project.package_parent(file);
    let near: Vec<_> = module
        .imports
        .iter()
        .filter_map(|import| project.find(file, import))
        .filter(|near| near != file && within(package, near).is_some())
        .take(40)
        .map(|near| project.module(&near))
        .collect();
    let beside = near.iter().flat_map(|module| &module.calls).filter(|call| {
        let last = call.function.rsplit('.').next();
        matches!(last, Some("add_argument" | "add_option" | "addoption"))
            && call.args.iter().any(|flag| flag.text() == Some("--port"))
    });
    for call in module.calls.iter().chain(beside) {
        let flags: Vec<&str> = call.args.iter().filter_map(Value::text).collect();
        match call.function.rsplit('.').next() {
            // argparse, click.
            Some("add_argument" | "add_option" | "addoption" | "option") => {
                if let Some(flag) = flags.iter().find(|flag| **flag == "--port") {
                    if !told {
                        line.push_str(&format!(" {flag} $PORT"));
                        told = true;
                    }
                } else if flags
                    .iter()
                    .any(|flag| matches!(*flag, "--prod" | "--production"))
                {
                    let flag = flags.iter().find(|flag| flag.starts_with("--prod"));
                    let switch = call.keyword("action").and_then(Value::text) == Some("store_true");
                    if let (Some(flag), true) = (flag, switch) {
                        line.push_str(&format!(" {flag}"));
                    }
                }
            }
            // tornado.options
            Some("define") if flags.first() == Some(&"port") && !told => {
                line.push_str(" --port=$PORT");
                told = true;
            }
            _ => {}
        }
    }
    (line, told)
}

/// Whether a file reads the variable PORT.
pub(crate) fn reads_port(project: &Project<'_>, file: &str) -> bool {
    let module = project.module(file);
    module.subscripts.iter().any(|s| s.key == "PORT")
        || module
            .calls
            .iter()
            .any(|call| call.args.first().and_then(Value::text) == Some("PORT"))
}

/// Decide for a program that listens by itself. `false` if there is none.
pub(crate) fn program(
    project: &Project<'_>,
    base: &str,
    found: &Found,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    runner(project, base, dependencies, draft)
        || pyramid(project, base, dependencies, draft)
        || listening(project, base, found, dependencies, draft)
}

/// Library functions that serve until they are stopped.
const SERVING: &[&str] = &[
    "bottle.run",
    "waitress.serve",
    "uvicorn.run",
    "uvicorn.Server",
    "hypercorn.asyncio.serve",
    "granian.Granian",
    "cheroot.wsgi.Server",
    "eventlet.wsgi.server",
    "gevent.pywsgi.WSGIServer",
    "gevent.wsgi.WSGIServer",
    "wsgiref.simple_server.make_server",
    "werkzeug.serving.run_simple",
    "aiohttp.web.run_app",
    "cherrypy.quickstart",
    "cherrypy.engine.start",
    "socketserver.TCPServer",
    "nicegui.ui.run",
];

/// Where `file` serves: the line, and what serves. Only where running the file gets there.
fn serves(
    project: &Project<'_>,
    found: &Found,
    scripts: &[console::Script],
    file: &str,
) -> Option<(u32, String)> {
    let module = project.module(file);
    let reached = |call: &Call| match &call.inside {
        None => true,
        Some(function) => {
            module.has_main
                || scripts
                    .iter()
                    .any(|script| script.file.as_deref() == Some(file))
                || module
                    .calls
                    .iter()
                    .any(|other| other.function == *function && other.place != Place::Function)
        }
    };
    let mut only_main = found
        .passed
        .iter()
        .filter(|passed| passed.file == file && passed.why == super::entry::Why::OnlyMain);
    for call in module.calls.iter().filter(|call| reached(call)) {
        // The library may be imported where it is used.
        let function = call.inside.as_deref().and_then(|name| {
            let mut functions = module.functions.iter();
            functions.rposition(|function| function.name == name)
        });
        let scope = Scope { file, function };
        let thing = project.thing(scope, &call.function);
        // `Application()`, whose class is of the tree.
        if let Thing::Class(..) = thing
            && let Thing::Instance(Kind::Own(framework)) =
                project.evaluate(scope, &Value::Call(Box::new(call.clone())))
        {
            return Some((call.line, framework.to_owned()));
        }
        if let Thing::External(path) = thing {
            if let Some(Kind::Own(framework)) = constructed(&path) {
                return Some((call.line, framework.to_owned()));
            }
            if SERVING.contains(&path.as_str()) {
                return Some((call.line, path));
            }
        }
    }
    if let Some(passed) = only_main.next() {
        return Some((passed.line, format!("{}.run", passed.name)));
    }
    let own = found.own.iter().find(|(own, _, _)| own == file);
    own.filter(|_| module.has_main)
        .map(|(_, line, framework)| (*line, (*framework).to_owned()))
}

fn listening(
    project: &Project<'_>,
    base: &str,
    found: &Found,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    let scripts = console::of_project(project, base);
    let mut best: Option<((usize, usize), &str, u32, String)> = None;
    for path in project.python_files() {
        if elsewhere(path) || within(base, path).is_none() {
            continue;
        }
        let Some((line, what)) = serves(project, found, &scripts, path) else {
            continue;
        };
        let usual = ["app", "main", "server", "run", "serve", "__main__", "web"]
            .iter()
            .position(|name| file_name(path).trim_end_matches(".py") == *name)
            .unwrap_or(99);
        let key = (path.matches('/').count(), usual);
        if best.as_ref().is_none_or(|(other, ..)| key < *other) {
            best = Some((key, path, line, what));
        }
    }
    let Some((_, path, line, what)) = best else {
        return false;
    };
    if what == "bottle.run" && bottle(project, base, path, line, draft) {
        return true;
    }
    let (mut command, mut told) = script_line(project, base, path);
    let mut from = super::source_line(project, path, line);
    let script = scripts
        .iter()
        .find(|script| script.file.as_deref() == Some(path));
    if let Some(script) = script.filter(|_| !project.module(path).has_main) {
        let flags = command
            .split_once(" --")
            .map_or(String::new(), |(_, flags)| format!(" --{flags}"));
        command = script_command(project, base, script, dependencies, draft);
        command.push_str(&flags);
        from = script.from.clone();
    }
    if what == "Gradio" {
        command = format!("GRADIO_SERVER_PORT=$PORT {command}");
        told = true;
    }
    draft.run("web", Program::Command(command), from);
    if what == "Gradio" {
        one_instance("Gradio", draft);
    }
    draft.note(format!(
        "`{path}` starts a server of its own ({what}), so it is run as a program."
    ));
    draft.entry = Some(path.to_owned());
    if !told {
        draft.warning(
            format!(
                "`{path}` does not read the variable PORT: where it listens has to be found out, and only one instance can run"
            ),
            format!("let `{path}` listen on int(os.environ[\"PORT\"])"),
        );
    }
    true
}

/// How a script of the project is called: by its name where the project is installed, else by its function.
fn script_command(
    project: &Project<'_>,
    base: &str,
    script: &console::Script,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> String {
    if console::is_installed(project, base, dependencies) {
        return script.name.clone();
    }
    let (module, function) = (&script.module, &script.function);
    let first = function.split('.').next().unwrap_or_default();
    let file = script.file.as_deref().unwrap_or_default();
    let (root, _) = project.import_root(base, file);
    if let Some(inside) = within(base, &root).filter(|inside| !inside.is_empty()) {
        let from = format!("{file}, which imports from there");
        draft.origin("env.PYTHONPATH", from);
        let env = &mut draft.manifest.env;
        env.insert("PYTHONPATH".to_owned(), inside.to_owned());
    }
    format!("python -c 'from {module} import {first}; {function}()'")
}

/// Servers that an object of the source is never given to as it stands: a project that brings one is run
/// by its own program.
const OWN_SERVERS: &[&str] = &["tornado", "twisted", "cherrypy", "cheroot", "txzmq"];

/// A project whose console script is how it is run, although its source holds an app object, too.
pub(crate) fn brought(
    project: &Project<'_>,
    base: &str,
    best: Option<&Candidate>,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    let scripts = console::of_project(project, base);
    if scripts.is_empty() || !console::is_installed(project, base, dependencies) {
        return false;
    }
    let name = console::project_name(project, base).unwrap_or_default();
    if let Some(known) = console::of_package(&name) {
        let own = |script: &&console::Script| known.line.split(' ').any(|w| w == script.name);
        if let Some(script) = scripts.iter().find(own) {
            draft.run(
                "web",
                Program::Command(known.line.to_owned()),
                script.from.clone(),
            );
            draft.entry = script.file.clone();
            draft.note(format!("{name} is run by its program `{}`.", script.name));
            if let Some(before) = known.before {
                draft.origin(
                    "release.command",
                    format!("what {name} needs before it starts"),
                );
                draft.manifest.release_command = Some(before.to_owned());
            }
            if let Some(folder) = known.folder {
                draft.origin(&format!("volume.{folder}"), format!("what {name} keeps"));
                let volume = Volume {
                    path: folder.to_owned(),
                };
                draft.manifest.volume.insert(folder.to_owned(), volume);
            }
            one_instance(&name, draft);
            return true;
        }
    }
    let Some(best) = best.filter(|best| best.tier > Tier::Wsgi && best.file.contains('/')) else {
        return false;
    };
    let own_server = |script: &console::Script| {
        console::files(project, script).iter().any(|file| {
            let module = project.module(file);
            let mut tops = module.imports.iter().map(|import| import.split('.').next());
            tops.any(|top| OWN_SERVERS.contains(&top.unwrap_or_default()))
        })
    };
    let wsgi = !matches!(best.kind, Kind::Asgi(_));
    let likely = console::likely_first(&scripts, Some(&name));
    let first = likely.first().filter(|script| wsgi && own_server(script));
    first.is_some_and(|script| run_script(project, base, script, dependencies, draft))
}

/// A console script of a server's project that takes `--port`.
pub(crate) fn script(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    if !dependencies
        .packages
        .keys()
        .any(|name| server_source::is_web(name))
    {
        return false;
    }
    let name = console::project_name(project, base);
    let scripts = console::of_project(project, base);
    let likely = console::likely_first(&scripts, name.as_deref());
    let first = likely.first();
    first.is_some_and(|script| run_script(project, base, script, dependencies, draft))
}

fn run_script(
    project: &Project<'_>,
    base: &str,
    script: &console::Script,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    let Some(flags) = console::port_option(project, script) else {
        return false;
    };
    let command = script_command(project, base, script, dependencies, draft);
    let program = Program::Command(format!("{command} {flags}"));
    draft.run("web", program, script.from.clone());
    draft.entry = script.file.clone();
    draft.note(format!(
        "`{}` starts a server of its own, so it is run as a program.",
        script.name
    ));
    true
}

/// Bottle's routes without an app object belong to its default app.
fn bottle(project: &Project<'_>, base: &str, path: &str, line: u32, draft: &mut Draft) -> bool {
    let module = project.module(path);
    let guarded = module
        .calls
        .iter()
        .any(|call| call.line == line && call.place >= Place::Main);
    let app = ["bottle.default_app", "default_app"]
        .into_iter()
        .find(|name| {
            let thing = project.thing(Scope::file(path), name);
            matches!(thing, Thing::External(path) if path == "bottle.default_app")
        });
    let (true, Some(app)) = (guarded, app) else {
        return false;
    };
    let (root, module) = project.import_root(base, path);
    if root != base {
        return false;
    }
    let from = super::source_line(project, path, line);
    draft.run("web", Program::Wsgi(format!("{module}:{app}()")), from);
    true
}

/// A program that is given a file of the app, and serves it.
struct Runner {
    /// The package that brings it, and that the file imports.
    package: &'static str,
    /// What the file calls; `None`: importing the package is enough.
    calls: Option<&'static str>,
    /// `{}` is the file.
    line: &'static str,
    name: &'static str,
}

const RUNNERS: &[Runner] = &[
    Runner {
        package: "streamlit",
        calls: None,
        line: "streamlit run {} --server.port $PORT --server.address 127.0.0.1 --server.headless true",
        name: "Streamlit",
    },
    Runner {
        package: "chainlit",
        calls: None,
        line: "chainlit run {} --port $PORT --host 127.0.0.1 --headless",
        name: "Chainlit",
    },
    Runner {
        package: "panel",
        calls: Some("servable"),
        line: "panel serve {} --port $PORT --address 127.0.0.1 --allow-websocket-origin '*'",
        name: "Panel",
    },
    Runner {
        package: "bokeh",
        calls: Some("curdoc"),
        line: "bokeh serve {} --port $PORT --address 127.0.0.1 --allow-websocket-origin '*'",
        name: "Bokeh",
    },
];

fn runner(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    let there = RUNNERS.iter();
    let mut there = there.filter(|runner| dependencies.has(runner.package));
    there.any(|runner| runs(project, base, runner, draft))
}

fn runs(project: &Project<'_>, base: &str, runner: &Runner, draft: &mut Draft) -> bool {
    let given = |path: &str| {
        let module = project.module(path);
        let mut tops = module.imports.iter().map(|import| import.split('.').next());
        let calls = |wanted: &str| {
            let mut calls = module.calls.iter();
            calls.any(|call| call.function.split('.').any(|part| part == wanted))
        };
        tops.any(|top| top == Some(runner.package)) && runner.calls.is_none_or(calls)
    };
    let mut pages: Vec<&str> = project
        .python_files()
        .into_iter()
        .filter(|path| within(base, path).is_some() && !elsewhere(path) && given(path))
        .filter(|path| !parent(path).ends_with("pages"))
        .collect();
    let names = ["streamlit_app", "app", "main", "Home", "home", "dashboard"];
    pages.sort_by_key(|path| {
        let stem = file_name(path).trim_end_matches(".py");
        let name = names.iter().position(|name| *name == stem).unwrap_or(9);
        (path.matches('/').count(), name)
    });
    let Some(page) = pages.first() else {
        return false;
    };
    let inside = within(base, page).unwrap_or(page);
    if !inside
        .chars()
        .all(|c| c.is_alphanumeric() || "-_./".contains(c))
    {
        return false;
    }
    let verb = runner.calls.map_or("imports", |_| "uses");
    let from = format!("{page} {verb} {}", runner.package);
    draft.run(
        "web",
        Program::Command(runner.line.replace("{}", inside)),
        from,
    );
    draft.entry = Some((*page).to_owned());
    if runner.line.contains("websocket-origin") {
        draft.note(format!(
            "{} refuses WebSockets of hosts that it is not told: `--allow-websocket-origin '*'` allows any; name the app's own host there.",
            runner.name
        ));
    }
    one_instance(runner.name, draft);
    true
}

/// A visitor's next request must reach the instance that answered the one before.
fn one_instance(framework: &str, draft: &mut Draft) {
    if let Some(web) = draft.manifest.process.get_mut("web") {
        web.count = Count::Fixed(1);
    }
    draft.origin(
        "process.web.count",
        format!("{framework}, which keeps what it knows of visitors in one process"),
    );
}

/// A Pyramid app is made from its ini; `pserve` would listen where the ini says.
fn pyramid(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    let ini = ["production.ini", "prod.ini", "app.ini"]
        .iter()
        .map(|name| join(base, name))
        .find(|path| {
            project
                .tree
                .read(path)
                .is_some_and(|text| text.contains("[app:") && text.contains("egg:"))
        });
    let Some(ini) = ini else { return false };
    let name = within(base, &ini).unwrap_or(&ini).to_owned();
    let line = if dependencies.has("gunicorn") {
        format!("gunicorn --paste {name} -b 127.0.0.1:$PORT")
    } else {
        format!(
            "python -c \"import os; from pyramid.paster import get_app; from waitress import serve; serve(get_app('{name}'), listen='127.0.0.1:' + os.environ['PORT'])\""
        )
    };
    if name.contains(['\'', '"']) {
        return false;
    }
    draft.run(
        "web",
        Program::Command(line),
        format!("{ini}, section [app:main]"),
    );
    // It is found by its own name only where it is installed.
    if !console::is_installed(project, base, dependencies) {
        let file = dependencies.file.as_deref().map(file_name);
        let file = file.unwrap_or("requirements.txt");
        draft.missing(
            format!("{ini} names the project itself as an egg, and {file} does not install it"),
            match file {
                "pyproject.toml" => "add a [build-system] table to pyproject.toml".to_owned(),
                file => format!("add the line `-e .` to {file}"),
            },
        );
    }
    true
}
