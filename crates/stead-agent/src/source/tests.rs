use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use stead_model::tree::{Entry, Kind, PROTOCOL, Received, Sending};

use super::*;

/// What a laptop sends that has this tree, and thinks that these contents are missing.
fn sent(tree: &Tree, contents: &[&[u8]]) -> Vec<u8> {
    let text = tree.text();
    sent_with(&text, text.len(), contents)
}

fn sent_with(text: &[u8], length: usize, contents: &[&[u8]]) -> Vec<u8> {
    let sending = Sending {
        protocol: PROTOCOL,
        listing: length,
    };
    let mut bytes = serde_json::to_vec(&sending).unwrap();
    bytes.push(b'\n');
    bytes.extend_from_slice(text);
    if !contents.is_empty() {
        bytes.extend(zstd::encode_all(Cursor::new(contents.concat()), 3).unwrap());
    }
    bytes
}

fn file(path: &str, content: &[u8], executable: bool) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: Kind::File {
            digest: sha256(content),
            size: content.len() as u64,
            executable,
        },
    }
}

fn link(path: &str, target: &str) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: Kind::Link {
            target: target.as_bytes().to_vec(),
        },
    }
}

fn some_tree() -> (Tree, Vec<&'static [u8]>) {
    let tree = Tree::new(vec![
        file("app.py", b"print('hello')\n", false),
        file("bin/run", b"#!/bin/sh\n", true),
        file("copy.py", b"print('hello')\n", false),
        file("empty", b"", false),
        link("bin/link", "../app.py"),
    ])
    .unwrap();
    (tree, vec![b"print('hello')\n", b"#!/bin/sh\n", b""])
}

fn received(dir: &Path, bytes: &[u8]) -> (Result<String, SourceError>, Vec<Received>) {
    let mut answers = Vec::new();
    let mut input = Cursor::new(bytes);
    let done = receive(dir, "shop", &mut input, &mut |answer| answers.push(answer));
    (done, answers)
}

/// Everything below a directory but locks: path, mode and size.
fn everything(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                open.push(path);
            } else if !path.ends_with(".lock") {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_tree_is_received_once_and_written_out_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, contents) = some_tree();
    let (done, answers) = received(dir.path(), &sent(&tree, &contents));
    let digest = done.unwrap();
    assert_eq!(digest, sha256(&tree.text()));
    let complete = Received::Complete {
        tree: digest.clone(),
    };
    let missing = |contents: &[usize]| Received::Missing {
        contents: contents.to_vec(),
    };
    assert_eq!(answers, [missing(&[0, 1, 2]), complete.clone()]);

    // The second time nothing is missing, and of another tree only what is new.
    let (done, answers) = received(dir.path(), &sent(&tree, &[]));
    assert_eq!(done.as_ref(), Ok(&digest));
    assert_eq!(answers, [missing(&[]), complete]);
    let mut more = tree.entries().to_vec();
    more.push(file("new.py", b"new", false));
    let more = Tree::new(more).unwrap();
    let (_, answers) = received(dir.path(), &sent(&more, &[b"new"]));
    assert_eq!(answers[0], missing(&[3]));

    let app = dir.path().join("shop");
    let to = dir.path().join("releases/1");
    materialize(&app, &digest, &to).unwrap();
    assert_eq!(fs::read(to.join("app.py")).unwrap(), b"print('hello')\n");
    assert_eq!(
        fs::read_link(to.join("bin/link")).unwrap(),
        Path::new("../app.py")
    );
    let mode = |path: &str| fs::symlink_metadata(to.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("app.py"), 0o644);
    assert_eq!(mode("bin/run"), 0o755);
    assert_eq!(mode("bin"), 0o755);
    assert_eq!(mode(""), 0o755);
    assert!(!to.join("new.py").exists());
    // What is there is never written over.
    let again = materialize(&app, &digest, &to).unwrap_err();
    assert!(again.to_string().contains("exists"), "{again}");
    assert_eq!(everything(&dir.path().join("releases")).len(), 5);
    // What only root of the host is to see.
    let objects = fs::metadata(app.join("objects")).unwrap();
    assert_eq!(objects.permissions().mode() & 0o7777, 0o700);
}

