//! Node programs, front ends that are built by Node, and folders of static files.

use stead_model::manifest::Program;

use super::draft::Draft;
use super::entry::elsewhere;
use super::project::Project;
use super::server_source;
use super::tree::{Tree, file_name, join, parent};

mod bare;

pub(crate) use bare::serves;

/// What a `package.json` says.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) path: String,
    pub(crate) start: Option<String>,
    pub(crate) build: Option<String>,
    main: Option<String>,
    node: Option<String>,
    dependencies: Vec<String>,
    /// Those that are not for development alone.
    pub(crate) runs_with: Vec<String>,
}

/// Read the `package.json` in `base`.
pub(crate) fn package(tree: &Tree, base: &str) -> Option<Package> {
    let path = join(base, "package.json");
    let json: serde_json::Value = serde_json::from_str(&tree.read(&path)?).ok()?;
    let text = |value: Option<&serde_json::Value>| {
        value
            .and_then(serde_json::Value::as_str)
            .filter(|text| !text.trim().is_empty() && !text.contains('\0'))
            .map(str::to_owned)
    };
    let script = |name: &str| text(json.get("scripts").and_then(|scripts| scripts.get(name)));
    let names = |key: &str| {
        let table = json.get(key).and_then(serde_json::Value::as_object);
        let names = table.into_iter().flatten().map(|(name, _)| name.clone());
        names.collect::<Vec<String>>()
    };
    let runs_with = names("dependencies");
    let mut dependencies = runs_with.clone();
    dependencies.extend(names("devDependencies"));
    Some(Package {
        path,
        start: script("start"),
        build: script("build"),
        main: text(json.get("main")),
        node: text(json.get("engines").and_then(|engines| engines.get("node"))),
        dependencies,
        runs_with,
    })
}

