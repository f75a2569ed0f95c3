//! Large responses of Stead's own worker, which the edge reads from the worker's memory.

use crate::running::{Running, visit};

const APP: &str = r#"
import os

def piece(letter, length):
    return bytes((ord(letter) + n * 7 // 5) % 251 for n in range(251)) * (length // 251 + 1)

ALL = {letter: piece(letter, 1 << 20) for letter in "abc"}
CLOSED = []

class Pieces:
    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self.pieces

    def close(self):
        CLOSED.append(1)

def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"] or "a"
    data = ALL[query]
    if path == "/closed":
        start_response("200 OK", [])
        return [b"%d" % len(CLOSED)]
    if path == "/pieces":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Pieces([data[:300_000], b"between", data[:200_000], data])
    length = 400_000 if path == "/short" else len(data)
    if path == "/long":
        length += 1
    start_response("200 OK", [("Content-Length", str(length)), ("Content-Type", "text/plain")])
    if path == "/fails":
        def fail():
            yield data[:300_000]
            raise ValueError("enough")
        return fail()
    return [data]
"#;

/// What the app's `piece` makes.
fn piece(letter: u8) -> Vec<u8> {
    let circle: Vec<u8> = (0..251_u32)
        .map(|n| ((u32::from(letter) + n * 7 / 5) % 251) as u8)
        .collect();
    circle.repeat((1 << 20) / 251 + 1)
}

#[test]
fn each_visitor_gets_all_bytes_of_its_own_large_answer() {
    let (running, _worker) = Running::app(APP, 3);
    std::thread::scope(|scope| {
        for visitor in 0..9 {
            let address = running.address;
            scope.spawn(move || {
                let mut connection = visit(address);
                for number in 0..12 {
                    let letter = b"abc"[(visitor + number) % 3];
                    let path = ["/whole", "/pieces", "/short"][number % 3];
                    let request = format!(
                        "GET {path}?{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        char::from(letter)
                    );
                    connection.send(request.as_bytes());
                    let answer = connection.answer(false);
                    let all = piece(letter);
                    let expected = match path {
                        "/whole" => all,
                        "/short" => all[..400_000].to_vec(),
                        _ => [&all[..300_000], b"between", &all[..200_000], &all].concat(),
                    };
                    assert_eq!(answer.status, 200);
                    assert!(answer.body == expected, "{visitor}-{number}: {path}");
                }
            });
        }
    });
    // The app learns of the end of each.
    assert_eq!(running.get("/closed").text(), "36");
}

#[test]
fn a_large_answer_without_its_end_is_cut_and_its_thread_serves_the_next() {
    let (running, _worker) = Running::app(APP, 1);
    for path in ["/long", "/fails"] {
        let answer = running.get(path);
        assert!(answer.cut, "{path}");
        assert!(answer.body.len() < 1 << 21);
        assert!(running.get("/whole?b").body == piece(b'b'));
    }
    let mut visitor = running.visit();
    visitor.send(b"HEAD /whole HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = visitor.answer(true);
    let length = piece(b'a').len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
}

#[test]
fn visitors_who_leave_within_a_large_answer_keep_no_thread() {
    let (running, _worker) = Running::app(APP, 1);
    for round in 0..20 {
        let mut leaving = running.visit();
        leaving.send(b"GET /pieces HTTP/1.1\r\nHost: localhost\r\n\r\n");
        leaving.raw(1000 * round);
        // One that is next in the thread's mailbox, perhaps.
        let mut staying = running.visit();
        staying.send(b"GET /whole?c HTTP/1.1\r\nHost: localhost\r\n\r\n");
        drop(leaving);
        assert!(staying.answer(false).body == piece(b'c'), "{round}");
    }
}
