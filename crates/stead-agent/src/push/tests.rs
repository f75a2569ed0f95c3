use std::process::Stdio;

use stead_model::push::PROTOCOL;

use super::*;

fn wanted(app: &str, branch: &str) -> Repository {
    Repository {
        protocol: PROTOCOL,
        app: app.to_owned(),
        branch: branch.to_owned(),
        directory: String::new(),
    }
}

#[test]
fn a_repository_is_made_once_and_what_it_takes_may_change() {
    let apps = tempfile::tempdir().unwrap();
    let Prepared::Ready { path } = prepare(apps.path(), &wanted("shop", "main")) else {
        panic!("it is made");
    };
    let path = PathBuf::from(path);
    assert_eq!(repository(apps.path(), &path), Ok(wanted("shop", "main")));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    fs::write(path.join("kept"), "").unwrap();
    let again = prepare(apps.path(), &wanted("shop", "$(id)"));
    assert!(matches!(again, Prepared::Ready { .. }), "{again:?}");
    assert_eq!(repository(apps.path(), &path), Ok(wanted("shop", "$(id)")));
    assert!(path.join("kept").exists());
    let head = program::run(
        "git",
        ["-C", path.to_str().unwrap(), "symbolic-ref", "HEAD"],
    );
    assert_eq!(head.unwrap(), "refs/heads/$(id)\n");
}

#[test]
fn only_a_repository_of_an_app_is_one() {
    let apps = tempfile::tempdir().unwrap();
    prepare(apps.path(), &wanted("shop", "main"));
    let elsewhere = tempfile::tempdir().unwrap();
    let link = apps.path().join("other");
    fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink(apps.path().join("shop/source.git"), link.join(DIRECTORY)).unwrap();
    for path in [
        elsewhere.path().to_owned(),
        apps.path().to_owned(),
        apps.path().join("shop"),
        apps.path().join("shop/../shop/source.git"),
        apps.path().join("shop/objects"),
        apps.path().join("none/source.git"),
        link.join(DIRECTORY),
        PathBuf::from("/etc"),
        PathBuf::from("--exec=x"),
    ] {
        assert!(
            repository(apps.path(), &path).is_err(),
            "{}",
            path.display()
        );
    }
    let none = repository(apps.path(), &apps.path().join("none/source.git")).unwrap_err();
    assert_eq!(
        none.causes,
        ["it was not set up on this host that `none` is pushed"]
    );
    for hostile in ["../shop", "-x", "a/b", ""] {
        let refused = prepare(apps.path(), &wanted(hostile, "main"));
        assert!(matches!(refused, Prepared::Refused { .. }), "{hostile}");
    }
}

#[test]
fn git_hears_a_push_with_no_configuration_but_the_repository_s() {
    let apps = tempfile::tempdir().unwrap();
    let Prepared::Ready { path } = prepare(apps.path(), &wanted("shop", "main")) else {
        panic!("it is made");
    };
    let mut git = receive(path.into(), "ana@laptop");
    let said = git.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("capabilities^{}"), "{said:?}");
    assert!(!said.contains("push-options"), "{said:?}");
}
