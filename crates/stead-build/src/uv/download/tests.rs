use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use super::*;

/// A package index on loopback that answers every `…/uv/` with `page` and all else with `file`.
/// Returns its address.
fn index(page: String, file: Vec<u8>) -> Index {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (page, file) = (page.clone(), file.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let body = match line.contains("/uv/ ") {
                    true => page.into_bytes(),
                    false => file,
                };
                while reader.read_line(&mut line).unwrap() > 2 {}
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body));
            });
        }
    });
    Index {
        url: Some(format!("http://{address}/root/simple")),
        trusted: Vec::new(),
        origin: "build.index".into(),
    }
}

/// A wheel with a program in it, and its SHA-256.
fn wheel() -> (Vec<u8>, String) {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive
        .start_file(
            format!("uv-{PINNED}.data/scripts/uv"),
            zip::write::SimpleFileOptions::default(),
        )
        .unwrap();
    archive.write_all(b"#!/bin/sh\necho uv 0.13.8\n").unwrap();
    let bytes = archive.finish().unwrap().into_inner();
    let hash = crate::hash::hexadecimal(&Sha256::digest(&bytes));
    (bytes, hash)
}

const NAME: &str = "uv-0-py3-none-any.whl";
const PAGE: &str = "<a href=\"../../files/uv-0-py3-none-any.whl#sha256=1\">uv</a>";

#[test]
fn a_wheel_of_the_index_becomes_a_program_in_the_cache() {
    let (bytes, hash) = wheel();
    let index = index(PAGE.into(), bytes);
    let cache = tempfile::tempdir().unwrap();
    let program = cache.path().join("uv/1/uv");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| fetch_wheel(&index, &program, NAME, &hash).unwrap());
        }
    });
    let output = crate::child::spawn(
        std::process::Command::new(&program).stdout(std::process::Stdio::piped()),
    )
    .unwrap()
    .wait_with_output()
    .unwrap();
    assert_eq!(output.stdout, b"uv 0.13.8\n");
    // Nothing but the program is left.
    assert_eq!(
        std::fs::read_dir(cache.path().join("uv/1"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn a_wheel_with_another_hash_is_never_unpacked() {
    let (bytes, _) = wheel();
    let index = index(PAGE.into(), bytes);
    let cache = tempfile::tempdir().unwrap();
    let program = cache.path().join("uv");
    let error = fetch_wheel(&index, &program, NAME, &"0".repeat(64)).unwrap_err();
    assert!(
        error.causes[0].contains("not the file that was pinned"),
        "{error:#?}"
    );
    assert!(!program.exists());
}

#[test]
fn an_index_without_uv_and_one_that_is_away_are_told_apart() {
    let cache = tempfile::tempdir().unwrap();
    let program = cache.path().join("uv");
    let empty = index("<html></html>".into(), Vec::new());
    let error = fetch_wheel(&empty, &program, NAME, "").unwrap_err();
    assert!(error.causes[0].contains("does not list"), "{error:#?}");
    let away = Index {
        url: Some("http://user:word@127.0.0.1:9/simple".into()),
        ..empty
    };
    let error = fetch_wheel(&away, &program, NAME, "").unwrap_err();
    assert!(
        error.causes[0].contains("`http://127.0.0.1:9/simple/uv/`"),
        "{error:#?}"
    );
    assert!(!format!("{error:?}").contains("word"), "{error:#?}");
}

#[test]
fn the_pinned_wheel_is_listed_by_its_name_for_this_machine() {
    let (tag, hash) = super::wheel().unwrap();
    assert!(tag.contains("linux") && hash.len() == 64);
}