#[test]
fn what_is_cut_off_anywhere_leaves_nothing_and_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, contents) = some_tree();
    let whole = sent(&tree, &contents);
    for end in 0..whole.len() {
        let (done, answers) = received(dir.path(), &whole[..end]);
        assert!(done.is_err(), "{end}");
        assert!(answers.len() <= 1, "{answers:?}");
        assert_eq!(everything(dir.path()), Vec::<String>::new(), "{end}");
    }
    assert!(received(dir.path(), &whole).0.is_ok());
}

#[test]
fn a_content_that_is_another_is_refused_and_so_is_more_than_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, contents) = some_tree();
    let wrong: Vec<&[u8]> = vec![b"print('hullo')\n", contents[1]];
    let (done, _) = received(dir.path(), &sent(&tree, &wrong));
    let why = done.unwrap_err().to_string();
    assert!(why.contains("not what its SHA-256 says"), "{why}");
    let more = [contents, vec![b"more".as_slice()]].concat();
    let (done, _) = received(dir.path(), &sent(&tree, &more));
    let why = done.unwrap_err().to_string();
    assert!(why.contains("more was sent"), "{why}");
    assert_eq!(everything(dir.path()), Vec::<String>::new());
}

#[test]
fn hostile_listings_are_refused_before_a_byte_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sha = sha256(b"x");
    let row = |path: &str| format!(r#"{{"path":"{path}","sha256":"{sha}","size":1}}"#);
    let link = |path: &str, to: &str| format!(r#"{{"path":"{path}","link":"{to}"}}"#);
    let hostile = [
        row("../x"),
        row("/etc/passwd"),
        row("a/../../x"),
        row("a%00b"),
        row("a//b"),
        row("."),
        [row("a"), row("a")].join(","),
        [row("a"), row("a/b")].join(","),
        [row("b"), row("a")].join(","),
        link("a", "/etc"),
        link("a", "../x"),
        [link("a", "b"), row("a/x")].join(","),
        [link("d/e/x", "../.."), link("d/e/y", "x/..")].join(","),
        format!(r#"{{"path":"a","sha256":"{sha}","size":99999999999}}"#),
        format!(r#"{{"path":"a","sha256":"{sha}","size":1,"mode":4755}}"#),
        r#"{"path":"a","sha256":"../../../etc/passwd","size":1}"#.to_owned(),
        r#"{"path":"a","sha256":"$(id)","size":1}"#.to_owned(),
    ];
    for rows in hostile {
        let text = format!(r#"{{"tree":[{rows}]}}"#);
        let bytes = sent_with(text.as_bytes(), text.len(), &[b"x"]);
        let (done, answers) = received(dir.path(), &bytes);
        assert!(done.is_err(), "{rows}");
        assert_eq!(answers, [], "{rows}");
    }
    // So are listings that are too long, other versions, other words, and other names of apps.
    let (done, _) = received(dir.path(), &sent_with(b"x", 1 << 40, &[]));
    assert!(done.unwrap_err().to_string().contains("64 MB at most"));
    let (done, _) = received(dir.path(), b"{\"protocol\":9,\"listing\":1}\nx");
    assert!(done.unwrap_err().to_string().contains("not 9"));
    for nonsense in [b"".as_slice(), b"\n", b"GET / HTTP/1.1\r\n", &[b'x'; 5000]] {
        assert!(received(dir.path(), nonsense).0.is_err());
    }
    for app in ["", "..", "../shop", "a/b", "$(id)", "a\nb", "Shop"] {
        let done = receive(dir.path(), app, &mut Cursor::new(b""), &mut |_| ());
        assert!(done.unwrap_err().to_string().contains("no name of an app"));
    }
    assert_eq!(everything(dir.path()), Vec::<String>::new());
}

#[test]
fn a_compression_that_asks_for_a_lot_of_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let content = vec![b'x'; 100];
    let tree = Tree::new(vec![file("a", &content, false)]).unwrap();
    let mut bytes = sent(&tree, &[]);
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&content).unwrap();
    // Not told its size in advance, the frame asks for the whole window (RFC 8878 section 3.1.1.1.2).
    bytes.extend(encoder.finish().unwrap());
    let (done, _) = received(dir.path(), &bytes);
    assert!(done.is_err(), "{done:?}");
}

#[test]
fn a_content_that_the_disk_lost_is_found_out_and_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, contents) = some_tree();
    let digest = received(dir.path(), &sent(&tree, &contents)).0.unwrap();
    let app = dir.path().join("shop");
    let lost = object(&app, &sha256(b"#!/bin/sh\n"));
    fs::write(&lost, b"#!/bin/hs\n").unwrap();
    let to = dir.path().join("releases/1");
    let why = materialize(&app, &digest, &to).unwrap_err().to_string();
    assert!(why.contains("damaged"), "{why}");
    assert_eq!(
        everything(&dir.path().join("releases")),
        Vec::<String>::new()
    );
    let (_, answers) = received(dir.path(), &sent(&tree, &[b"#!/bin/sh\n"]));
    assert_eq!(answers[0], Received::Missing { contents: vec![1] });
    materialize(&app, &digest, &to).unwrap();

    let path = listing(&app, &digest);
    fs::write(&path, "{}").unwrap();
    let why = super::tree(&app, &digest).unwrap_err().to_string();
    assert!(why.contains("is not what was written there"), "{why}");
    let none = super::tree(&app, &"0".repeat(64)).unwrap_err().to_string();
    assert!(none.contains("the host has no tree"), "{none}");
}

