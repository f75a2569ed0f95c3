use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use stead_model::tree::{Kind, shown};
use tempfile::TempDir;

use super::*;

fn git(dir: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args([
            "-c",
            "user.name=Ana",
            "-c",
            "user.email=ana@example.com",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(words)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {words:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn repository(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q"]);
    write(dir.path(), files);
    commit(dir.path());
    dir
}

fn commit(dir: &Path) {
    git(dir, &["add", "-A"]);
    git(
        dir,
        &["commit", "-q", "--allow-empty", "-m", "A `first` page"],
    );
}

fn take(dir: &Path, dirty: bool) -> Result<Snapshot, Failure> {
    Snapshot::take(dir, dirty, "ana@laptop".to_owned())
}

/// Path → content, `-> target` for links, with `*` behind what may be executed.
fn files(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let of = |kind: &Kind| match kind {
        Kind::Link { target } => format!("-> {}", shown(target)),
        Kind::File {
            digest,
            size,
            executable,
        } => {
            let mut content = Vec::new();
            let wanted = [(digest.as_str(), *size)];
            snapshot
                .contents
                .write(&wanted, &mut content, &mut |_| ())
                .unwrap();
            let content = String::from_utf8(content).unwrap();
            format!("{content}{}", if *executable { "*" } else { "" })
        }
    };
    let entries = snapshot.tree.entries().iter();
    entries
        .map(|entry| (shown(&entry.path), of(&entry.kind)))
        .collect()
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    files(snapshot).into_keys().collect()
}

fn refused(taken: Result<Snapshot, Failure>) -> (String, Option<String>) {
    let failure = taken.unwrap_err();
    (failure.causes.join(": "), failure.hint)
}

#[test]
fn a_commit_is_sent_as_it_is_committed() {
    let dir = repository(&[
        ("app.py", "one"),
        ("bin/run", "two"),
        ("a b\"c/$(id)", "three"),
    ]);
    let run = dir.path().join("bin/run");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../app.py", dir.path().join("bin/link")).unwrap();
    commit(dir.path());
    let snapshot = take(dir.path(), false).unwrap();
    let expected = [
        ("a b\"c/$(id)", "three"),
        ("app.py", "one"),
        ("bin/link", "-> ../app.py"),
        ("bin/run", "two*"),
    ];
    let expected = expected.map(|(path, content)| (path.to_owned(), content.to_owned()));
    assert_eq!(files(&snapshot), BTreeMap::from(expected));
    let origin = &snapshot.origin;
    assert_eq!(origin.who, "ana@laptop");
    assert_eq!(origin.branch.as_deref(), Some("main"));
    assert_eq!(origin.message.as_deref(), Some("A `first` page"));
    let head = git(dir.path(), &["rev-parse", "HEAD"]);
    assert_eq!(origin.commit.as_deref(), Some(head.trim()));
    assert!(!origin.dirty);
    // The same files, wherever they come from, are the same tree.
    let copy = tempfile::tempdir().unwrap();
    let archive = git(dir.path(), &["ls-files", "-z"]);
    for name in archive.split_terminator('\0') {
        let to = copy.path().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let from = dir.path().join(name);
        match fs::read_link(&from) {
            Ok(target) => symlink(target, to).unwrap(),
            Err(_) => drop(fs::copy(from, to).unwrap()),
        }
    }
    let plain = take(copy.path(), false).unwrap();
    assert_eq!(plain.tree, snapshot.tree);
    assert_eq!(plain.origin.commit, None);
}

#[test]
fn changes_that_are_not_committed_are_refused_by_name_unless_they_are_wanted() {
    let dir = repository(&[
        ("app.py", "one"),
        ("gone.py", "two"),
        (".gitignore", "*.db\n"),
    ]);
    write(
        dir.path(),
        &[("app.py", "changed"), ("new.py", "new"), ("my.db", "data")],
    );
    write(
        dir.path(),
        &[
            (".venv/pyvenv.cfg", ""),
            ("own-env/pyvenv.cfg", ""),
            ("own-env/lib/x", ""),
        ],
    );
    fs::remove_file(dir.path().join("gone.py")).unwrap();
    let (why, hint) = refused(take(dir.path(), false));
    assert_eq!(
        why,
        "there are changes that are not committed: `app.py`, `gone.py`"
    );
    assert_eq!(hint.as_deref(), Some("stead deploy --dirty"));
    let snapshot = take(dir.path(), true).unwrap();
    assert_eq!(names(&snapshot), [".gitignore", "app.py", "new.py"]);
    assert_eq!(files(&snapshot)["app.py"], "changed");
    assert!(snapshot.origin.dirty && snapshot.origin.commit.is_some());

    git(dir.path(), &["checkout", "-q", "--", "."]);
    let snapshot = take(dir.path(), false).unwrap();
    assert_eq!(names(&snapshot), [".gitignore", "app.py", "gone.py"]);
    assert_eq!(snapshot.notes.len(), 1);
    assert!(
        snapshot.notes[0].contains("`new.py`"),
        "{:?}",
        snapshot.notes
    );
    fs::remove_dir_all(dir.path().join("own-env")).unwrap();
    fs::remove_dir_all(dir.path().join(".venv")).unwrap();
    fs::remove_file(dir.path().join("new.py")).unwrap();
    assert!(!take(dir.path(), true).unwrap().origin.dirty);
}

#[test]
fn an_app_in_a_directory_of_a_repository_is_sent_alone() {
    let dir = repository(&[("README", "x"), ("shop/app.py", "one"), ("other/x", "y")]);
    write(dir.path(), &[("other/x", "changed")]);
    let snapshot = take(&dir.path().join("shop"), false).unwrap();
    assert_eq!(names(&snapshot), ["app.py"]);
    assert_eq!(
        names(&take(&dir.path().join("shop"), true).unwrap()),
        ["app.py"]
    );
    write(dir.path(), &[("new/app.py", "")]);
    let (why, _) = refused(take(&dir.path().join("new"), false));
    assert_eq!(why, "nothing of this directory is committed");
}

#[test]
fn what_is_not_to_be_exported_stays_here_as_git_archive_does_it() {
    let dir = repository(&[
        ("app.py", "one"),
        ("tests/deep/x", "x"),
        ("docs/a.md", "x"),
        ("docs/keep.txt", "x"),
        ("sub/.gitattributes", "secret export-ignore\n"),
        ("sub/secret", "x"),
        (
            ".gitattributes",
            "tests export-ignore\n*.md export-ignore\n",
        ),
    ]);
    let snapshot = take(dir.path(), false).unwrap();
    let archive = Command::new("sh")
        .args([
            "-c",
            "git -C \"$1\" archive HEAD | tar -t | grep -v '/$' | sort",
            "sh",
        ])
        .arg(dir.path())
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let archived = String::from_utf8(archive.stdout).unwrap();
    assert_eq!(names(&snapshot), archived.lines().collect::<Vec<_>>());
    assert_eq!(archived.lines().count(), 4, "{archived}");
}

#[test]
fn submodules_are_sent_with_it_when_they_are_here_and_named_when_not() {
    let library = repository(&[("lib.py", "library")]);
    let dir = repository(&[("app.py", "one")]);
    let from = library.path().to_str().unwrap();
    git(
        dir.path(),
        &["submodule", "--quiet", "add", from, "vendor/lib"],
    );
    commit(dir.path());
    let snapshot = take(dir.path(), false).unwrap();
    assert_eq!(
        names(&snapshot),
        [".gitmodules", "app.py", "vendor/lib/lib.py"]
    );
    assert_eq!(files(&snapshot)["vendor/lib/lib.py"], "library");
    assert_eq!(names(&take(dir.path(), true).unwrap()), names(&snapshot));

    let clone = tempfile::tempdir().unwrap();
    let to = clone.path().join("app");
    git(
        clone.path(),
        &[
            "clone",
            "-q",
            dir.path().to_str().unwrap(),
            to.to_str().unwrap(),
        ],
    );
    let (why, hint) = refused(take(&to, false));
    assert_eq!(
        why,
        "the submodule `vendor/lib` is not checked out at its commit"
    );
    assert_eq!(
        hint.as_deref(),
        Some("git submodule update --init --recursive")
    );
}

#[test]
fn large_files_of_lfs_are_sent_when_they_are_here_and_named_when_not() {
    let content = "a large content";
    let digest = contents::hexadecimal(&{
        use sha2::Digest;
        sha2::Sha256::digest(content)
    });
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n",
        content.len()
    );
    let dir = repository(&[("app.py", "one"), ("big.bin", &pointer)]);
    let (why, hint) = refused(take(dir.path(), false));
    assert!(
        why.contains("Git LFS has in their place: `big.bin`"),
        "{why}"
    );
    assert_eq!(hint.as_deref(), Some("git lfs pull"));
    // As a checkout by git-lfs leaves it: the content in the working tree, and git content with that.
    write(dir.path(), &[("big.bin", content)]);
    git(
        dir.path(),
        &["update-index", "--assume-unchanged", "big.bin"],
    );
    let snapshot = take(dir.path(), false).unwrap();
    assert_eq!(files(&snapshot)["big.bin"], content);
}

#[test]
fn a_directory_without_git_is_sent_without_what_is_ignored_or_made_here() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            ("app.py", "one"),
            (".env", "A=b"),
            (".gitignore", "*.log\nbuild/\n!keep.log\n"),
            ("x.log", ""),
            ("keep.log", ""),
            ("build/out", ""),
            ("sub/.gitignore", "secret\n"),
            ("sub/secret", ""),
            ("sub/code", ""),
            (".venv/lib/x", ""),
            ("env/pyvenv.cfg", ""),
            ("node_modules/m/index.js", ""),
            ("pkg/__pycache__/a.pyc", ""),
            (".stead/envs/x", ""),
        ],
    );
    let snapshot = take(dir.path(), false).unwrap();
    let expected = [
        ".env",
        ".gitignore",
        "app.py",
        "keep.log",
        "sub/.gitignore",
        "sub/code",
    ];
    assert_eq!(names(&snapshot), expected);
}

