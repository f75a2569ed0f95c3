//! What `prepare` would do, and what would stop it, without doing it.

use std::path::Path;

use stead_model::manifest::{Count, Manifest, Process, Program, Server};
use stead_model::release::{ProcessSpec, Start};

use crate::environment::{self, Environment};
use crate::machine::Machine;
use crate::prepare::{self, Python};
use crate::{Detection, Error, Finding, Source, commands, launch, node, system, uv};

/// Say what would be built and run, and what is missing.
pub(crate) fn check(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    detection: Option<&Detection>,
) -> Vec<Finding> {
    let mut findings = of_build(machine, manifest, source);
    if let Some(detection) = detection {
        of_source(machine, manifest, detection, &mut findings);
    }
    findings
}

/// What detection saw in the source, as far as it is about what `manifest` runs.
fn of_source(
    machine: &Machine,
    manifest: &Manifest,
    detection: &Detection,
    findings: &mut Vec<Finding>,
) {
    let program = |manifest: &Manifest| manifest.process.get("web").map(|web| web.program.clone());
    if program(manifest) == program(&detection.manifest) {
        findings.extend(detection.findings.iter().cloned());
    }
    for variable in &detection.variables {
        let name = &variable.name;
        let given = manifest.env.contains_key(name) || manifest.secret.contains_key(name);
        if given || machine.variable(name).is_some() {
            continue;
        }
        findings.push(Finding {
            text: variable.sentence(),
            blocks: variable.at_start,
            hint: Some(format!("export {name}=…")),
        });
    }
}

fn of_build(machine: &Machine, manifest: &Manifest, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code = match prepare::code(manifest, source) {
        Ok(code) => code,
        Err(error) => return vec![blocking(&error)],
    };
    let missing = system::missing(machine, &manifest.build.packages);
    if !missing.is_empty() {
        findings.push(Finding {
            text: format!("system packages are missing: {}", missing.join(", ")),
            blocks: true,
            hint: Some(system::hint(&missing)),
        });
    }
    let python = match Python::of(machine, manifest, source, &code) {
        Ok(python) => python,
        Err(error) => {
            findings.push(blocking(&error));
            return findings;
        }
    };
    let mut environment = None;
    if let Some(python) = &python {
        let (found, built) =
            environment_of(machine, manifest, source, &code, python, &mut findings);
        environment = Some((found, built, python.interpreter.version));
    }
    let node = match node::read(manifest, &code, python.is_some()) {
        Ok(node) => node,
        Err(error) => {
            findings.push(blocking(&error));
            None
        }
    };
    if let Some(node) = &node {
        of_node(machine, node, &mut findings);
    }
    let made = environment.as_ref().map(|(environment, ..)| environment);
    of_commands(
        machine,
        manifest,
        source,
        &code,
        made,
        node.as_ref(),
        &mut findings,
    );
    for (name, process) in &manifest.process {
        let place = launch::Place {
            machine,
            code: &code,
            state: &source.state,
            environment: environment
                .as_ref()
                .map(|(environment, _, version)| (environment, *version)),
            dependencies: python.as_ref().and_then(Python::origin),
            planned: environment.as_ref().is_none_or(|(_, built, _)| !built),
        };
        if let (Some(server), Some(python)) = (own_server(process), &python) {
            of_server(name, server, python, place.planned, &mut findings);
        }
        match launch::resolve(manifest, name, process, place) {
            Ok(spec) => findings.push(say(process_line(name, process, spec.as_ref(), source))),
            Err(error) => findings.push(blocking(&error)),
        }
        of_entry(
            name,
            process,
            &code,
            environment.as_ref().map(|(environment, ..)| environment),
            manifest.env.get("PYTHONPATH").map(String::as_str),
            &mut findings,
        );
    }
    of_secrets(machine, manifest, source, &mut findings);
    if let Some(line) = &manifest.release_command {
        findings.push(say(format!(
            "before the switch to a release, `{line}` runs once"
        )));
    }
    for (name, job) in &manifest.job {
        let when = job.schedule.as_deref().unwrap_or("by hand only");
        findings.push(say(format!("job.{name}: `{}`, {when}", job.command)));
    }
    folders(manifest, &code, &mut findings);
    pages(manifest, &code, &mut findings);
    users(manifest, &code, &mut findings);
    findings
}

