use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stead_model::manifest::{Manifest, Volume};

use super::Shared;
use super::rules::Rules;

fn set(names: &[&str]) -> BTreeSet<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

#[test]
fn source_counts_and_what_an_app_writes_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut rules = Rules::new(dir.path(), &dir.path().join(".stead"));
    let mut manifest = Manifest::default();
    let volume = Volume {
        path: "uploads".into(),
    };
    manifest.volume.insert("uploads".into(), volume);
    rules.learn(&manifest);
    for path in [
        "app.py",
        "stead.toml",
        "templates/x.html",
        "Procfile",
        ".env",
        "a/b/c.py",
    ] {
        assert!(rules.counts(Path::new(path)), "{path}");
    }
    for path in [
        "app.pyc",
        "__pycache__/app.cpython-311.pyc",
        "app.db",
        "app.db-wal",
        "app.db-journal",
        "x.log",
        ".git/config",
        ".stead/release",
        "uploads/x.json",
        "node_modules/a/index.js",
        ".app.py.swp",
        "app.py~",
        ".#app.py",
        "4913",
        "venv/lib/x.py",
        "instance/config.json",
        "photo.png",
    ] {
        assert!(!rules.counts(Path::new(path)), "{path}");
    }
}

#[test]
fn a_virtual_environment_of_any_name_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("py")).unwrap();
    std::fs::write(dir.path().join("py/pyvenv.cfg"), "").unwrap();
    let mut rules = Rules::new(dir.path(), &dir.path().join(".stead"));
    assert!(!rules.counts(Path::new("py/lib.py")));
}

#[test]
fn an_app_that_writes_into_its_source_while_it_starts_is_not_loaded_for_ever() {
    let mut shared = Shared::default();
    let mut loads = 0;
    for _ in 0..10 {
        let (files, _) = shared.judge(set(&["data.json"]), Instant::now());
        loads += usize::from(!files.is_empty());
    }
    assert_eq!(loads, 2);
    // Other files still count.
    assert_eq!(
        shared.judge(set(&["app.py"]), Instant::now()).0,
        [PathBuf::from("app.py")]
    );
}

#[test]
fn a_file_that_is_saved_between_loads_keeps_counting() {
    let mut shared = Shared::default();
    for _ in 0..10 {
        assert_eq!(shared.judge(set(&["app.py"]), Instant::now()).0.len(), 1);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60));
        shared.loading.as_mut().unwrap().ended = long_ago;
    }
}

#[test]
fn mending_an_app_that_does_not_start_is_no_loop() {
    let mut shared = Shared::default();
    for _ in 0..20 {
        assert_eq!(shared.judge(set(&["app.py"]), Instant::now()).0.len(), 1);
        shared.loading.as_mut().unwrap().failed = true;
    }
}
