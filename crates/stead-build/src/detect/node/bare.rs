//! A Node program without a package.json: a script that listens.

use stead_model::manifest::Program;

use super::is_script;
use crate::detect::draft::Draft;
use crate::detect::tree::{Tree, join};

/// Scripts that usually listen, best first.
const USUAL: &[&str] = &[
    "server.js",
    "app.js",
    "index.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "server.cjs",
    "index.cjs",
    "src/server.js",
    "src/index.js",
];

/// Modules that Node brings and by which a script serves.
const SERVING: &[&str] = &["http", "https", "http2", "net"];

/// Modules that Node brings.
const BUILT_IN: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "crypto",
    "dgram",
    "dns",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "querystring",
    "readline",
    "stream",
    "string_decoder",
    "timers",
    "tls",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "worker_threads",
    "zlib",
];

/// Decide for a script that listens, where no package.json says what is run.
pub(crate) fn bare(tree: &Tree, base: &str, draft: &mut Draft) -> bool {
    let usual = USUAL.iter().map(|name| (*name).to_owned());
    // Else the only one at the top that does.
    let mut others = tree.in_dir(base).filter(|path| is_script(path));
    let script = usual
        .clone()
        .find(|name| serves(tree, &join(base, name)))
        .or_else(|| {
            let path = others.find(|path| serves(tree, path))?;
            super::super::tree::within(base, path).map(str::to_owned)
        });
    let Some(script) = script else {
        return false;
    };
    let path = join(base, &script);
    let text = tree.read(&path).unwrap_or_else(|| "".into());
    if !script
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
    {
        return false;
    }
    if !base.is_empty() {
        draft.origin("build.root", format!("where {path} lies"));
        draft.manifest.build.root = Some(base.to_owned());
    }
    let program = Program::Command(format!("node {script}"));
    draft.run("web", program, format!("{path} listens"));
    let there = tree.names_in(&join(base, "node_modules"));
    let mut foreign: Vec<&str> = required(&text);
    foreign.retain(|module| {
        let own = module.starts_with(['.', '/']) || module.contains(':');
        let top = module.split('/').next().unwrap_or(module);
        !own && !BUILT_IN.contains(&top) && !there.iter().any(|name| name == top)
    });
    foreign.dedup();
    if !foreign.is_empty() {
        let names: Vec<String> = foreign.iter().map(|name| format!("`{name}`")).collect();
        draft.missing(
            format!(
                "{path} needs {}, and there is no package.json that names it",
                names.join(", ")
            ),
            format!("npm init -y && npm install {}", foreign.join(" ")),
        );
    }
    if !text.contains("PORT") {
        super::no_port(draft);
    }
    true
}

/// Whether a script makes a server and lets it listen.
pub(crate) fn serves(tree: &Tree, path: &str) -> bool {
    let Some(text) = tree.read(path) else {
        return false;
    };
    let listens = text.contains(".listen(") || text.contains("Bun.serve(");
    let serving = |module: &&str| {
        let module = module.trim_start_matches("node:");
        SERVING.contains(&module) || crate::detect::server_source::is_node_web(module)
    };
    listens && (text.contains("Bun.serve(") || required(&text).iter().any(serving))
}

/// Modules that a script requires or imports.
fn required(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for start in ["require(", "from ", "import "] {
        for part in text.split(start).skip(1).take(500) {
            let Some(quote) = part.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
                continue;
            };
            let Some(module) = part[1..].split(quote).next() else {
                continue;
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || "@/-_.:".contains(c);
            if !module.is_empty() && module.len() < 100 && module.chars().all(plain) {
                found.push(module);
            }
        }
    }
    found
}
