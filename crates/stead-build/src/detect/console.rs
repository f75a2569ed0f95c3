//! Console scripts: programs that the project itself or the packages that it needs bring along.

use super::dependencies::Dependencies;
use super::draft::quoted;
use super::entry::elsewhere;
use super::project::{Project, is_identifier};
use super::server_source;
use super::syntax::{Call, Module, Value};
use super::tree::{file_name, join};

mod table;

pub(crate) use table::of_package;

/// Files of a program that are looked into for its options.
const MOST_FILES: usize = 120;

/// A console script of the project itself.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    /// The file whose function it calls, if that is in the tree.
    pub(crate) file: Option<String>,
    pub(crate) module: String,
    pub(crate) function: String,
    /// ``setup.py: script `shop` ``.
    pub(crate) from: String,
}

/// A program that could be what is meant, for a person to choose from.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    /// What brings it: `devpi-server`.
    by: String,
    /// The line to write, if it is known how the program is told where to listen.
    line: Option<String>,
    /// The same as TOML, with what belongs to it.
    pub(crate) toml: Option<String>,
}

impl Program {
    /// What a person is told of it.
    pub(crate) fn sentence(&self) -> String {
        let Self { name, by, .. } = self;
        match &self.line {
            Some(line) => format!("{by} brings the program `{name}`: `command = \"{line}\"`"),
            None => format!(
                "{by} brings the program `{name}`; `{name} --help` says how it is told where to listen"
            ),
        }
    }
}

/// `[project.scripts]`, poetry's, and those of setup.cfg and setup.py.
pub(crate) fn of_project(project: &Project<'_>, base: &str) -> Vec<Script> {
    let path = join(base, "pyproject.toml");
    let text = project.tree.read(&path).unwrap_or_else(|| "".into());
    let table: toml::Table = text.parse().unwrap_or_default();
    let standard = table.get("project").and_then(|p| p.get("scripts"));
    let tool = table.get("tool").and_then(|tool| tool.get("poetry"));
    let poetry = tool.and_then(|poetry| poetry.get("scripts"));
    let tables = [standard, poetry].into_iter().flatten();
    let mut named: Vec<(String, String, String)> = Vec::new();
    for (name, target) in tables.filter_map(toml::Value::as_table).flatten() {
        if let Some(target) = target.as_str() {
            named.push((path.clone(), name.clone(), target.to_owned()));
        }
    }
    let mut lines = |path: &str, text: &str| {
        for line in text.lines() {
            if let Some((name, target)) = line.split_once('=') {
                let (name, target) = (name.trim(), target.trim());
                named.push((path.to_owned(), name.to_owned(), target.to_owned()));
            }
        }
    };
    let path = join(base, "setup.cfg");
    let text = project.tree.read(&path).unwrap_or_else(|| "".into());
    let inside = text.split("console_scripts").nth(1).unwrap_or_default();
    let inside: Vec<&str> = inside
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with([' ', '\t']))
        .collect();
    lines(&path, &inside.join("\n"));
    let anchor = join(base, "setup.py");
    if project.tree.has(&anchor) {
        for (text, _) in &project.module(&anchor).strings {
            lines(&anchor, text);
        }
    }
    let script = |(path, name, target): (String, String, String)| {
        let (module, function) = target.split_once(':')?;
        // `shop.cli:main [extra]`.
        let function = function.split(['[', ' ']).next().unwrap_or_default();
        let good = |text: &str| text.split('.').all(is_identifier);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let sound = good(module) && good(function) && name.chars().all(plain) && !name.is_empty();
        sound.then(|| Script {
            from: format!("{path}: script `{name}`"),
            file: project.find(&anchor, module),
            name,
            module: module.to_owned(),
            function: function.to_owned(),
        })
    };
    named.into_iter().filter_map(script).collect()
}

/// The name that the project gives itself, normalized.
pub(crate) fn project_name(project: &Project<'_>, base: &str) -> Option<String> {
    let text = project.tree.read(&join(base, "pyproject.toml"));
    let table: toml::Table = text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let poetry = || table.get("tool")?.get("poetry")?.get("name");
    let standard = table.get("project").and_then(|project| project.get("name"));
    let of_toml = standard.or_else(poetry).and_then(toml::Value::as_str);
    let of_cfg = || {
        let text = project.tree.read(&join(base, "setup.cfg"))?;
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "name").then(|| value.trim().to_owned())
        })
    };
    let of_setup = || {
        let path = join(base, "setup.py");
        if !project.tree.has(&path) {
            return None;
        }
        let module = project.module(&path);
        let mut calls = module.calls.iter();
        let setup = calls.find(|call| call.function.ends_with("setup"))?;
        Some(setup.keyword("name")?.text()?.to_owned())
    };
    let name = of_toml
        .map(str::to_owned)
        .or_else(of_cfg)
        .or_else(of_setup)?;
    Some(crate::requirements::normalized(&name))
}

