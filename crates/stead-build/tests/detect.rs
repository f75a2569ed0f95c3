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
        // A path that was cut short is none.
        let Some((path, content)) = part.split_once('\n') else {
            continue;
        };
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
    for (name, secret) in &manifest.secret {
        let how = if secret.generate {
            "made once"
        } else {
            "given"
        };
        line(&format!("secret.{name}"), how.to_owned());
    }
    for finding in &found.findings {
        let mark = if finding.blocks { "missing" } else { "warning" };
        let hint = finding.hint.as_deref().unwrap_or_default();
        let _ = writeln!(out, "{mark}: {}  # {hint}", finding.text);
    }
    for variable in &found.variables {
        let mark = if variable.at_start {
            "missing"
        } else {
            "warning"
        };
        let _ = writeln!(out, "{mark}: {}", variable.sentence());
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

/// Detection of a tree that may be anything: it may fail, it must come back.
fn survives(plant: impl FnOnce(&Path)) -> String {
    let temporary = tempfile::tempdir().expect("a directory");
    let root = temporary.path().join("app");
    fs::create_dir(&root).expect("a directory");
    plant(&root);
    let found = detect(&root);
    if let Ok(found) = &found {
        comes_back("hostile", found);
    }
    render(found)
}

#[test]
fn a_case_cut_anywhere_is_survived() {
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case");
        let tree = text.split(LINE).next().unwrap_or_default();
        let step = (tree.len() / 12).max(1);
        for end in (0..tree.len()).step_by(step) {
            if let Some(cut) = tree.get(..end) {
                survives(|root| plant(root, cut));
            }
        }
    }
}

#[test]
fn sources_nested_without_end_are_survived() {
    let deep = 100_000;
    for source in [
        "(".repeat(deep),
        format!("app = {}1", "-".repeat(deep)),
        format!("app = {}x", "not ".repeat(deep)),
        format!("app = x{}", ".a".repeat(deep)),
        format!("app = x{}", "()".repeat(deep)),
        format!("app = x{}", "+x".repeat(deep)),
        format!("app = {}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("app = {}0", "lambda: ".repeat(deep)),
        format!("if x:\n pass\n{}", "elif x:\n pass\n".repeat(10_000)),
        (0..1_000)
            .map(|n| format!("{}if x:\n", " ".repeat(n)))
            .collect(),
        (0..1_000)
            .map(|n| format!("{}def f():\n", " ".repeat(n)))
            .collect(),
        format!("app = f'{}'", "{x".repeat(20_000)),
        "from .app import app\n".repeat(1_000),
        "app = app\n".repeat(1_000),
    ] {
        survives(|root| fs::write(root.join("app.py"), source).expect("written"));
    }
}

#[test]
fn imports_in_a_circle_end() {
    let said = survives(|root| {
        fs::write(root.join("wsgi.py"), "from app import app\n").expect("written");
        fs::write(
            root.join("app.py"),
            "from wsgi import app\nfrom wsgi import *\n",
        )
        .expect("written");
    });
    assert!(said.starts_with("error:"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_pipes_and_endless_files_are_left_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let outside = tempfile::tempdir().expect("a directory");
    let secret = outside.path().join("wsgi.py");
    fs::write(&secret, "from flask import Flask\napp = Flask('outside')\n").expect("written");
    let said = survives(|root| {
        symlink(&secret, root.join("wsgi.py")).expect("a link");
        symlink(outside.path(), root.join("outside")).expect("a link");
        symlink(root, root.join("circle")).expect("a link");
        symlink(root.join("nowhere"), root.join("requirements.txt")).expect("a link");
        symlink("/dev/zero", root.join("main.py")).expect("a link");
        symlink(&secret, root.join(".env")).expect("a link");
        symlink(&secret, root.join("runtime.txt")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("Procfile"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        let huge = fs::File::create(root.join("server.py")).expect("a file");
        huge.set_len(1 << 40).expect("a sparse file");
        let closed = root.join("serve.py");
        fs::write(&closed, "x").expect("written");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("closed");
        fs::write(root.join("app.py"), b"\xff\xfe\x00\x00\x80abc = \xc3\x28").expect("written");
        fs::write(
            root.join("application.py"),
            b"# caf\xe9\nfrom flask import Flask\napplication = Flask(__name__)\n",
        )
        .expect("written");
    });
    assert!(
        said.starts_with("process.web.wsgi = application:application"),
        "{said}"
    );
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let error = detect(Path::new("/nowhere/at/all")).expect_err("an error");
    assert!(error.act.contains("/nowhere/at/all"), "{}", error.act);
}

const FILES: &[&str] = &[
    "app.py",
    "wsgi.py",
    "pkg/__init__.py",
    "settings.py",
    "manage.py",
    "setup.py",
    "setup.cfg",
    "Procfile",
    "uwsgi.ini",
    "gunicorn.conf.py",
    "package.json",
    "pyproject.toml",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "requirements.txt",
    "environment.yml",
    "runtime.txt",
    ".python-version",
    ".env",
    ".flaskenv",
    "Dockerfile",
    "docker-compose.yml",
    "x.service",
    "run.sh",
];

/// Pieces that lead deep into the readers, in any order.
const PIECES: &[&str] = &[
    "from flask import Flask\n",
    "app",
    " = ",
    "Flask(",
    "__name__",
    ")",
    "\n",
    "import os\n",
    "os.environ[\"SECRET_KEY\"]",
    "def create_app(",
    "):\n    return ",
    "    ",
    "web: ",
    "gunicorn ",
    "-w ",
    "3",
    "--timeout",
    "=",
    "app:app",
    "[uwsgi]\n",
    "module",
    "chdir = %d/x\n",
    "%(base)",
    "base = %(base)%(base)\n",
    "{\"scripts\": {\"start\": \"",
    "node x\"",
    "}}",
    "[project]\nrequires-python = \"",
    ">=3.8,<3.",
    "99999999999",
    "\"\n",
    "python-3.",
    "python=",
    "- ",
    "CMD [\"",
    "\"]",
    "ExecStart=",
    "-r ",
    "requirements.txt",
    "../",
    "/",
    "é",
    "\0",
    "\r\n",
    "STATIC_ROOT = BASE_DIR / ",
    "BASE_DIR = Path(__file__).parent",
    ".parent",
    "\"static\"",
    "sqlite:///",
    "\\",
    "'",
    "if __name__ == \"__main__\":\n",
    "class A(",
    "async ",
    "await ",
    "UPLOAD_FOLDER = ",
    "\t",
    "#",
    ";",
    "&&",
    "$PORT",
    "[[package]]\nname = \"",
    "default",
    "\u{feff}",
    "lambda",
    ":",
    "*",
    "from . import *\n",
    "global app\n",
    "env = A=",
    "static-map = /s=",
    "python_requires = ",
    "install_requires =\n",
    "DEBUG = True\n",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(150))]

    #[test]
    fn files_of_any_content_are_survived(
        files in proptest::collection::vec(
            (0..FILES.len(), proptest::collection::vec(0..PIECES.len(), 0..40)),
            1..6,
        ),
    ) {
        survives(|root| {
            fs::create_dir(root.join("pkg")).expect("a directory");
            for (file, pieces) in &files {
                let text: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
                fs::write(root.join(FILES[*file]), text).expect("written");
            }
        });
    }
}
