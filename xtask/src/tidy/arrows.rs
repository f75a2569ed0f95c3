//! Arrows between crates point down, and siblings never import each other.

use super::Complaint;
use super::code::{only_code, without_tests};
use super::tree::{File, Tree};

/// A crate and the crates of ours that it may use.
const ARROWS: [(&str, &[&str]); 9] = [
    ("lab", &[]),
    ("stead-model", &[]),
    ("stead-edge", &["stead-model"]),
    ("stead-guard", &["stead-model"]),
    ("stead-build", &["stead-model"]),
    (
        "stead-agent",
        &["stead-model", "stead-build", "stead-guard"],
    ),
    ("stead-remote", &["stead-model"]),
    (
        "stead",
        &[
            "stead-model",
            "stead-edge",
            "stead-build",
            "stead-agent",
            "stead-remote",
            // In its tests alone.
            "lab",
        ],
    ),
    ("xtask", &["stead-model"]),
];

/// What would give the model a way to wait, or to touch the machine.
const IMPURE_CRATES: [&str; 7] = [
    "tokio", "mio", "rustix", "socket2", "tempfile", "procfs", "ureq",
];

/// The same in the standard library.
const IMPURE_PATHS: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::thread",
    "std::os",
    "TcpStream",
    "UnixStream",
    "Instant::now",
    "SystemTime",
    "Zoned::now",
];

/// Each crate uses only what is below it.
pub(crate) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in manifests(tree) {
        let Some(manifest) = parse(file, &mut complaints) else {
            continue;
        };
        let Some(name) = name(&manifest) else {
            continue;
        };
        let Some((_, allowed)) = ARROWS.iter().find(|(krate, _)| *krate == name) else {
            let text =
                format!("`{name}` has no place in the house: add it to xtask/src/tidy/arrows.rs");
            complaints.push(Complaint::new(&file.path, 0, text));
            continue;
        };
        for dependency in dependencies(&manifest) {
            let ours = ARROWS.iter().any(|(krate, _)| *krate == dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                let text = format!("`{name}` must not use `{dependency}`: arrows point down only");
                complaints.push(Complaint::new(&file.path, 0, text));
            }
        }
    }
    complaints
}

/// The model has no tokio and no I/O.
pub(crate) fn purity(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in manifests(tree) {
        if !file.path.starts_with("crates/stead-model") {
            continue;
        }
        if let Some(manifest) = parse(file, &mut complaints) {
            // Tests may read their cases from files.
            for dependency in table(&manifest, "dependencies") {
                if IMPURE_CRATES.contains(&dependency.as_str()) {
                    let text = format!("the model is pure: it must not use `{dependency}`");
                    complaints.push(Complaint::new(&file.path, 0, text));
                }
            }
        }
    }
    for file in tree.with_extension("rs") {
        if !file.path.starts_with("crates/stead-model/src") || file.is_test() {
            continue;
        }
        for (at, line) in without_tests(&only_code(&file.text)).lines().enumerate() {
            for path in IMPURE_PATHS.iter().filter(|path| line.contains(**path)) {
                let text = format!("the model is pure: no `{path}`");
                complaints.push(Complaint::new(&file.path, at + 1, text));
            }
        }
    }
    complaints
}

fn manifests(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.with_extension("toml").filter(|file| {
        file.path
            .file_name()
            .is_some_and(|name| name == "Cargo.toml")
            && !file.path.starts_with("fuzz")
            && file.path.components().count() > 1
    })
}

fn parse(file: &File, complaints: &mut Vec<Complaint>) -> Option<toml::Table> {
    match file.text.parse() {
        Ok(table) => Some(table),
        Err(error) => {
            complaints.push(Complaint::new(&file.path, 0, error.to_string()));
            None
        }
    }
}

fn name(manifest: &toml::Table) -> Option<String> {
    let name = manifest.get("package")?.get("name")?.as_str()?;
    Some(name.to_owned())
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .flat_map(|key| table(manifest, key))
        .collect()
}

fn table(manifest: &toml::Table, key: &str) -> Vec<String> {
    let table = manifest.get(key).and_then(toml::Value::as_table);
    table
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}
