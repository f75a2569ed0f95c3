//! Python programs that bring their own server, and how they are told where to listen.

use stead_model::manifest::Program;

use super::dependencies::Dependencies;
use super::draft::Draft;
use super::entry::{Found, elsewhere};
use super::project::Project;
use super::syntax::{Place, Value};
use super::tree::{file_name, join, parent, within};

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
    let mut told = module.subscripts.iter().any(|s| s.key == "PORT")
        || module
            .calls
            .iter()
            .any(|call| call.args.first().and_then(Value::text) == Some("PORT"));
    for call in &module.calls {
        let flags: Vec<&str> = call.args.iter().filter_map(Value::text).collect();
        match call.function.rsplit('.').next() {
            // argparse, click.
            Some("add_argument" | "add_option" | "option") => {
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

/// Decide for a program that listens by itself. `false` if there is none.
pub(crate) fn program(
    project: &Project<'_>,
    base: &str,
    found: &Found,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    streamlit(project, base, dependencies, draft)
        || pyramid(project, base, dependencies, draft)
        || listening(project, base, found, draft)
}

fn listening(project: &Project<'_>, base: &str, found: &Found, draft: &mut Draft) -> bool {
    let mut best: Option<((bool, usize, usize), String, u32, String)> = None;
    for path in project.python_files() {
        if elsewhere(path) || within(base, path).is_none() {
            continue;
        }
        let module = project.module(path);
        let starts = [
            "run_app",
            "serve_forever",
            "run_until_complete",
            "run_forever",
            "launch",
            "serve",
            "run_simple",
            "start_server",
            "run",
            "listen",
        ];
        let own = found.own.iter().find(|(file, _, _)| file == path);
        let only_main = found
            .passed
            .iter()
            .find(|passed| passed.file == path && passed.why == super::entry::Why::OnlyMain);
        let runs = module.calls.iter().find(|call| {
            let last = call.function.rsplit('.').next().unwrap_or_default();
            let server = matches!(last, "run_app" | "serve_forever")
                || matches!(
                    call.function.as_str(),
                    "waitress.serve"
                        | "uvicorn.run"
                        | "hypercorn.run"
                        | "eventlet.wsgi.server"
                        | "wsgi.server"
                )
                || (own.is_some() || only_main.is_some()) && starts.contains(&last)
                || call.function.contains("IOLoop") && last == "start";
            // In a function, something else may call it: only a script runs it by itself.
            server && (call.place != Place::Function || module.has_main)
        });
        let Some(call) = runs else { continue };
        let framework = own.map_or("its own server", |(_, _, framework)| framework);
        let line = own.map_or(call.line, |(_, line, _)| *line);
        let usual = ["app", "main", "server", "run", "serve", "__main__", "web"]
            .iter()
            .position(|name| file_name(path).trim_end_matches(".py") == *name)
            .unwrap_or(99);
        let key = (own.is_none(), path.matches('/').count(), usual);
        if best.as_ref().is_none_or(|(other, ..)| key < *other) {
            best = Some((key, path.to_owned(), line, framework.to_owned()));
        }
    }
    let Some((_, path, line, framework)) = best else {
        return false;
    };
    let (mut command, mut told) = script_line(project, base, &path);
    if framework == "Gradio" {
        command = format!("GRADIO_SERVER_PORT=$PORT {command}");
        told = true;
    }
    draft.run(
        "web",
        Program::Command(command),
        super::source_line(project, &path, line),
    );
    draft.note(format!(
        "`{path}` brings its own server ({framework}), so it is run as a program."
    ));
    if !told {
        draft.note(format!(
            "`{path}` does not read the variable PORT: it must listen there to be reached, for example with int(os.environ[\"PORT\"])."
        ));
    }
    true
}

fn streamlit(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
    draft: &mut Draft,
) -> bool {
    if !dependencies.has("streamlit") {
        return false;
    }
    let mut pages: Vec<&str> = project
        .python_files()
        .into_iter()
        .filter(|path| within(base, path).is_some() && !elsewhere(path))
        .filter(|path| {
            project
                .module(path)
                .imports
                .iter()
                .any(|import| import == "streamlit")
        })
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
    draft.run(
        "web",
        Program::Command(format!(
            "streamlit run {inside} --server.port $PORT --server.address 127.0.0.1 --server.headless true"
        )),
        format!("{page} imports streamlit"),
    );
    true
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
    draft.note(format!(
        "The app is made from {ini}, which names the project itself as an egg: the project must be installed in its own environment, for example with `-e .` in requirements.txt."
    ));
    true
}
