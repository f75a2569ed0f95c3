use std::os::unix::fs::PermissionsExt;

use super::*;

fn release(code: &Path) -> Release {
    Release {
        app: "shop".into(),
        number: 1,
        code: code.into(),
        path: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        volumes: BTreeMap::new(),
        release_command: None,
        processes: BTreeMap::new(),
        jobs: BTreeMap::new(),
        routes: Vec::new(),
        edge: stead_model::manifest::Edge::default(),
        webhook: None,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_secret_is_made_once_and_kept_for_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join(".stead")).unwrap();
    let mut release = release(dir.path());
    release.secrets.insert("SECRET_KEY".into(), true);
    let made = state.secrets(&release, |_| None).unwrap();
    let value = made["SECRET_KEY"].to_str().unwrap();
    assert_eq!(value.len(), 43);
    assert!(
        value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );
    assert_eq!(state.secrets(&release, |_| None).unwrap(), made);
    let file = dir.path().join(".stead/secrets/SECRET_KEY");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

#[test]
fn a_secret_comes_from_its_file_then_the_environment_or_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join(".stead")).unwrap();
    let mut release = release(dir.path());
    release.secrets.insert("TOKEN".into(), false);
    let from_environment = state.secrets(&release, |_| Some("outside".into())).unwrap();
    assert_eq!(from_environment["TOKEN"], "outside");
    let failure = state.secrets(&release, |_| None).unwrap_err();
    assert_eq!(failure.causes[0], "the secret `TOKEN` has no value");
    assert_eq!(failure.hint.as_deref(), Some("export TOKEN=…"));
    fs::write(dir.path().join(".stead/secrets/TOKEN"), "inside\n").unwrap();
    let from_file = state.secrets(&release, |_| Some("outside".into())).unwrap();
    assert_eq!(from_file["TOKEN"], "inside");
    release.secrets.insert("../../etc/passwd".into(), true);
    assert!(state.secrets(&release, |_| None).is_err());
}

#[test]
fn a_volume_is_linked_where_nothing_is_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let code = dir.path().join("code");
    fs::create_dir_all(code.join("data")).unwrap();
    fs::write(code.join("data/app.db"), "precious").unwrap();
    fs::write(code.join("notes.txt"), "mine").unwrap();
    std::os::unix::fs::symlink("data", code.join("theirs")).unwrap();
    let state = State::open(&dir.path().join(".stead")).unwrap();
    let mut release = release(&code);
    for (name, path) in [
        ("new", "var/uploads"),
        ("data", "data"),
        ("file", "notes.txt"),
        ("link", "theirs"),
    ] {
        release.volumes.insert(name.into(), path.into());
    }
    let notes = state.link_volumes(&release).unwrap();
    assert_eq!(notes.len(), 4, "{notes:?}");
    fs::write(code.join("var/uploads/a"), "kept").unwrap();
    assert_eq!(
        fs::read_to_string(dir.path().join(".stead/volumes/new/a")).unwrap(),
        "kept"
    );
    assert_eq!(
        fs::read_to_string(code.join("data/app.db")).unwrap(),
        "precious"
    );
    assert_eq!(fs::read_to_string(code.join("notes.txt")).unwrap(), "mine");
    assert_eq!(
        fs::read_link(code.join("theirs")).unwrap(),
        Path::new("data")
    );
    // Again: what is linked is linked.
    let notes = state.link_volumes(&release).unwrap();
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn a_volume_outside_of_the_code_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(&dir.path().join(".stead")).unwrap();
    for path in ["../outside", "/etc", "", "a/../../b"] {
        let mut release = release(dir.path());
        release.volumes.insert("data".into(), path.into());
        assert!(state.link_volumes(&release).is_err(), "{path}");
    }
    std::os::unix::fs::symlink("/no/such/place", dir.path().join("broken")).unwrap();
    let mut release = release(dir.path());
    release.volumes.insert("data".into(), "broken".into());
    let failure = state.link_volumes(&release).unwrap_err();
    assert_eq!(
        failure.causes[1],
        "`broken` is a link to something that does not exist"
    );
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let path = dir.path().join("file/.stead");
    let failure = State::open(&path).unwrap_err();
    assert_eq!(
        failure.causes,
        [
            format!("cannot use `{}`", path.display()),
            "not a directory".to_owned()
        ]
    );
}

#[test]
fn base64url_is_as_in_its_rfc() {
    let cases: [(&[u8], &str); 5] = [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"\xfb\xff", "-_8"),
    ];
    for (bytes, text) in cases {
        assert_eq!(base64url(bytes), text);
    }
}
