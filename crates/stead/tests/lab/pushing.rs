//! `git push` deploys: real git, real ssh, a real machine.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use lab::{Lab, Machine};

use crate::laptop::{Laptop, Said};
use crate::verbs::{App, Person, get};

/// Where the shop is pushed to.
const REPOSITORY: &str = "/var/lib/stead/apps/shop/source.git";

impl Person<'_> {
    fn pushes(&self, words: &[&str]) -> Said {
        let words = [&["push"], words].concat();
        let mut git = self.laptop.git(self.app.path(), &words);
        Said::of(git.output().unwrap())
    }
}

/// The commit that the host has of the shop's branch; empty: it has none.
fn head(machine: &Machine) -> String {
    let asked = format!("git -C {REPOSITORY} rev-parse --verify --quiet HEAD || true");
    machine.sh(&asked).unwrap().trim().to_owned()
}

fn here(person: &Person<'_>) -> String {
    let mut git = person.laptop.git(person.app.path(), &["rev-parse", "HEAD"]);
    String::from_utf8(git.output().unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn a_push_deploys_and_is_refused_when_the_deploy_fails() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let app = App::new();
    let person = Person {
        laptop: &laptop,
        app: &app,
    };
    laptop.host("add", "h1", &["--yes"]).good();

    let plan = person.says(&["deploy", "--git-remote", "--dry-run"]).good();
    assert!(
        plan.contains("here, add the git remote `stead`: ssh://h1/"),
        "{plan}"
    );
    assert_eq!(person.pushes(&["stead"]).code, Some(128));
    let added = person.says(&["deploy", "--git-remote"]).good();
    assert!(
        added.starts_with("git push stead deploys `main;touch"),
        "{added}"
    );
    // Once more changes nothing.
    person.says(&["deploy", "--git-remote"]).good();

    let first = person.pushes(&["stead"]);
    assert!(
        first.err.contains("remote:   source: 3 files"),
        "{}",
        first.err
    );
    assert!(first.err.contains("remote:   switch ("), "{}", first.err);
    assert!(
        first.err.contains("remote: release 1 serves after"),
        "{}",
        first.err
    );
    first.good();
    assert_eq!(get(machine.address(), "/"), "1 one");
    assert_eq!(head(&machine), here(&person));
    let releases = person.says(&["releases"]).good();
    assert!(releases.contains("ana@"), "{releases}");
    assert!(releases.contains("Say `more`; touch CANARY"), "{releases}");

    what_fails_is_refused(&person, &machine);
    other_branches_are_refused(&person, &machine);
    hostile_trees_are_refused(&person, &machine);
    who_gives_up_leaves_a_clean_state(&person, &machine);

    // A laptop's own deploy, and a push, are one row of releases.
    app.write("by deploy", "");
    app.commit();
    person.says(&["deploy"]).good();
    assert!(get(machine.address(), "/").ends_with(" by deploy"));
    person.pushes(&["stead"]).good();

    let canaries = machine
        .sh("find / -xdev -name 'CANARY*' 2>/dev/null; true")
        .unwrap();
    assert_eq!(canaries, "");
    assert!(!app.path().join("CANARY").exists());

    machine.sh("mv /usr/bin/git /usr/bin/git.away").unwrap();
    let lacks = person.says(&["deploy", "--git-remote"]).refused();
    assert!(
        lacks.contains("cause: there is no `git` on the host\n"),
        "{lacks}"
    );
    assert!(
        lacks.contains("hint: ssh -t h1 apt-get install git\n"),
        "{lacks}"
    );
}

fn what_fails_is_refused(person: &Person<'_>, machine: &Machine) {
    let before = head(machine);
    person.app.write("broken", "");
    person.app.commit();
    let broken = person.pushes(&["stead"]);
    assert_eq!(broken.code, Some(1), "{}", broken.err);
    for part in [
        "remote: error: cannot deploy `shop` to `h1`",
        "answered 500",
        "remote:   state: release 1 still serves",
        "pre-receive hook declined",
    ] {
        assert!(broken.err.contains(part), "{part}: {}", broken.err);
    }
    assert_eq!(head(machine), before);
    assert_eq!(get(machine.address(), "/"), "1 one");

    // What is wrong in the file is said with its place.
    person.app.write("two", "[process.web.helth]");
    person.app.commit();
    let wrong = person.pushes(&["stead"]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.err);
    assert!(
        wrong.err.contains("remote:   --> stead.toml:"),
        "{}",
        wrong.err
    );
    assert_eq!(head(machine), before);

    person.app.write("two", "");
    person.app.commit();
    person.pushes(&["stead"]).good();
    assert!(get(machine.address(), "/").ends_with(" two"));
}

fn other_branches_are_refused(person: &Person<'_>, machine: &Machine) {
    let before = head(machine);
    for (refs, why) in [
        (
            "HEAD:refs/heads/x;touch${IFS}CANARY",
            "only the branch `main;touch${IFS}CANARY` is deployed, and `x;touch${IFS}CANARY` was pushed",
        ),
        (
            "HEAD:refs/tags/$(touch${IFS}CANARY)",
            "is deployed, and `refs/tags/$(touch${IFS}CANARY)` was pushed",
        ),
        (":refs/heads/main;touch${IFS}CANARY", ""),
    ] {
        let refused = person.pushes(&["stead", refs]);
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    assert_eq!(head(machine), before);
    let refs = machine.sh(&format!("git -C {REPOSITORY} for-each-ref | wc -l"));
    assert_eq!(refs.unwrap().trim(), "1");
    // Neither is what is no repository of an app.
    for path in [
        "/etc",
        "/var/lib/stead/apps/shop",
        "/var/lib/stead/apps/../apps/shop/source.git",
        "/var/lib/stead/apps/none/source.git",
    ] {
        let refused = person.pushes(&[
            "--receive-pack",
            "stead api receive",
            &format!("ssh://h1{path}"),
            "HEAD:refs/heads/main",
        ]);
        assert_eq!(refused.code, Some(128), "{}", refused.err);
        assert!(
            refused.err.contains("error: cannot take a push"),
            "{}",
            refused.err
        );
    }
}

fn hostile_trees_are_refused(person: &Person<'_>, machine: &Machine) {
    let before = head(machine);
    let dir = person.app.path();
    std::os::unix::fs::symlink("../../../etc/passwd", dir.join("out")).unwrap();
    person.app.commit();
    let out = person.pushes(&["stead"]);
    assert_eq!(out.code, Some(1), "{}", out.err);
    assert!(out.err.contains("`out`"), "{}", out.err);
    assert_eq!(head(machine), before);
    fs::remove_file(dir.join("out")).unwrap();

    // Whatever a tree brings along for git is a file like any other.
    fs::write(
        dir.join(".gitattributes"),
        "* filter=evil diff=evil\n/secret export-ignore\n",
    )
    .unwrap();
    fs::write(
        dir.join(".gitmodules"),
        "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% /CANARY\n",
    )
    .unwrap();
    fs::create_dir_all(dir.join("hooks")).unwrap();
    fs::write(dir.join("hooks/pre-receive"), "#!/bin/sh\ntouch /CANARY\n").unwrap();
    fs::write(dir.join("config"), "[core]\n\tfsmonitor = touch /CANARY\n[filter \"evil\"]\n\tsmudge = touch /CANARY\n\tclean = touch /CANARY\n").unwrap();
    fs::write(dir.join("secret"), "not sent").unwrap();
    person.app.commit();
    person.pushes(&["stead"]).good();
    let code = machine.sh("cat /var/lib/stead/apps/shop/releases/*/config | head -1; ls /var/lib/stead/apps/shop/releases/*/secret 2>/dev/null; true");
    assert_eq!(code.unwrap(), "[core]\n");
}

fn who_gives_up_leaves_a_clean_state(person: &Person<'_>, machine: &Machine) {
    let before = head(machine);
    let address = machine.address();
    person
        .app
        .write("four", "[release]\ncommand = \"echo it begins; sleep 600\"");
    person.app.commit();
    let mut git = person.laptop.git(person.app.path(), &["push", "stead"]);
    let push = git.stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    machine
        .sh("for i in $(seq 600); do pgrep -fx 'sleep 600' && exit; sleep 0.1; done; exit 1")
        .unwrap();
    // Whoever else wants something meanwhile is told who is at it.
    let busy = person.says(&["restart"]).refused();
    assert!(busy.contains("`shop` is being changed by ana@"), "{busy}");
    // A terminal tells ssh, too. It would send SIGINT, which whoever was started in the background may pass over.
    let group = rustix::process::Pid::from_child(&push);
    rustix::process::kill_process_group(group, rustix::process::Signal::TERM).unwrap();
    push.wait_with_output().unwrap();
    machine
        .sh("for i in $(seq 300); do pgrep -f '[g]it receive-pack|[s]tead api rec' >/dev/null || exit 0; sleep 0.1; done; exit 1")
        .unwrap();
    // A release command is never ended in the middle; the release is given up all the same.
    let releases = person.says(&["releases"]).good();
    assert!(releases.contains("  failed "), "{releases}");
    assert!(releases.contains("went away, or gave it up"), "{releases}");
    assert_eq!(head(machine), before);
    assert!(get(address, "/").ends_with(" two"));
    // Neither a lock nor what had been pushed is left.
    let left = machine.sh(&format!(
        "find {REPOSITORY} -name '*incoming*' -o -name '*.lock'"
    ));
    assert_eq!(left.unwrap(), "");
    person.app.write("five", "");
    person.app.commit();
    person.pushes(&["stead"]).good();
    assert!(get(address, "/").ends_with(" five"));
}

#[test]
fn a_user_with_sudo_pushes_as_root_does() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machine = lab.boot("h1").unwrap();
    let laptop = Laptop::of(&lab);
    let app = App::new();
    let person = Person {
        laptop: &laptop,
        app: &app,
    };
    crate::sudo::with_user(&machine, "deploy ALL=(ALL) NOPASSWD: ALL");
    laptop.host("add", "deploy@h1", &["--yes"]).good();
    person
        .says(&["deploy", "--git-remote=shop", "--to", "deploy@h1"])
        .good();
    let pushed = person.pushes(&["shop"]);
    assert!(
        pushed.err.contains("remote: release 1 serves after"),
        "{}",
        pushed.err
    );
    pushed.good();
    assert_eq!(get(machine.address(), "/"), "1 one");
    // The repository is root's, and nothing of it the user's.
    let own = machine.sh(&format!(
        "stat -c '%U %a' {REPOSITORY}; find {REPOSITORY} ! -user root"
    ));
    assert_eq!(own.unwrap(), "root 700\n");
    // Without the right to become root there is nothing to push to.
    machine
        .sh("echo 'deploy ALL=(ALL) ALL' >/etc/sudoers.d/deploy")
        .unwrap();
    app.write("two", "");
    app.commit();
    assert_eq!(person.pushes(&["shop"]).code, Some(128));
    assert_eq!(get(machine.address(), "/"), "1 one");
}
