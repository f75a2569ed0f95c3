//! Claims about whole requests: where they end, and what an upstream gets of them.

use super::reference;
use crate::body::Body;
use crate::forward::{self, BodyFraming, Forwarded, STAMP};
use crate::frames::{Connection, HEADER, encode_environ};
use crate::head::{BodyLength, Head, Parsed};
use crate::uwsgi;

/// Where one request ends and the next begins is the same for the [`mod@reference`]: whatever the edge
/// takes for a request, the reference takes for the same one.
pub fn message_length(input: &[u8]) {
    let (expected, _) = reference::read_all(input);
    let (mut expected, mut rest) = (expected.iter(), input);
    while let Some((head, body, used)) = whole_request(rest) {
        let other = expected.next();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let other = other.expect("the reference sees no request here");
        assert_eq!(
            (&other.method, &other.target),
            (&text(head.method()), &text(head.target()))
        );
        assert_eq!((other.used, other.body.as_slice()), (used, &*body));
        assert_eq!(other.minor == 1, head.http11);
        assert_eq!(other.fields.len(), head.headers().count());
        rest = &rest[used..];
    }
}

/// A request as the edge takes it: head, body, and how many bytes both took.
fn whole_request(input: &[u8]) -> Option<(Head, Vec<u8>, usize)> {
    let mut head = Head::default();
    let Ok(Parsed::Complete(mut used)) = head.parse(input) else {
        return None;
    };
    let (mut body, mut content) = (Body::new(head.body, 1 << 20).ok()?, Vec::new());
    while !body.is_done() {
        let take = |bytes: &[u8]| content.extend_from_slice(bytes);
        match body.take(&input[used..], 1 << 20, take) {
            Ok(0) | Err(_) => return None,
            Ok(length) => used += length,
        }
    }
    Some((head, content, used))
}

/// What an upstream gets of a head is one request with one stamp, in each protocol, and nothing in it passes
/// for something that the edge says.
pub fn forwarded(input: &[u8]) {
    let mut head = Head::default();
    let Ok(Parsed::Complete(_)) = head.parse(input) else {
        return;
    };
    let peer = ([192, 0, 2, 1], 4711).into();
    let connection = Connection::new(Default::default(), peer, 8000, "http");
    let id = *b"0123456789abcdef0123456789abcdef";
    let forwarded = Forwarded::new(&head, &connection, &id);
    let has_body = head.body != BodyLength::None;

    let mut out = Vec::new();
    let framing = has_body.then_some(BodyFraming::Length(0));
    forward::append_http_head(&mut out, &head, &forwarded, framing, head.upgrade);
    let reference::Reading::Message(message) = reference::read(&out) else {
        panic!("the reference does not understand what the edge wrote");
    };
    assert_eq!((message.used, message.minor), (out.len(), 1));
    assert_eq!(message.values(STAMP), [&id[..]]);
    assert_eq!(message.values("x-forwarded-for"), [b"192.0.2.1"]);
    let mut names: Vec<String> = Vec::new();
    for (name, _) in &message.fields {
        let variable = name.to_ascii_uppercase();
        assert!(
            variable
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "{name} becomes another name in some environment"
        );
        names.push(variable);
    }
    for (name, _) in forwarded.headers() {
        let same = names
            .iter()
            .filter(|other| other.eq_ignore_ascii_case(name));
        assert_eq!(same.count(), 1, "{name} comes from the edge alone");
    }

    let mut packet = Vec::new();
    let path = head.path();
    if uwsgi::append_request(&mut packet, &head, &connection, &forwarded, path, 0).is_ok() {
        no_name_twice(uwsgi_names(&packet));
    }
    let mut frame = Vec::new();
    let body = has_body.then_some(&b""[..]);
    if encode_environ(&mut frame, &head, &connection, &forwarded, path, body).is_ok() {
        no_name_twice(environ_names(&frame[HEADER..]));
    }
}

fn no_name_twice(mut names: Vec<Vec<u8>>) {
    assert!(names.contains(&b"HTTP_STEAD_REQUEST".to_vec()));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "a variable comes twice");
}

/// Every other of the strings with a length of two bytes.
fn uwsgi_names(packet: &[u8]) -> Vec<Vec<u8>> {
    let (mut names, mut rest) = (Vec::new(), &packet[4..]);
    while !rest.is_empty() {
        for is_name in [true, false] {
            let (length, after) = rest.split_at(2);
            let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
            let (text, after) = after.split_at(length);
            if is_name {
                names.push(text.to_vec());
            }
            rest = after;
        }
    }
    names
}

/// The keys of a marshalled dictionary of strings.
fn environ_names(frame: &[u8]) -> Vec<Vec<u8>> {
    let (mut names, mut rest) = (Vec::new(), &frame[1..]);
    assert_eq!((frame[0], frame.last()), (b'{', Some(&b'0')));
    let mut is_name = true;
    while rest.len() > 1 {
        let short = matches!(rest[0], b'z' | b'Z');
        let (start, length) = if short {
            (2, usize::from(rest[1]))
        } else {
            let bytes = rest[1..5].try_into().expect("four bytes");
            (5, u32::from_le_bytes(bytes) as usize)
        };
        let (text, after) = rest[start..].split_at(length);
        if is_name {
            names.push(text.to_vec());
        }
        (is_name, rest) = (!is_name, after);
    }
    names
}