#[test]
fn a_link_out_of_the_directory_is_refused_by_name() {
    let dir = repository(&[("app.py", "one")]);
    symlink("/etc/passwd", dir.path().join("users")).unwrap();
    commit(dir.path());
    let (why, _) = refused(take(dir.path(), false));
    assert_eq!(
        why,
        "`users`: it is a link out of the tree, to `/etc/passwd`"
    );
}

#[test]
fn a_repository_without_a_commit_is_refused_and_its_files_can_be_sent() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q"]);
    write(dir.path(), &[("app.py", "one")]);
    let (why, _) = refused(take(dir.path(), false));
    assert_eq!(why, "nothing is committed yet");
    let snapshot = take(dir.path(), true).unwrap();
    assert_eq!(names(&snapshot), ["app.py"]);
    assert_eq!(
        (snapshot.origin.commit, snapshot.origin.dirty),
        (None, true)
    );
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("app.py", "one")]);
    let snapshot = take(dir.path(), false).unwrap();
    for other in ["two", "o", "one and more"] {
        write(dir.path(), &[("app.py", other)]);
        let contents = snapshot.tree.contents();
        let sent = snapshot
            .contents
            .write(&contents, &mut Vec::new(), &mut |_| ());
        match other.starts_with("one") {
            // What was measured is what is sent.
            true => sent.unwrap(),
            false => assert!(
                sent.unwrap_err()
                    .to_string()
                    .contains("was changed while it was sent")
            ),
        }
    }
}

