use super::*;

#[test]
fn what_has_the_name_of_a_requirements_file_and_is_none_is_an_error() {
    let code = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        let error = file(&Build::default(), code.path(), code.path()).unwrap_err();
        assert_eq!(error.act, format!("cannot read `{name}`"));
        error.causes.join(": ")
    };
    std::os::unix::fs::symlink("../gone.toml", code.path().join("pyproject.toml")).unwrap();
    assert_eq!(
        of("pyproject.toml"),
        "it is a link to `../gone.toml`, which is not there"
    );
    std::fs::remove_file(code.path().join("pyproject.toml")).unwrap();
    std::fs::write(code.path().join("pyproject.toml"), "[project]\nname = \n").unwrap();
    assert!(of("pyproject.toml").starts_with("line 2: "));
    // The first that counts is looked at.
    std::fs::create_dir(code.path().join("requirements.txt")).unwrap();
    assert_eq!(of("requirements.txt"), "it is a directory");
    std::fs::write(code.path().join("uv.lock"), "").unwrap();
    let found = file(&Build::default(), code.path(), code.path()).unwrap();
    assert_eq!(found.as_deref(), Some("uv.lock"));
}

#[test]
fn a_pylock_is_what_its_project_is_installed_from_as_it_stands() {
    let code = tempfile::tempdir().unwrap();
    let path = code.path().join("pylock.toml");
    std::fs::write(&path, "lock-version = \"1.0\"\n").unwrap();
    std::fs::write(code.path().join("requirements.txt"), "flask\n").unwrap();
    let found = file(&Build::default(), code.path(), code.path()).unwrap();
    assert_eq!(found.as_deref(), Some("pylock.toml"));
    for name in ["pylock.toml", "pylock.web.toml", "locks/pylock.web.toml"] {
        assert_eq!(kind(name), Kind::Pylock, "{name}");
    }
    assert_eq!(kind("pylock.txt"), Kind::Text);
}