/// The environment that there is, or the one that would be made: `false` then.
fn environment_of(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    code: &Path,
    python: &Python,
    findings: &mut Vec<Finding>,
) -> (Environment, bool) {
    let interpreter = &python.interpreter;
    let why = match (&python.want.text, &python.want.origin) {
        (Some(text), Some(origin)) => format!("`{origin}` asks for {text}"),
        _ => "the default of this machine".into(),
    };
    findings.push(say(format!(
        "Python {} ({}), {why}",
        interpreter.version,
        interpreter.program.display()
    )));
    if interpreter.missing.iter().any(|name| name == "sqlite3") && python.imports.sqlite3 {
        findings.push(Finding {
            text: format!("this Python was built without sqlite3, which the app imports ({})", interpreter.program.display()),
            blocks: false,
            hint: Some("install libsqlite3-dev and build that Python again, or set another `python` under [build]".into()),
        });
    }
    if interpreter.missing.iter().any(|name| name == "ssl") {
        findings.push(Finding {
            text: format!("this Python was built without ssl: the app cannot open an HTTPS connection ({})", interpreter.program.display()),
            blocks: false,
            hint: Some("install libssl-dev and build that Python again, or set another `python` under [build]".into()),
        });
    }
    let recipe = python.recipe(manifest, code);
    let of = python
        .origin()
        .map_or_else(|| "no dependencies".to_owned(), |file| format!("`{file}`"));
    for note in &python.dependencies.notes {
        findings.push(say(note.clone()));
    }
    match environment::find(&source.state, &recipe) {
        Some(environment) => {
            findings.push(say(format!(
                "the environment for {of} is there: nothing is installed"
            )));
            (environment, true)
        }
        None => {
            let uv = match uv::present(machine, &source.state) {
                Some(uv) => format!("with {}", uv.describe()),
                None => format!(
                    "with uv {}, which is downloaded from {} first",
                    uv::PINNED,
                    python.index.shown()
                ),
            };
            findings.push(say(format!(
                "an environment is built for {of} from {}, {uv}",
                python.index.shown()
            )));
            (environment::planned(&source.state, &recipe), false)
        }
    }
}

fn of_node(machine: &Machine, node: &node::Node, findings: &mut Vec<Finding>) {
    if let Some((text, hint)) = node.complaint(machine) {
        findings.push(Finding {
            text,
            blocks: true,
            hint: Some(hint),
        });
    }
    if let Some(command) = node.command() {
        findings.push(say(match node.is_done(machine) {
            true => "Node's packages are there: nothing is installed".into(),
            false => format!("Node's packages are installed with `{command}`"),
        }));
    }
}

fn of_commands(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    code: &Path,
    environment: Option<&Environment>,
    node: Option<&node::Node>,
    findings: &mut Vec<Finding>,
) {
    if manifest.build.commands.is_empty() {
        return;
    }
    let path: Vec<_> = environment
        .map(Environment::bin)
        .into_iter()
        .chain(node.map(node::Node::bin))
        .collect();
    let env = prepare::variables(machine, manifest, code, environment);
    let setting = commands::Setting {
        machine,
        code,
        state: &source.state,
        path: &path,
        env: &env,
    };
    let done = commands::is_done(&manifest.build.commands, &setting);
    for line in &manifest.build.commands {
        if let Some(error) = commands::missing_program(line, &setting) {
            findings.push(blocking(&error));
            continue;
        }
        findings.push(say(match done {
            true => format!("build command `{line}`: unchanged, not run"),
            false => format!("build command `{line}` runs"),
        }));
    }
}

fn process_line(
    name: &str,
    process: &Process,
    spec: Option<&ProcessSpec>,
    source: &Source,
) -> String {
    let Some(spec) = spec else {
        let folder = match &process.program {
            Program::Static(folder) => folder.as_str(),
            _ => "",
        };
        return format!("process.{name}: the edge serves the files of `{folder}`; nothing runs");
    };
    let (Start::Command(arguments) | Start::Preload(arguments)) = &spec.start;
    let state = format!("{}/", source.state.display());
    let words: Vec<String> = arguments
        .iter()
        .map(
            |word| match word.contains([' ', '"', '\'', '(', '*', '$', ';', '&']) {
                true => format!("'{}'", word.replace('\'', "'\\''")),
                false => word.replace(&state, ".stead/"),
            },
        )
        .collect();
    let count = match spec.count {
        Count::Auto => "2 × CPU + 1 instances (fewer if memory is short)".to_owned(),
        Count::Fixed(1) => "1 instance".to_owned(),
        Count::Fixed(count) => format!("{count} instances"),
    };
    format!("process.{name}: {count} of `{}`", words.join(" "))
}

/// The program of the app's own packages that runs this process.
fn own_server(process: &Process) -> Option<&'static str> {
    match process.server? {
        Server::Gunicorn => Some("gunicorn"),
        Server::Granian => Some("granian"),
        Server::Stead | Server::Uvicorn | Server::Uwsgi => None,
    }
}