#[test]
fn what_no_release_needs_is_pruned_and_what_was_just_sent_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, contents) = some_tree();
    let old = received(dir.path(), &sent(&tree, &contents)).0.unwrap();
    let other = Tree::new(vec![
        file("app.py", b"print('hello')\n", false),
        file("b", b"b", false),
    ]);
    let other = other.unwrap();
    let new = received(dir.path(), &sent(&other, &[b"b"])).0.unwrap();
    let app = dir.path().join("shop");
    prune(&app, &[]).unwrap();
    assert!(super::tree(&app, &old).is_ok() && super::tree(&app, &new).is_ok());

    for digest in [&old, &new] {
        let file = fs::File::options()
            .append(true)
            .open(listing(&app, digest))
            .unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    prune(&app, &[&new]).unwrap();
    assert!(super::tree(&app, &old).is_err());
    materialize(&app, &new, &dir.path().join("releases/2")).unwrap();
    assert!(!object(&app, &sha256(b"#!/bin/sh\n")).exists());
    prune(&app, &[]).unwrap();
    assert_eq!(everything(&app), Vec::<String>::new());
    prune(&dir.path().join("no-app"), &[]).unwrap();
}

#[test]
fn what_a_build_was_given_is_taken_back_without_a_way_in() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, contents) = some_tree();
    let digest = received(dir.path(), &sent(&tree, &contents)).0.unwrap();
    let to = dir.path().join("releases/1");
    materialize(&dir.path().join("shop"), &digest, &to).unwrap();
    let outside = dir.path().join("outside");
    fs::write(&outside, "x").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
    let me = rustix::process::geteuid();
    let builder = if me.is_root() { 65534 } else { me.as_raw() };
    hand_over(&to, builder, rustix::process::getegid().as_raw()).unwrap();
    assert_eq!(fs::metadata(to.join("app.py")).unwrap().uid(), builder);
    // What a build leaves: a program with its user's rights, a link out, a pipe, something that everybody may write.
    fs::write(to.join("setuid"), "x").unwrap();
    fs::set_permissions(to.join("setuid"), fs::Permissions::from_mode(0o6777)).unwrap();
    std::os::unix::fs::symlink(&outside, to.join("bin/out")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, to.join("pipe"), 0o777.into()).unwrap();
    fs::set_permissions(to.join("bin"), fs::Permissions::from_mode(0o777)).unwrap();
    seal(&to).unwrap();
    let found = |path: &str| fs::symlink_metadata(to.join(path)).unwrap();
    assert_eq!(found("setuid").mode() & 0o7777, 0o755);
    assert_eq!(found("bin").mode() & 0o7777, 0o755);
    assert_eq!(found("app.py").mode() & 0o7777, 0o644);
    assert_eq!(found("app.py").uid(), me.as_raw());
    assert_eq!(found("bin/out").uid(), me.as_raw());
    assert!(!to.join("pipe").exists());
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o600);
}