/// The line that installs what the package needs.
fn install(tree: &Tree, base: &str, draft: &mut Draft) -> String {
    for (lock, line) in [
        ("yarn.lock", "yarn install --frozen-lockfile"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
        ("bun.lock", "bun install --frozen-lockfile"),
        ("bun.lockb", "bun install --frozen-lockfile"),
    ] {
        if tree.has(&join(base, lock)) && !tree.has(&join(base, "package-lock.json")) {
            let tool = line.split(' ').next().unwrap_or_default();
            draft.note(format!(
                "{} means that `{tool}` must be installed on the host.",
                join(base, lock)
            ));
            return line.to_owned();
        }
    }
    let locked = ["package-lock.json", "npm-shrinkwrap.json"]
        .iter()
        .any(|name| tree.has(&join(base, name)));
    if locked { "npm ci" } else { "npm install" }.to_owned()
}

fn runner(line: &str) -> &str {
    match line.split(' ').next() {
        Some("yarn") => "yarn",
        Some("pnpm") => "pnpm",
        Some("bun") => "bun",
        _ => "npm",
    }
}

/// Development servers are not started for visitors.
const DEVELOPMENT: &[&str] = &[
    "react-scripts start",
    "vite",
    "vue-cli-service serve",
    "ng serve",
    "webpack-dev-server",
    "webpack serve",
    "parcel",
    "next dev",
    "gatsby develop",
    "svelte-kit dev",
    "snowpack dev",
    "live-server",
    "browser-sync",
];

/// Decide for a Node program, or a site that Node builds, in `base`.
pub(crate) fn node(tree: &Tree, base: &str, draft: &mut Draft) -> bool {
    let Some(package) = package(tree, base) else {
        return bare::bare(tree, base, draft);
    };
    let development = package.start.as_deref().is_some_and(|start| {
        DEVELOPMENT
            .iter()
            .any(|line| start.trim_start_matches("npx ").starts_with(line))
    });
    let main = package
        .main
        .clone()
        .map(|main| main.trim_start_matches("./").to_owned());
    let script = main
        .filter(|main| tree.has(&join(base, main)) && listens(tree, &join(base, main)))
        .or_else(|| {
            [
                "server.js",
                "app.js",
                "index.js",
                "main.js",
                "server/index.js",
                "src/server.js",
                "src/index.js",
                "server.mjs",
                "bin/www",
            ]
            .iter()
            .find(|name| {
                let path = join(base, name);
                tree.has(&path) && (listens(tree, &path) || name.starts_with("server"))
            })
            .map(|name| (*name).to_owned())
        });
    let command = match (&package.start, development, script) {
        (Some(_), false, _) => Some((
            "npm start".to_owned(),
            format!("{}: scripts.start", package.path),
        )),
        (_, _, Some(script)) => Some((
            format!("node {script}"),
            format!("{} listens", join(base, &script)),
        )),
        _ => None,
    };
    let folder = site_folder(tree, base, &package);
    if command.is_none() && folder.is_none() {
        return false;
    }
    if !base.is_empty() {
        draft.origin("build.root", format!("where {} lies", package.path));
        draft.manifest.build.root = Some(base.to_owned());
    }
    let line = install(tree, base, draft);
    let tool = runner(&line).to_owned();
    let mut commands = Vec::new();
    if !package.dependencies.is_empty() || package.build.is_some() {
        commands.push(line);
    }
    if package.build.is_some() {
        commands.push(format!("{tool} run build"));
    }
    if !commands.is_empty() {
        draft.origin("build.commands", package.path.clone());
        draft.manifest.build.commands = commands;
    }
    if let Some(node) = &package.node {
        draft.note(format!(
            "{} asks for Node {node}: the `node` of the host is used.",
            package.path
        ));
    }
    match (command, folder) {
        (Some((command, from)), _) => {
            let command = match command.strip_prefix("npm ") {
                Some(rest) => format!("{tool} {rest}"),
                None => command,
            };
            draft.run("web", Program::Command(command), from);
            port_note(tree, base, &package, draft);
        }
        (None, Some((folder, from))) => draft.run("web", Program::Static(folder), from),
        (None, None) => {}
    }
    true
}

/// Whether a file is JavaScript that Node could run.
pub(crate) fn is_script(path: &str) -> bool {
    [".js", ".mjs", ".cjs"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn listens(tree: &Tree, path: &str) -> bool {
    tree.read(path).is_some_and(|text| {
        text.contains(".listen(") || text.contains("createServer") || text.contains("Bun.serve")
    })
}

/// A program that never reads `PORT` cannot be told where to listen.
fn port_note(tree: &Tree, base: &str, package: &Package, draft: &mut Draft) {
    let frameworks = [
        "next",
        "nuxt",
        "@remix-run/serve",
        "@sveltejs/kit",
        "strapi",
        "@nestjs/core",
        "astro",
    ];
    if package
        .dependencies
        .iter()
        .any(|name| frameworks.contains(&name.as_str()))
    {
        return;
    }
    let reads = tree
        .files()
        .filter(|path| {
            [".js", ".mjs", ".cjs", ".ts", "bin/www", "package.json"]
                .iter()
                .any(|end| path.ends_with(end))
                && super::tree::within(base, path).is_some()
        })
        .take(500)
        .any(|path| tree.read(path).is_some_and(|text| text.contains("PORT")));
    if !reads {
        no_port(draft);
    }
}

fn no_port(draft: &mut Draft) {
    draft.warning(
        "nothing in the source reads the variable PORT: where the program listens has to be found out, and only one instance can run",
        "let it listen on process.env.PORT",
    );
}

/// The folder that a front end is built into.
fn site_folder(tree: &Tree, base: &str, package: &Package) -> Option<(String, String)> {
    package.build.as_ref()?;
    let has = |name: &str| package.dependencies.iter().any(|own| own == name);
    let from = |tool: &str| format!("{}: scripts.build with {tool}", package.path);
    if has("react-scripts") {
        return Some(("build".into(), from("react-scripts")));
    }
    if has("gatsby") {
        return Some(("public".into(), from("gatsby")));
    }
    for tool in [
        "vite",
        "@vue/cli-service",
        "parcel",
        "parcel-bundler",
        "webpack",
        "astro",
        "rollup",
        "@angular/cli",
        "@11ty/eleventy",
    ] {
        if has(tool) && !(tool == "rollup" && tree.has_dir(&join(base, "public"))) {
            let folder = if tool == "@11ty/eleventy" {
                "_site"
            } else {
                "dist"
            };
            return Some((folder.into(), from(tool)));
        }
    }
    None
}

/// Folders that sites lie in, best first.
const SITES: &[&str] = &[
    "public", "dist", "build", "_site", "site", "htdocs", "www", "html", "docs", "src", "",
];

/// The `index.html` of a site.
pub(crate) fn index(tree: &Tree) -> Option<String> {
    let mut files = SITES.iter().map(|folder| join(folder, "index.html"));
    files.find(|index| tree.has(index))
}

/// A folder with an `index.html`, if no other server's source lies in it.
pub(crate) fn site(project: &Project<'_>, draft: &mut Draft) -> bool {
    let Some(index) = index(project.tree) else {
        return false;
    };
    let folder = parent(&index).to_owned();
    if server_source::run_elsewhere(project, &folder).is_some() {
        return false;
    }
    let shown = if folder.is_empty() { "." } else { &folder };
    draft.run("web", Program::Static(shown.to_owned()), index.clone());
    let private = server_source::private(project, &folder);
    if let Some((first, others)) = private.split_first() {
        let more = match others.len() {
            0 => String::new(),
            1 => " and 1 more file".to_owned(),
            count => format!(" and {count} more files"),
        };
        draft.warning(
            format!("visitors may read all that lies beside {index}, so also `{first}`{more}"),
            "move what visitors may see into a folder of its own, such as `public`",
        );
    } else if folder.is_empty() {
        draft.note("The whole directory is served, because index.html lies at its top: move what visitors may see into a folder of its own if there is anything else.");
    }
    true
}

/// A front end beside a Python app: how it is built, as an alternative.
pub(crate) fn beside_python(tree: &Tree, base: &str, draft: &mut Draft) {
    let packages: Vec<&str> = tree
        .files()
        .filter(|path| {
            file_name(path) == "package.json" && path.matches('/').count() <= 2 && !elsewhere(path)
        })
        .collect();
    for path in packages {
        let dir = parent(path);
        let Some(package) = package(tree, dir) else {
            continue;
        };
        if package.build.is_none() {
            continue;
        }
        let Some(inside) = super::tree::within(base, dir) else {
            draft.note(format!(
                "{path} builds a front end outside of `{base}`: it is not part of this app, and may be one of its own."
            ));
            continue;
        };
        let install = install(tree, dir, draft);
        let tool = runner(&install).to_owned();
        let cd = if inside.is_empty() {
            String::new()
        } else {
            format!("cd {inside} && ")
        };
        let folder = site_folder(tree, dir, &package).map(|(folder, _)| join(inside, &folder));
        let line = format!("{cd}{install} && {tool} run build");
        let mut commands = draft.manifest.build.commands.clone();
        commands.insert(0, line);
        let commands: Vec<String> = commands
            .iter()
            .map(|line| super::draft::quoted(line))
            .collect();
        let mut toml = format!("[build]\ncommands = [{}]\n", commands.join(", "));
        if let Some(folder) = folder {
            toml.push_str(&format!(
                "[process.site]\nstatic = {}\n",
                super::draft::quoted(&folder)
            ));
        }
        draft.alternative(format!("{path} builds a front end"), toml);
    }
}