/// A server that the dependencies do not name. It may still come with one of them.
fn of_server(
    name: &str,
    server: &str,
    python: &Python,
    planned: bool,
    findings: &mut Vec<Finding>,
) {
    let Some(file) = python.origin().filter(|_| planned) else {
        return;
    };
    if !python.dependencies.mentions(server) {
        findings.push(Finding {
            text: format!("process.{name}: `{server}` is not in `{file}`"),
            blocks: false,
            hint: Some(format!(
                "add `{server}` to `{file}`, or take `server` out of [process.{name}]"
            )),
        });
    }
}

/// A module that is neither in the code nor in the environment.
fn of_entry(
    name: &str,
    process: &Process,
    code: &Path,
    environment: Option<&Environment>,
    python_path: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    let (Program::Wsgi(entry) | Program::Asgi(entry)) = &process.program else {
        return;
    };
    let module = entry.split(':').next().unwrap_or(entry);
    let top = module.split('.').next().unwrap_or(module);
    let extra = python_path.unwrap_or_default().split(':');
    let roots = ["", "src"].into_iter().chain(extra);
    let here = roots
        .map(|root| code.join(root))
        .any(|root| root.join(top).is_dir() || root.join(format!("{top}.py")).is_file());
    let installed = environment.is_some_and(|environment| environment.has_module(top));
    if !here && !installed {
        findings.push(Finding {
            text: format!("process.{name}: the module `{module}` is not in the code"),
            blocks: false,
            hint: Some(format!(
                "name the right one in [process.{name}], or set `root` under [build]"
            )),
        });
    }
}

/// Secrets without a value, which keep a release from starting.
fn of_secrets(
    machine: &Machine,
    manifest: &Manifest,
    source: &Source,
    findings: &mut Vec<Finding>,
) {
    for (name, secret) in &manifest.secret {
        let stored = source.state.join("secrets").join(name).is_file();
        if stored || machine.variable(name).is_some() {
            continue;
        }
        findings.push(match secret.generate {
            true => say(format!("secret.{name}: made once, and kept")),
            false => Finding {
                text: format!("the secret `{name}` has no value"),
                blocks: true,
                hint: Some(format!("export {name}=…")),
            },
        });
    }
}

/// Error pages that routes name and that are not there.
fn pages(manifest: &Manifest, code: &Path, findings: &mut Vec<Finding>) {
    let pages = manifest.route.iter().flat_map(|route| &route.errors);
    for (status, page) in pages {
        // What the build commands make may not be there yet.
        if !code.join(page).is_file() && manifest.build.commands.is_empty() {
            findings.push(say(format!(
                "the page `{page}` for {status} is not there: visitors see Stead's own"
            )));
        }
    }
}

/// Files of users: what in them lets nobody in.
fn users(manifest: &Manifest, code: &Path, findings: &mut Vec<Finding>) {
    let files = manifest.route.iter();
    for file in files.filter_map(|route| route.users_file.as_ref()) {
        let mut asks = |text: String, name: &str| {
            findings.push(Finding {
                text,
                blocks: false,
                hint: Some(format!("htpasswd -B {file} {name}")),
            });
        };
        let text = match std::fs::read_to_string(code.join(file)) {
            Ok(text) => text,
            Err(error) => {
                let text =
                    format!("the users of `{file}` cannot be read, and are not let in: {error}");
                asks(text, "NAME");
                continue;
            }
        };
        for line in stead_model::htpasswd::parse(&text).unusable {
            let who = match &line.name {
                Some(name) => format!("the user `{name}`"),
                None => format!("line {}", line.line),
            };
            let text = format!("{who} of `{file}` {}, and lets nobody in", line.why);
            asks(text, line.name.as_deref().unwrap_or("NAME"));
        }
    }
}

/// Folders that routes name and that are not there.
fn folders(manifest: &Manifest, code: &Path, findings: &mut Vec<Finding>) {
    let of_routes = manifest
        .route
        .iter()
        .flat_map(|route| route.static_folders.values());
    let of_processes = manifest
        .process
        .values()
        .filter_map(|process| match &process.program {
            Program::Static(folder) => Some(folder),
            _ => None,
        });
    for folder in of_routes.chain(of_processes) {
        // What the build commands make may not be there yet.
        if !code.join(folder).is_dir() && manifest.build.commands.is_empty() {
            findings.push(Finding {
                text: format!("the folder `{folder}` is not there: its files are answered 404"),
                blocks: false,
                hint: match code.join("manage.py").is_file() {
                    true => Some("set `commands = [\"python manage.py collectstatic --noinput\"]` under [build]".into()),
                    false => None,
                },
            });
        }
    }
}

fn say(text: String) -> Finding {
    Finding {
        text,
        blocks: false,
        hint: None,
    }
}

fn blocking(error: &Error) -> Finding {
    Finding {
        text: format!("{}: {}", error.act, error.causes.join(": ")),
        blocks: true,
        hint: error.hint.clone(),
    }
}

#[cfg(test)]
mod tests;
