//! Signs that a tree is a server's source. Such a tree is never served as files: whoever asks for
//! them would read the source.

use super::dependencies::Dependencies;
use super::entry::elsewhere;
use super::node;
use super::project::Project;
use super::tree::{file_name, within};

/// Python packages that only a server needs, normalized.
const WEB: &[&str] = &[
    "flask",
    "django",
    "fastapi",
    "starlette",
    "bottle",
    "falcon",
    "pyramid",
    "tornado",
    "sanic",
    "quart",
    "litestar",
    "starlite",
    "cherrypy",
    "web-py",
    "hug",
    "connexion",
    "dash",
    "streamlit",
    "gradio",
    "panel",
    "bokeh",
    "nicegui",
    "chainlit",
    "solara",
    "reflex",
    "mesop",
    "shiny",
    "taipy",
    "robyn",
    "blacksheep",
    "apiflask",
    "flask-restful",
    "flask-restx",
    "djangorestframework",
    "masonite",
    "turbogears2",
    "morepath",
    "eve",
    "emmett",
    "responder",
    "microdot",
    "pywebio",
    "dash-core-components",
    "gunicorn",
    "uwsgi",
    "waitress",
    "uvicorn",
    "hypercorn",
    "granian",
    "daphne",
    "mod-wsgi",
    "flask-socketio",
    "python-socketio",
    "fasthtml",
    "python-fasthtml",
];

/// Node packages that only a server needs.
const NODE: &[&str] = &[
    "express",
    "koa",
    "fastify",
    "@hapi/hapi",
    "hapi",
    "restify",
    "@nestjs/core",
    "next",
    "nuxt",
    "sails",
    "socket.io",
    "polka",
    "hono",
    "apollo-server",
    "@apollo/server",
    "@adonisjs/core",
    "@feathersjs/express",
    "strapi",
    "@strapi/strapi",
    "keystone",
    "loopback",
    "meteor-node-stubs",
    "ws",
];

/// Whether a Python package is one that only a server needs.
pub(crate) fn is_web(package: &str) -> bool {
    WEB.contains(&package)
}

/// Whether a Node package is one that only a server needs.
pub(crate) fn is_node_web(package: &str) -> bool {
    NODE.contains(&package)
}

/// What shows that the tree is a server's source, a clause for each kind of sign: "requirements.txt
/// names `flask`", "web/server.py imports flask".
pub(crate) fn signs(project: &Project<'_>, base: &str, dependencies: &Dependencies) -> Vec<String> {
    let mut signs = Vec::new();
    let web = dependencies.packages.keys().filter(|name| is_web(name));
    let web: Vec<String> = web.take(3).map(|name| format!("`{name}`")).collect();
    if let (Some(file), false) = (&dependencies.file, web.is_empty()) {
        signs.push(format!("{file} names {}", web.join(", ")));
    }
    let importing = project.python_files().into_iter().find_map(|file| {
        let module = project.module(file);
        let mut tops = module.imports.iter().map(|import| top(import));
        let name = tops.find(|name| is_web(&name.to_lowercase().replace('_', "-")))?;
        (!elsewhere(file)).then(|| format!("{file} imports {name}"))
    });
    signs.extend(importing);
    if let Some(package) = node::package(project.tree, base) {
        let mut names = package.runs_with.iter();
        if let Some(name) = names.find(|name| is_node_web(name)) {
            signs.push(format!("{} names `{name}`", package.path));
        }
    }
    let listening = project
        .tree
        .in_dir(base)
        .find(|path| node::is_script(path) && node::serves(project.tree, path));
    signs.extend(listening.map(|path| format!("{path} listens")));
    signs
}

fn top(import: &str) -> &str {
    import.split('.').next().unwrap_or(import)
}

/// Files below `folder` that other servers run, and that served as files would show their source.
pub(crate) fn run_elsewhere(project: &Project<'_>, folder: &str) -> Option<String> {
    let ends = [".php", ".jsp", ".asp", ".aspx", ".cgi", ".pl", ".rb", ".ru"];
    let mut files = project.tree.files();
    let file = files
        .find(|path| within(folder, path).is_some() && ends.iter().any(|end| path.ends_with(end)));
    file.map(str::to_owned)
}

/// Files below `folder` that no visitor should have.
pub(crate) fn private(project: &Project<'_>, folder: &str) -> Vec<String> {
    let ends = [
        ".py", ".sh", ".sql", ".db", ".sqlite", ".sqlite3", ".pem", ".key", ".ini", ".cfg",
        ".toml", ".lock", ".bak", ".ipynb", ".log", ".pkl", ".p12",
    ];
    let files = project.tree.files().filter(|path| {
        let name = file_name(path);
        within(folder, path).is_some()
            && (ends.iter().any(|end| name.ends_with(end))
                || name.starts_with("requirements") && name.ends_with(".txt"))
    });
    files.map(str::to_owned).collect()
}