#[test]
fn messages_of_commits_become_one_line_that_a_terminal_can_show() {
    assert_eq!(plain("a\u{1b}[31mb\nc"), "a[31mb");
    assert_eq!(plain(&"x".repeat(500)).len(), 200);
    let many: Vec<String> = (0..7).map(|number| number.to_string()).collect();
    assert_eq!(named(&many), "`0`, `1`, `2`, `3`, `4` and 2 more");
}

/// A bare repository that has what `from` has.
fn bare(from: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = from.to_str().unwrap();
    git(dir.path(), &["clone", "-q", "--bare", from, "."]);
    dir
}

fn pushed(dir: &Path, directory: &str) -> Result<Snapshot, Failure> {
    let commit = git(dir, &["rev-parse", "HEAD"]);
    Snapshot::pushed(
        dir,
        commit.trim(),
        "main",
        directory,
        "ana@laptop".to_owned(),
    )
}

#[test]
fn what_was_pushed_is_what_a_deploy_of_the_commit_sends() {
    let dir = repository(&[
        (
            ".gitattributes",
            "backend/tests export-ignore\n*.md export-ignore\n",
        ),
        ("backend/app.py", "one"),
        ("backend/tests/a.py", "not sent"),
        ("backend/a.md", "not sent"),
        ("backend/.gitattributes", "b.py export-ignore\n"),
        ("backend/b.py", "not sent"),
        ("README", "two"),
    ]);
    let run = dir.path().join("backend/app.py");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../README", dir.path().join("backend/link")).unwrap();
    symlink("app.py", dir.path().join("backend/own")).unwrap();
    commit(dir.path());
    let bare = bare(dir.path());
    let whole = pushed(bare.path(), "").unwrap();
    assert_eq!(files(&whole), files(&take(dir.path(), false).unwrap()));
    assert_eq!(
        whole.origin,
        Origin {
            branch: Some("main".to_owned()),
            ..take(dir.path(), false).unwrap().origin
        }
    );
    fs::remove_file(dir.path().join("backend/link")).unwrap();
    commit(dir.path());
    let bare = self::bare(dir.path());
    let part = pushed(bare.path(), "backend").unwrap();
    let expected = take(&dir.path().join("backend"), false).unwrap();
    assert_eq!(files(&part), files(&expected));
    assert_eq!(names(&part), [".gitattributes", "app.py", "own"]);
    let none = refused(pushed(bare.path(), "frontend")).0;
    assert!(
        none.contains("nothing of this directory is committed"),
        "{none}"
    );
}

