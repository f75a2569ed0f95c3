//! Every example runs as its README says: copied to an empty place, with nothing but `stead up`.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::running::{PATIENCE, Tree};

#[test]
fn the_guestbook_keeps_what_is_written_in_its_volume() {
    let tree = Tree::example("guestbook");
    let running = tree.serve(&[]);
    assert_eq!(running.get("/health").status, 200);
    assert!(running.get("/").body.contains("Guestbook"));
    assert_eq!(running.get("/static/guestbook.css").status, 200);
    let form = running.get("/book");
    let token = form.body.split("name=\"token\" value=\"").nth(1);
    let token = token.and_then(|rest| rest.split('"').next());
    let token = token.unwrap_or_else(|| panic!("the form has no token: {}", form.body));
    let cookie = form.head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("set-cookie")
            .then(|| value.split(';').next())?
    });
    let body = format!("token={token}&name=Visitor&message=It+works");
    let address = running.address();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /book HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        cookie.unwrap_or_default(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 30"), "{answer}");
    drop(running);
    let again = tree.serve(&[]);
    assert!(again.get("/book").body.contains("It works"), "it was kept");
}

#[test]
fn the_chat_passes_on_what_somebody_says() {
    let tree = Tree::example("chat");
    let running = tree.serve(&[]);
    assert!(running.get("/").body.contains("<html"));
    let mut stream = TcpStream::connect(running.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /room HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let words = br#"{"name":"Visitor","text":"Hello, room"}"#;
    // A masked text frame whose mask is zero (RFC 6455 section 5.2).
    let mut frame = vec![0x81, 0x80 | words.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(words);
    stream.write_all(&frame).unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains("Hello, room") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..length]);
    }
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.starts_with("HTTP/1.1 101 "));
    assert!(
        heard.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "the key's answer of RFC 6455"
    );
}

#[test]
fn node_hello_is_found_and_greets() {
    let tree = Tree::example("node-hello");
    let running = tree.serve(&[]);
    assert!(running.get("/").body.contains("<h1>Hello</h1>"));
    assert_eq!(running.get("/nothing").status, 404);
}

#[test]
fn the_site_is_served_by_the_edge_alone() {
    let tree = Tree::example("site");
    let running = tree.serve(&[]);
    let page = running.get("/");
    assert_eq!(page.status, 200);
    assert!(page.head.to_lowercase().contains("etag: "));
    assert_eq!(running.get("/../stead.toml").status, 400);
    assert_eq!(running.get("/nothing").status, 404);
}

#[test]
fn legacy_uwsgi_runs_as_its_uwsgi_ini_says() {
    let tree = Tree::example("legacy-uwsgi");
    let running = tree.serve(&[]);
    assert!(running.get("/").body.contains("Monday"));
}