/// Programs that could be what is meant: those of well-known packages first, then the project's own,
/// then what an environment beside the code shows of the packages that the app names.
pub(crate) fn programs(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
) -> Vec<Program> {
    let mut programs = Vec::new();
    let own = project_name(project, base);
    let named = own.iter().chain(dependencies.packages.keys());
    for known in named.filter_map(|package| of_package(package)) {
        let words = known.line.split(' ');
        let name = words.into_iter().find(|word| !word.contains('='));
        programs.push(Program {
            name: name.unwrap_or(known.package).to_owned(),
            by: known.package.to_owned(),
            line: Some(known.line.to_owned()),
            toml: Some(known.toml()),
        });
    }
    let scripts = of_project(project, base);
    for script in likely_first(&scripts, own.as_deref()) {
        let flag = port_option(project, script);
        let line = flag.map(|flag| format!("{} {flag}", script.name));
        programs.push(Program {
            toml: line
                .as_deref()
                .map(|line| format!("command = {}", quoted(line))),
            line,
            name: script.name.clone(),
            by: "the project".to_owned(),
        });
    }
    for (package, name) in installed(project, base, dependencies) {
        if programs.iter().all(|program| program.by != package) {
            programs.push(Program {
                name,
                by: package,
                line: None,
                toml: None,
            });
        }
    }
    programs
}

/// Scripts that look like a server before tools around one.
pub(crate) fn likely_first<'s>(scripts: &'s [Script], own: Option<&str>) -> Vec<&'s Script> {
    let rank = |script: &&Script| {
        let name = crate::requirements::normalized(&script.name);
        let serving = ["server", "serve", "web", "run", "start", "daemon"];
        let words: Vec<&str> = name.split('-').collect();
        let tool = [
            "init", "admin", "ctl", "client", "export", "import", "config", "gen", "passwd",
            "test", "migrate", "worker", "fsck", "dev",
        ];
        if words.iter().any(|word| tool.contains(word)) {
            return 3;
        }
        if words.iter().any(|word| serving.contains(word)) {
            return 0;
        }
        usize::from(own != Some(&name)) + 1
    };
    let mut sorted: Vec<&Script> = scripts.iter().collect();
    sorted.sort_by_key(rank);
    sorted
}

/// Console scripts of the packages that the app names, from an environment beside the code.
fn installed(
    project: &Project<'_>,
    base: &str,
    dependencies: &Dependencies,
) -> Vec<(String, String)> {
    let tree = project.tree;
    let mut roots: Vec<String> = [".venv", "venv", "env"]
        .iter()
        .map(|name| join(base, name))
        .collect();
    let envs = tree.names_in(".stead/envs");
    roots.extend(envs.iter().map(|name| format!(".stead/envs/{name}")));
    let mut found = Vec::new();
    for root in roots {
        let lib = join(&root, "lib");
        for python in tree.names_in(&lib) {
            let site = format!("{lib}/{python}/site-packages");
            for metadata in tree.names_in(&site) {
                let Some((name, _)) = metadata
                    .strip_suffix(".dist-info")
                    .and_then(|name| name.rsplit_once('-'))
                else {
                    continue;
                };
                let package = crate::requirements::normalized(name);
                if !dependencies.has(&package) {
                    continue;
                }
                let text = tree.hidden(&format!("{site}/{metadata}/entry_points.txt"));
                let text = text.unwrap_or_else(|| "".into());
                for script in console_scripts(&text) {
                    found.push((package.clone(), script.to_owned()));
                }
            }
        }
    }
    // `pkg-config`, `flask`, `gunicorn`: tools of servers are no apps.
    found.retain(|(package, _)| !server_source::is_web(package));
    found.sort();
    found.dedup();
    found
}

/// Names below `[console_scripts]` of an `entry_points.txt`.
fn console_scripts(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[console_scripts]";
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            names.push(name.trim());
        }
    }
    names
}