#[test]
fn what_git_does_not_carry_is_not_deployed_by_a_push() {
    let other = repository(&[("b.py", "x")]);
    let dir = repository(&[("app.py", "one")]);
    git(
        dir.path(),
        &[
            "submodule",
            "--quiet",
            "add",
            other.path().to_str().unwrap(),
            "part",
        ],
    );
    commit(dir.path());
    let (why, hint) = refused(pushed(bare(dir.path()).path(), ""));
    assert!(
        why.contains("only the name of the submodule `part`"),
        "{why}"
    );
    assert_eq!(hint.as_deref(), Some("stead deploy"));

    // Named as the bare repository's own file of that content: it is not taken for the content.
    let content = "ref: refs/heads/main\n";
    let digest = contents::hexadecimal(&<sha2::Sha256 as sha2::Digest>::digest(content));
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n",
        content.len()
    );
    let dir = repository(&[("HEAD", &pointer)]);
    let bare = bare(dir.path());
    fs::write(bare.path().join("HEAD"), content).unwrap();
    let commit = git(dir.path(), &["rev-parse", "HEAD"]);
    let taken = Snapshot::pushed(bare.path(), commit.trim(), "main", "", String::new());
    let (why, hint) = refused(taken);
    assert!(why.contains("Git LFS") && why.contains("`HEAD`"), "{why}");
    assert_eq!(hint.as_deref(), Some("stead deploy"));
}
