use super::*;

fn python(path: &str, version: Version) -> Interpreter {
    Interpreter {
        program: path.into(),
        version,
        implementation: "cpython".into(),
        missing: Vec::new(),
    }
}

fn here() -> Vec<Interpreter> {
    vec![
        python("/usr/bin/python3", Version(3, 12, 3)),
        python("/opt/versions/3.9.18/bin/python3", Version(3, 9, 18)),
        python("/opt/versions/3.11.7/bin/python3", Version(3, 11, 7)),
        python("/opt/versions/2.7.18/bin/python3", Version(2, 7, 18)),
    ]
}

fn chosen(text: &str) -> Result<Version, Error> {
    let want = if text.is_empty() {
        Want::anything()
    } else {
        Want::parse(text, "build.python").unwrap()
    };
    let paths = here().into_iter().map(|found| found.program).collect();
    choose(paths, &want, |path| {
        here().into_iter().find(|found| found.program == path)
    })
    .map(|found| found.version)
}

#[test]
fn the_default_python_wins_unless_another_is_asked_for() {
    assert_eq!(chosen("").unwrap(), Version(3, 12, 3));
    assert_eq!(chosen("3.9").unwrap(), Version(3, 9, 18));
    // Another patch of the series will do.
    assert_eq!(chosen("3.11.2").unwrap(), Version(3, 11, 7));
    assert_eq!(chosen(">=3.8,<4").unwrap(), Version(3, 12, 3));
    assert_eq!(chosen(">=3.8,<3.12").unwrap(), Version(3, 11, 7));
    assert_eq!(chosen("~3.9").unwrap(), Version(3, 9, 18));
    assert_eq!(chosen("^3.9").unwrap(), Version(3, 12, 3));
    assert_eq!(chosen("~=3.9.1").unwrap(), Version(3, 9, 18));
    assert_eq!(chosen("3.11.*").unwrap(), Version(3, 11, 7));
    assert_eq!(chosen("==3.11.*").unwrap(), Version(3, 11, 7));
    assert_eq!(chosen("~2.7 || ^3.11").unwrap(), Version(3, 12, 3));
    assert_eq!(chosen(">= 3.6, != 3.12.*").unwrap(), Version(3, 11, 7));
}

#[test]
fn a_version_that_is_not_here_is_refused_with_those_that_are() {
    let error = chosen("3.10").unwrap_err();
    assert_eq!(error.act, "cannot find Python 3.10");
    assert_eq!(
        error.causes,
        [
            "`build.python` asks for it",
            "this machine has Python 3.9.18, 3.11.7, 3.12.3"
        ]
    );
    assert!(error.hint.unwrap().contains("uv python install 3.10"));
}

#[test]
fn names_that_promise_a_version_are_asked_first() {
    assert!(promises(Path::new("/usr/bin/python3.11"), "3.11"));
    assert!(promises(
        Path::new("/a/cpython-3.11.7-linux/bin/python3"),
        "3.11"
    ));
    assert!(promises(Path::new("/a/versions/3.1.2/bin/python3"), "3.1"));
    assert!(!promises(
        Path::new("/a/versions/3.11.2/bin/python3"),
        "3.1"
    ));
}

#[test]
fn what_files_ask_for_is_read_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let text = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let wanted = || wanted::wanted(None, directory.path()).unwrap();
    assert_eq!(wanted(), Want::anything());
    text(
        "environment.yml",
        "dependencies:\n  - python=3.7.3=h0371630_0\n  - flask\n",
    );
    assert_eq!(wanted().series().as_deref(), Some("3.7"));
    text("pyproject.toml", "[project]\nrequires-python = '>=3.8'\n");
    assert_eq!(wanted().text.as_deref(), Some(">=3.8"));
    text("Pipfile", "[requires]\npython_version = '3.9'\n");
    assert_eq!(wanted().series().as_deref(), Some("3.9"));
    text("runtime.txt", "python-3.10.4\n");
    assert_eq!(wanted().series().as_deref(), Some("3.10"));
    text(".python-version", "my-virtualenv\n");
    assert_eq!(wanted().origin.as_deref(), Some("runtime.txt"));
    text(".python-version", "# ours\n3.11\n");
    assert_eq!(wanted().series().as_deref(), Some("3.11"));
    assert!(wanted::wanted(Some("eleven"), directory.path()).is_err());
}

#[test]
fn a_real_python_is_found_and_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let memory = directory.path().join("envs/interpreters.json");
    let machine = Machine::of_this_process();
    let found = find(&machine, &memory, &Want::anything()).unwrap();
    assert!(is_executable(&found.program));
    assert!(memory.exists());
    assert_eq!(find(&machine, &memory, &Want::anything()).unwrap(), found);
}
