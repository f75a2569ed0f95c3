//! `tests/cases/detect/*.txt`: a source tree, a line of dashes, and what detection says of it.
//!
//! A file of the tree begins with `=== path`; `=== path (empty)` has no content. Run with
//! `STEAD_BLESS=1` to write what detection says now into the cases, and read the difference.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use stead_build::{Detection, detect};
use stead_model::manifest::{Count, Manifest, Program, Threads};

const LINE: &str = "----------\n";

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/detect");
    let mut cases: Vec<PathBuf> = fs::read_dir(dir)
        .expect("the cases are there")
        .map(|entry| entry.expect("a case").path())
        .collect();
    cases.sort();
    cases
}

/// Write the files of a case below `root`.
fn plant(root: &Path, tree: &str) {
    for part in tree.split("=== ").skip(1) {
        let (path, content) = part.split_once('\n').unwrap_or((part, ""));
        let path = root.join(path.trim_end_matches(" (empty)"));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
}

/// What a case expects: every value with its origin, then notes, then alternatives.
fn render(result: Result<Detection, stead_build::Error>) -> String {
    let mut out = String::new();
    let found = match result {
        Ok(found) => found,
        Err(error) => {
            for cause in &error.causes {
                let _ = writeln!(out, "error: {cause}");
            }
            if let Some(hint) = error.hint {
                let _ = writeln!(out, "hint: {}", hint.replace('\n', " / "));
            }
            return out;
        }
    };
    let from = |key: &str| {
        let origin = found.origins.iter().find(|origin| origin.key == key);
        origin.map_or(String::new(), |origin| format!("  # {}", origin.from))
    };
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key} = {value}{}", from(key));
    };
    let manifest = &found.manifest;
    let build = &manifest.build;
    for (key, value) in [
        ("build.python", &build.python),
        ("build.root", &build.root),
        ("build.requirements", &build.requirements),
    ] {
        if let Some(value) = value {
            line(key, value.clone());
        }
    }
    if !build.commands.is_empty() {
        line("build.commands", format!("{:?}", build.commands));
    }
    for (name, process) in &manifest.process {
        let (key, value) = match &process.program {
            Program::Wsgi(value) => ("wsgi", value),
            Program::Asgi(value) => ("asgi", value),
            Program::Command(value) => ("command", value),
            Program::Static(value) => ("static", value),
            Program::Uwsgi(value) => ("uwsgi", value),
        };
        line(&format!("process.{name}.{key}"), value.clone());
        if let Some(server) = process.server {
            line(
                &format!("process.{name}.server"),
                format!("{server:?}").to_lowercase(),
            );
        }
        match process.count {
            Count::Fixed(count) if name == "web" => {
                line(&format!("process.{name}.count"), count.to_string());
            }
            _ => {}
        }
        if let Threads::Fixed(threads) = process.threads {
            line(&format!("process.{name}.threads"), threads.to_string());
        }
        if process.timeout.as_secs() != 30 {
            line(
                &format!("process.{name}.timeout"),
                format!("{:?}", process.timeout),
            );
        }
    }
    if let Some(command) = &manifest.release_command {
        line("release.command", command.clone());
    }
    for route in &manifest.route {
        for (prefix, folder) in &route.static_folders {
            line("route.static", format!("{prefix} = {folder}"));
        }
    }
    for (name, value) in &manifest.env {
        line(&format!("env.{name}"), value.clone());
    }
    for note in &found.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for alternative in &found.alternatives {
        let toml = alternative.toml.trim().replace('\n', " | ");
        let _ = writeln!(out, "or: {toml}  # {}", alternative.why);
    }
    out
}

/// What `init` writes is the manifest that was detected, and every alternative is TOML.
fn comes_back(name: &str, found: &Detection) {
    let text = stead_build::init_text(found);
    match Manifest::parse(&text, "stead.toml") {
        Ok(manifest) => assert_eq!(manifest, found.manifest, "{name}:\n{text}"),
        Err(errors) => panic!("{name}: {errors}\n{text}"),
    }
    for alternative in &found.alternatives {
        let parsed = alternative.toml.parse::<toml::Table>();
        assert!(parsed.is_ok(), "{name}: {}", alternative.toml);
    }
}

#[test]
fn every_case_is_detected_as_written_down() {
    let bless = std::env::var_os("STEAD_BLESS").is_some();
    let mut wrong = String::new();
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case");
        let (tree, expected) = text.split_once(LINE).unwrap_or((&text, ""));
        let name = case.file_stem().expect("a name").to_string_lossy();
        let temporary = tempfile::tempdir().expect("a directory");
        let root = temporary.path().join(&*name);
        fs::create_dir(&root).expect("a directory");
        plant(&root, tree);
        let found = detect(&root);
        if let Ok(found) = &found {
            comes_back(&name, found);
        }
        let said = render(found);
        if said == expected {
            continue;
        }
        if bless {
            let tree = tree.trim_end_matches('\n');
            fs::write(&case, format!("{tree}\n{LINE}{said}")).expect("written");
        } else {
            let _ = writeln!(wrong, "\n{name}: expected\n{expected}\nbut got\n{said}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
