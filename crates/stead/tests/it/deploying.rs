//! What a host does for a deploy, without a host: it takes a source and builds it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use stead_model::build::{BuildSaid, BuildWish, Built, PROTOCOL};
use stead_model::tree::{self, Received, Sending};
use stead_remote::Snapshot;

use crate::running::Tree;

/// Send a snapshot to `stead api source`, as a laptop does over ssh. What was missing, and the last answer.
fn send(apps: &Path, snapshot: &Snapshot) -> (usize, Received) {
    let mut host = Command::new(env!("CARGO_BIN_EXE_stead"))
        .args(["api", "source", "guestbook", "--apps"])
        .arg(apps)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = host.stdin.take().unwrap();
    let mut from = BufReader::new(host.stdout.take().unwrap()).lines();
    let mut answer = || serde_json::from_str(&from.next().unwrap().unwrap()).unwrap();
    let text = snapshot.tree.text();
    let sending = Sending {
        protocol: tree::PROTOCOL,
        listing: text.len(),
    };
    writeln!(to, "{}", serde_json::to_string(&sending).unwrap()).unwrap();
    to.write_all(&text).unwrap();
    let first = answer();
    let Received::Missing { contents: missing } = first else {
        panic!("{first:?}");
    };
    if !missing.is_empty() {
        let contents = snapshot.tree.contents();
        let wanted: Vec<_> = missing.iter().map(|at| contents[*at]).collect();
        let mut frame = zstd::Encoder::new(to, 3).unwrap();
        snapshot
            .contents
            .write(&wanted, &mut frame, &mut |_| ())
            .unwrap();
        frame.finish().unwrap();
    }
    let last = answer();
    assert!(host.wait().unwrap().success());
    (missing.len(), last)
}

fn build(wish: &BuildWish) -> Vec<BuildSaid> {
    let mut builder = Command::new(env!("CARGO_BIN_EXE_stead"))
        .arg("build-release")
        // As a unit of systemd starts it: a user without a home.
        .env_remove("HOME")
        .env_remove("XDG_CACHE_HOME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = serde_json::to_vec(wish).unwrap();
    builder.stdin.take().unwrap().write_all(&asked).unwrap();
    let mut said = String::new();
    let mut out = builder.stdout.take().unwrap();
    out.read_to_string(&mut said).unwrap();
    let lines: Vec<BuildSaid> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let well = matches!(lines.last(), Some(BuildSaid::Built(_)));
    assert_eq!(builder.wait().unwrap().success(), well, "{lines:?}");
    lines
}

fn built(lines: &[BuildSaid]) -> &Built {
    match lines.last() {
        Some(BuildSaid::Built(built)) => built,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_takes_a_source_once_and_builds_a_release_whose_paths_are_its_own() {
    let laptop = Tree::example("guestbook");
    let host = tempfile::tempdir().unwrap();
    let host = host.path().canonicalize().unwrap();
    let snapshot = Snapshot::take(&laptop.path(), false, "ana@laptop".to_owned()).unwrap();
    let (missing, last) = send(&host, &snapshot);
    assert_eq!(missing, snapshot.tree.contents().len());
    let Received::Complete { tree } = last else {
        panic!("{last:?}");
    };
    let (missing, last) = send(&host, &snapshot);
    assert_eq!(
        (missing, last),
        (0, Received::Complete { tree: tree.clone() })
    );

    let app = host.join("guestbook");
    let wish = |number: u64| BuildWish {
        protocol: PROTOCOL,
        app: "guestbook".to_owned(),
        number,
        code: app.join(format!("releases/{number}")),
        state: app.join("build"),
    };
    stead_agent::source::materialize(&app, &tree, &wish(1).code).unwrap();
    let first = build(&wish(1));
    let release = &built(&first).release;
    assert_eq!((release.app.as_str(), release.number), ("guestbook", 1));
    assert_eq!(release.code, wish(1).code);
    assert!(release.path[0].starts_with(app.join("build/envs")));
    assert!(release.path[0].join("flask").is_file());
    let steps = |lines: &[BuildSaid]| {
        let mut steps = Vec::new();
        for line in lines {
            match line {
                BuildSaid::Step { text } => steps.push(text.clone()),
                BuildSaid::Ended { detail } => steps.last_mut().unwrap().push_str(detail),
                _ => {}
            }
        }
        steps
    };
    assert!(
        steps(&first).iter().any(|step| step.contains("packages")),
        "{first:?}"
    );

    // Another release with the same packages has the same environment.
    stead_agent::source::materialize(&app, &tree, &wish(2).code).unwrap();
    let second = build(&wish(2));
    assert_eq!(built(&second).release.path, release.path);
    assert!(
        steps(&second).contains(&"environmentunchanged".to_owned()),
        "{second:?}"
    );
    // What it wrote, it wrote where it may.
    assert!(!wish(2).code.join(".stead").exists());
}

#[test]
fn what_cannot_be_built_is_said_with_its_causes() {
    let tree = Tree::wsgi();
    let state = tempfile::tempdir().unwrap();
    let wish = |app: &str| BuildWish {
        protocol: PROTOCOL,
        app: app.to_owned(),
        number: 1,
        code: tree.path(),
        state: state.path().to_owned(),
    };
    let failed = |lines: Vec<BuildSaid>| match lines.last() {
        Some(BuildSaid::Failed(failed)) => (**failed).clone(),
        other => panic!("{other:?}"),
    };
    let other = failed(build(&wish("other")));
    assert_eq!(other.act, "cannot build `other`");
    assert_eq!(other.causes, ["its stead.toml says `app = \"shop\"`"]);
    assert!(other.configuration);

    tree.write(
        "stead.toml",
        "app = \"shop\"\n[process.web]\nwsgj = \"app:application\"\n",
    );
    let wrong = failed(build(&wish("shop")));
    assert_eq!(wrong.place.as_deref(), Some("stead.toml:3"));
    assert!(wrong.configuration);

    // A Python that this machine does not have.
    tree.write(
        "stead.toml",
        "app = \"shop\"\n[build]\npython = \"3.99\"\n[process.web]\nwsgi = \"app:application\"\n",
    );
    let lacks = failed(build(&wish("shop")));
    assert!(lacks.act.contains("3.99"), "{lacks:?}");
    assert!(!lacks.configuration);

    let newer = BuildWish {
        protocol: 99,
        ..wish("shop")
    };
    assert!(failed(build(&newer)).causes[0].contains("version 99"));
}