/// The files that a script is made of: what its file imports within its package, and so on.
pub(crate) fn files(project: &Project<'_>, script: &Script) -> Vec<String> {
    let Some(start) = &script.file else {
        return Vec::new();
    };
    let top = script.module.split('.').next().unwrap_or_default();
    let mut seen: Vec<String> = vec![start.clone()];
    let mut at = 0;
    while at < seen.len() && seen.len() < MOST_FILES {
        let file = seen[at].clone();
        at += 1;
        for import in &project.module(&file).imports {
            let near = project.find(&file, import).filter(|near| {
                near.split('/')
                    .any(|part| part.trim_end_matches(".py") == top)
                    && !elsewhere(near)
            });
            if let Some(near) = near
                && !seen.contains(&near)
            {
                seen.push(near);
            }
        }
    }
    seen
}

/// What tells a script where to listen: `--port $PORT`, after a subcommand if it has some.
pub(crate) fn port_option(project: &Project<'_>, script: &Script) -> Option<String> {
    files(project, script).iter().find_map(|file| {
        let module = project.module(file);
        let call = module.calls.iter().find(|call| {
            let last = call.function.rsplit('.').next();
            matches!(
                last,
                Some("add_argument" | "add_option" | "addoption" | "option")
            ) && call.args.iter().any(|flag| flag.text() == Some("--port"))
        })?;
        Some(match subcommand(&module, call) {
            Some(name) => format!("{name} --port $PORT"),
            None => "--port $PORT".to_owned(),
        })
    })
}

/// The subcommand that declares an option: `@cli.command("serve")`, `sub.add_parser("serve")`.
fn subcommand(module: &Module, option: &Call) -> Option<String> {
    let plain = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        !name.is_empty() && name.chars().all(fits)
    };
    if let Some((parser, _)) = option.function.rsplit_once('.')
        && option.inside.is_some()
    {
        let mut functions = module.functions.iter();
        let around = functions.find(|function| Some(&function.name) == option.inside.as_ref())?;
        let mut bindings = around.bindings.iter();
        let bound = bindings.find(|binding| binding.name == parser)?;
        let Value::Call(call) = &bound.value else {
            return None;
        };
        let name = call.args.first()?.text()?;
        return (call.function.ends_with(".add_parser") && plain(name)).then(|| name.to_owned());
    }
    // A decorator stands above its function.
    let mut functions: Vec<_> = module.functions.iter().collect();
    functions.sort_by_key(|function| function.line);
    let at = functions
        .iter()
        .position(|function| function.line >= option.line)?;
    let (function, before) = (
        functions[at],
        at.checked_sub(1).map(|at| functions[at].line),
    );
    let decorator = function.decorators.iter().find(|decorator| {
        let group = decorator.trim_end_matches("()").strip_suffix(".command");
        group.is_some_and(|group| group != "click")
    })?;
    let named = module.calls.iter().find(|call| {
        call.function == decorator.trim_end_matches("()")
            && call.line <= function.line
            && before.is_none_or(|before| call.line > before)
    });
    let given = named.and_then(|call| call.argument("name", 0)?.text());
    let own = function.name.replace('_', "-");
    let name = given.map_or(own, str::to_owned);
    plain(&name).then_some(name)
}

/// Whether the project itself is installed into its environment, so that its scripts are there.
pub(crate) fn is_installed(project: &Project<'_>, base: &str, dependencies: &Dependencies) -> bool {
    let tree = project.tree;
    let built = tree
        .read(&join(base, "pyproject.toml"))
        .and_then(|text| text.parse::<toml::Table>().ok())
        .is_some_and(|table| {
            let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
            table.contains_key("build-system")
                && (table.contains_key("project") || poetry.is_some())
        });
    let text = dependencies.files.iter().find(|file| {
        let name = file_name(file);
        name.ends_with(".txt") || name.ends_with(".in") || name.ends_with(".yml")
    });
    let Some(text) = text else {
        return built || tree.has(&join(base, "setup.py"));
    };
    // Beside a list of packages a setup.py counts only when the list names the project.
    let content = tree.read(text).unwrap_or_else(|| "".into());
    built
        || content.lines().any(|line| {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let target = ["-e", "--editable"]
                .iter()
                .find_map(|flag| line.strip_prefix(flag));
            let target = target.unwrap_or(line).trim_start_matches(['=', ' ']);
            let target = target.split('[').next().unwrap_or_default();
            matches!(target.trim_end_matches('/'), "." | "file:.") && !line.is_empty()
        })
}
