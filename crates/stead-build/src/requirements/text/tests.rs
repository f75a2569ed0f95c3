use super::*;

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_clean_file_is_given_to_uv_as_it_stands_and_its_includes_are_part_of_the_key() {
    let code = tempfile::tempdir().unwrap();
    write(code.path(), "requirements/base.txt", "flask==3.0 # web\n");
    write(code.path(), "pins.txt", "jinja2<4\n");
    let path = write(
        code.path(),
        "requirements/prod.txt",
        "-r base.txt\n--constraint=../pins.txt\ngunicorn \\\n   ==22.0\n",
    );
    let found = read(&path, code.path()).unwrap();
    assert_eq!(
        found.install,
        Install::File {
            path,
            hashed: false
        }
    );
    let names: Vec<&str> = found.keyed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "requirements/prod.txt",
            "requirements/base.txt",
            "requirements/../pins.txt"
        ]
    );
}

#[test]
fn a_file_of_a_windows_shell_is_understood() {
    let code = tempfile::tempdir().unwrap();
    let mut bytes = vec![0xff, 0xfe];
    bytes.extend(
        "Flask==3.0\r\nrequests\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes),
    );
    let path = write(code.path(), "requirements.txt", bytes);
    let found = read(&path, code.path()).unwrap();
    let Install::Text { text, .. } = found.install else {
        panic!("{found:?}")
    };
    assert_eq!(text, "Flask==3.0\nrequests\n");
    assert_eq!(found.notes.len(), 1);
}

#[test]
fn lines_that_no_index_can_answer_are_changed_and_noted() {
    let code = tempfile::tempdir().unwrap();
    write(code.path(), "lib/setup.py", "setup()");
    let path = write(
        code.path(),
        "requirements.txt",
        "pkg-resources==0.0.0\ncertifi @ file:///croot/certifi_1/work\n-e ./lib[x]\nflask\n",
    );
    let found = read(&path, code.path()).unwrap();
    let Install::Text { text, .. } = found.install else {
        panic!("{found:?}")
    };
    let lib = code.path().canonicalize().unwrap().join("lib");
    assert_eq!(text, format!("certifi\n-e {}[x]\nflask\n", lib.display()));
    assert_eq!(found.notes.len(), 2);
    assert!(
        found
            .keyed
            .iter()
            .any(|(name, _)| name.ends_with("lib/setup.py"))
    );
}

#[test]
fn an_include_that_is_missing_or_circular_is_no_disaster() {
    let code = tempfile::tempdir().unwrap();
    let path = write(
        code.path(),
        "requirements.txt",
        "-r requirements.txt\nflask\n",
    );
    assert!(read(&path, code.path()).is_ok());
    let path = write(code.path(), "requirements.txt", "-r gone.txt\n");
    assert_eq!(
        read(&path, code.path()).unwrap_err().act,
        "cannot read `gone.txt`"
    );
}

#[test]
fn a_name_is_read_from_every_kind_of_line() {
    assert_eq!(
        name_of("Flask_Login[x]>=1 # y").as_deref(),
        Some("flask-login")
    );
    assert_eq!(name_of("uvicorn[standard]").as_deref(), Some("uvicorn"));
    assert_eq!(name_of("foo @ https://x/y.whl").as_deref(), Some("foo"));
    assert_eq!(name_of("https://x/y.whl"), None);
    assert_eq!(name_of("-r other.txt"), None);
}

#[test]
fn an_included_file_that_cannot_be_read_is_named_with_the_line_that_includes_it() {
    let code = tempfile::tempdir().unwrap();
    let path = write(
        code.path(),
        "requirements/prod.txt",
        "# first\n-r base.txt\n",
    );
    write(
        code.path(),
        "requirements/base.txt",
        "flask \\\n  ==3.0\n\n-r nothere.txt\n",
    );
    let error = read(&path, code.path()).unwrap_err();
    assert_eq!(error.act, "cannot read `requirements/nothere.txt`");
    assert_eq!(
        error.causes,
        [
            "`requirements/base.txt` includes it in line 4",
            "there is no such file"
        ]
    );
    write(code.path(), "requirements/base.txt", "flask\n-c ../pins\n");
    std::fs::create_dir(code.path().join("pins")).unwrap();
    let error = read(&path, code.path()).unwrap_err();
    assert_eq!(
        error.causes,
        [
            "`requirements/base.txt` includes it in line 2",
            "it is a directory"
        ]
    );
}

#[test]
fn a_local_package_that_is_not_there_is_named_with_its_line() {
    let code = tempfile::tempdir().unwrap();
    for (line, path) in [
        ("-e ./libs/common[x]", "./libs/common"),
        ("./wheels/a.whl", "./wheels/a.whl"),
    ] {
        let path_of = write(code.path(), "requirements.txt", format!("flask\n{line}\n"));
        let error = read(&path_of, code.path()).unwrap_err();
        assert_eq!(error.act, format!("cannot install `{path}`"));
        assert_eq!(
            error.causes,
            [
                "`requirements.txt` names it in line 2",
                "there is no such file or directory"
            ]
        );
    }
    for line in [
        "-e git+https://example.com/x.git",
        "${HOME}/x.whl",
        "a.tar.gz @ file:///x",
    ] {
        let path = write(code.path(), "requirements.txt", format!("{line}\n"));
        assert!(read(&path, code.path()).is_ok(), "{line}");
    }
}
