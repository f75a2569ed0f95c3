//! The cases of RFC 9113 and RFC 7541, one line each: what is sent, and what must come of it.

use super::client::{
    Client, END_HEADERS, END_STREAM, Event, PADDED, PREFACE, PRIORITY, block, data, frame, get,
    ping, post, request, reset, settings, window,
};
use crate::running::Running;

/// An app that answers when it has the whole body.
const APP: &str = r#"
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", str(len(body)))])
    return [b"answer"]
"#;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// GOAWAY with that code, and the end.
    Away(u32),
    /// The stream is reset with that code, and the connection goes on.
    Reset(u32, u32),
    /// The stream is answered with that status, and the connection goes on.
    Answer(u32, u16),
    /// Nothing, and the connection goes on.
    Alive,
}

use Want::{Alive, Answer, Away, Reset};

fn check(running: &Running, name: &str, bytes: &[u8], want: Want) {
    let mut client = Client::new(running);
    client.send(bytes);
    check_end(&mut client, name, want);
}

fn check_end(client: &mut Client, name: &str, want: Want) {
    if let Away(code) = want {
        let events = client.until(|event| matches!(event, Event::GoAway(..)));
        let away = events.last();
        assert!(
            matches!(away, Some(Event::GoAway(_, got)) if *got == code),
            "{name}: {events:?}"
        );
        let rest = client.until(|_| false);
        assert_eq!(rest, [Event::End], "{name}");
        return;
    }
    let mut events = Vec::new();
    let wanted = |event: &Event| match (want, event) {
        (Reset(stream, code), Event::Reset(of, got)) => (stream, code) == (*of, *got),
        (Answer(stream, status), Event::Head(of, fields, _)) => {
            stream == *of && fields[0].1 == status.to_string()
        }
        _ => false,
    };
    if want != Alive {
        events = client.until(wanted);
        assert!(wanted(events.last().unwrap()), "{name}: {events:?}");
    }
    client.send(&ping());
    let rest = client.until(|event| matches!(event, Event::Pong(_)));
    assert!(
        rest.last() != Some(&Event::End),
        "{name}: {events:?} {rest:?}"
    );
    // A body that nobody wants is no error.
    let bad = |event: &Event| matches!(event, Event::GoAway(..) | Event::Reset(_, 1..));
    if matches!(want, Alive | Answer(..)) {
        assert!(
            !events.iter().chain(&rest).any(bad),
            "{name}: {events:?} {rest:?}"
        );
    }
}

fn headers(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, payload)
}

fn whole(fields: &[u8]) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 1, fields)
}

fn open(fields: &[u8]) -> Vec<u8> {
    headers(END_HEADERS, 1, fields)
}

/// One frame after the other.
fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn frames_are_taken_and_refused_as_the_rfc_says() {
    let (running, _worker) = Running::app(APP, 8);
    let big = vec![b'x'; 16_384];
    let (half, rest) = (request("GET", &[]), block(&[("x", "y")]));
    let list: Vec<(&str, Vec<u8>, Want)> = vec![
        // Section 4: frames.
        ("an unknown type", frame(0x16, 0, 0, b"abc"), Alive),
        (
            "an unknown type of a stream",
            frame(0x99, 255, 7, b"abc"),
            Alive,
        ),
        (
            "unknown flags of a PING",
            frame(6, 0x16, 0, b"12345678"),
            Alive,
        ),
        (
            "the reserved bit of a stream",
            frame(6, 0, 0x8000_0000, b"12345678"),
            Alive,
        ),
        (
            "DATA of the largest size",
            all(&[post(1), data(1, END_STREAM, &big)]),
            Answer(1, 200),
        ),
        (
            "DATA that is too large",
            all(&[post(1), data(1, 0, &[0; 16_385])]),
            Away(FRAME_SIZE),
        ),
        (
            "HEADERS that are too large",
            whole(&[0; 16_385]),
            Away(FRAME_SIZE),
        ),
        (
            "an unknown type that is too large",
            frame(0x20, 0, 0, &[0; 20_000]),
            Away(FRAME_SIZE),
        ),
        // Section 4.3: header blocks.
        (
            "a block that cannot be read",
            whole(&[0x40]),
            Away(COMPRESSION),
        ),
        ("an index of nothing", whole(&[0x80]), Away(COMPRESSION)),
        (
            "an index beyond the tables",
            whole(&[0xff, 0x10]),
            Away(COMPRESSION),
        ),
        (
            "a table larger than allowed",
            whole(&[0x3f, 0xe2, 0x1f, 0x82]),
            Away(COMPRESSION),
        ),
        (
            "a table's size after a field",
            whole(&[0x82, 0x20]),
            Away(COMPRESSION),
        ),
        (
            "Huffman padding of zeros",
            whole(&[0, 0x81, 0, 0]),
            Away(COMPRESSION),
        ),
        (
            "Huffman padding of a byte",
            whole(&[0, 0x82, 0x1f, 0xff, 0]),
            Away(COMPRESSION),
        ),
        (
            "a Huffman end",
            whole(&[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0]),
            Away(COMPRESSION),
        ),
        (
            "trailers that cannot be read",
            all(&[post(1), headers(END_HEADERS | END_STREAM, 1, &[0x80])]),
            Away(COMPRESSION),
        ),
        (
            "PRIORITY within a block",
            all(&[headers(END_STREAM, 1, &half), frame(2, 0, 1, &[0; 5])]),
            Away(PROTOCOL),
        ),
        (
            "an unknown type within a block",
            all(&[headers(END_STREAM, 1, &half), frame(0x20, 0, 1, b"")]),
            Away(PROTOCOL),
        ),
        (
            "PING within a block",
            all(&[headers(END_STREAM, 1, &half), ping()]),
            Away(PROTOCOL),
        ),
        (
            "HEADERS of another stream within a block",
            all(&[headers(END_STREAM, 1, &half), get(3)]),
            Away(PROTOCOL),
        ),
        (
            "SETTINGS within a block",
            all(&[headers(END_STREAM, 1, &half), settings(&[])]),
            Away(PROTOCOL),
        ),
        // Section 5.1: states.
        (
            "DATA on an idle stream",
            data(1, END_STREAM, b"x"),
            Away(PROTOCOL),
        ),
        ("RST_STREAM on an idle stream", reset(1), Away(PROTOCOL)),
        (
            "WINDOW_UPDATE on an idle stream",
            window(1, 100),
            Away(PROTOCOL),
        ),
        (
            "CONTINUATION on an idle stream",
            frame(9, END_HEADERS, 1, &half),
            Away(PROTOCOL),
        ),
        (
            "PRIORITY on an idle stream",
            frame(2, 0, 5, &[0, 0, 0, 3, 1]),
            Alive,
        ),
        (
            "DATA on a half-closed stream",
            all(&[
                whole(&request("POST", &[("content-length", "0")])),
                data(1, 0, b"x"),
            ]),
            Reset(1, STREAM_CLOSED),
        ),
        (
            "HEADERS on a half-closed stream",
            all(&[get(1), headers(END_HEADERS | END_STREAM, 1, &rest)]),
            Reset(1, STREAM_CLOSED),
        ),
        (
            "CONTINUATION on a half-closed stream",
            all(&[get(1), frame(9, END_HEADERS, 1, &rest)]),
            Away(PROTOCOL),
        ),
        (
            "WINDOW_UPDATE on a half-closed stream",
            all(&[get(1), window(1, 2000)]),
            Answer(1, 200),
        ),
        (
            "PRIORITY on a half-closed stream",
            all(&[get(1), frame(2, 0, 1, &[0, 0, 0, 3, 1])]),
            Answer(1, 200),
        ),
        (
            "RST_STREAM on an open stream",
            all(&[post(1), reset(1)]),
            Alive,
        ),
        (
            "RST_STREAM twice",
            all(&[post(1), reset(1), reset(1)]),
            Alive,
        ),
        (
            "DATA after RST_STREAM",
            all(&[post(1), reset(1), data(1, END_STREAM, b"x")]),
            Reset(1, STREAM_CLOSED),
        ),
        (
            "HEADERS after RST_STREAM",
            all(&[
                post(1),
                reset(1),
                headers(END_HEADERS | END_STREAM, 1, &rest),
            ]),
            Away(STREAM_CLOSED),
        ),
        (
            "CONTINUATION after RST_STREAM",
            all(&[post(1), reset(1), frame(9, END_HEADERS, 1, &rest)]),
            Away(PROTOCOL),
        ),
        (
            "WINDOW_UPDATE after RST_STREAM",
            all(&[post(1), reset(1), window(1, 2000)]),
            Alive,
        ),
        (
            "PRIORITY after RST_STREAM",
            all(&[post(1), reset(1), frame(2, 0, 1, &[0, 0, 0, 3, 1])]),
            Alive,
        ),
        (
            "DATA after the edge's own reset",
            all(&[post(1), window(1, 0), data(1, 0, b"x")]),
            Reset(1, PROTOCOL),
        ),
        (
            "trailers after the edge's own reset",
            all(&[
                post(1),
                window(1, 0),
                headers(END_HEADERS | END_STREAM, 1, &rest),
            ]),
            Reset(1, PROTOCOL),
        ),
        // Section 5.1.1: numbers.
        ("an even stream", get(2), Away(PROTOCOL)),
        (
            "a stream with a lower number",
            all(&[get(5), get(3)]),
            Away(PROTOCOL),
        ),
        (
            "streams with gaps",
            all(&[get(7), get(101)]),
            Answer(101, 200),
        ),
        (
            "the last of all streams",
            get(0x7fff_ffff),
            Answer(0x7fff_ffff, 200),
        ),
        // Section 5.3: priorities are ignored, but for what cannot be.
        (
            "HEADERS that depend on themselves",
            headers(
                END_HEADERS | END_STREAM | PRIORITY,
                1,
                &[&[0, 0, 0, 1, 5][..], &half].concat(),
            ),
            Reset(1, PROTOCOL),
        ),
        (
            "PRIORITY that depends on itself",
            frame(2, 0, 1, &[0, 0, 0, 1, 5]),
            Reset(1, PROTOCOL),
        ),
        (
            "HEADERS with a priority",
            headers(
                END_HEADERS | END_STREAM | PRIORITY,
                1,
                &[&[0x80, 0, 0, 9, 5][..], &half].concat(),
            ),
            Answer(1, 200),
        ),
        // Section 6.1: DATA.
        ("DATA of no stream", data(0, 0, b"x"), Away(PROTOCOL)),
        (
            "DATA with padding",
            all(&[post(1), data(1, PADDED | END_STREAM, &[2, b'a', 0, 0])]),
            Answer(1, 200),
        ),
        (
            "DATA of nothing but padding",
            all(&[post(1), data(1, PADDED | END_STREAM, &[3, 0, 0, 0])]),
            Answer(1, 200),
        ),
        (
            "padding longer than DATA",
            all(&[post(1), data(1, PADDED, &[4, 0, 0, 0])]),
            Away(PROTOCOL),
        ),
        (
            "padding without its length",
            all(&[post(1), data(1, PADDED, &[])]),
            Away(PROTOCOL),
        ),
        (
            "an empty DATA",
            all(&[post(1), data(1, 0, b""), data(1, END_STREAM, b"")]),
            Answer(1, 200),
        ),
        // Section 6.2: HEADERS.
        (
            "HEADERS of no stream",
            headers(END_HEADERS | END_STREAM, 0, &half),
            Away(PROTOCOL),
        ),
        (
            "HEADERS with padding",
            headers(
                END_HEADERS | END_STREAM | PADDED,
                1,
                &[&[2][..], &half, &[0, 0]].concat(),
            ),
            Answer(1, 200),
        ),
        (
            "padding longer than HEADERS",
            headers(END_HEADERS | END_STREAM | PADDED, 1, &[9, 0, 0]),
            Away(PROTOCOL),
        ),
        (
            "HEADERS without their priority",
            headers(END_HEADERS | END_STREAM | PRIORITY, 1, &[0, 0, 0]),
            Away(FRAME_SIZE),
        ),
        (
            "padding that takes the priority",
            headers(
                END_HEADERS | END_STREAM | PADDED | PRIORITY,
                1,
                &[5, 0, 0, 0, 9, 1, 0],
            ),
            Away(FRAME_SIZE),
        ),
        // Section 6.3: PRIORITY.
        (
            "PRIORITY of no stream",
            frame(2, 0, 0, &[0, 0, 0, 3, 1]),
            Away(PROTOCOL),
        ),
        (
            "PRIORITY of four bytes",
            all(&[post(1), frame(2, 0, 1, &[0; 4])]),
            Reset(1, FRAME_SIZE),
        ),
        (
            "PRIORITY of six bytes",
            all(&[post(1), frame(2, 0, 1, &[0; 6])]),
            Reset(1, FRAME_SIZE),
        ),
        // Section 6.4: RST_STREAM.
        ("RST_STREAM of no stream", reset(0), Away(PROTOCOL)),
        (
            "RST_STREAM of three bytes",
            all(&[post(1), frame(3, 0, 1, &[0; 3])]),
            Away(FRAME_SIZE),
        ),
        (
            "RST_STREAM of five bytes",
            all(&[post(1), frame(3, 0, 1, &[0; 5])]),
            Away(FRAME_SIZE),
        ),
        // Section 6.5: SETTINGS.
        ("SETTINGS of a stream", frame(4, 0, 1, &[]), Away(PROTOCOL)),
        (
            "SETTINGS of five bytes",
            frame(4, 0, 0, &[0; 5]),
            Away(FRAME_SIZE),
        ),
        (
            "an ACK with settings",
            frame(4, 1, 0, &[0; 6]),
            Away(FRAME_SIZE),
        ),
        ("an ACK of a stream", frame(4, 1, 1, &[]), Away(PROTOCOL)),
        ("an ACK", frame(4, 1, 0, &[]), Alive),
        ("push switched on", settings(&[(2, 1)]), Alive),
        ("push of 2", settings(&[(2, 2)]), Away(PROTOCOL)),
        (
            "a window of 2^31",
            settings(&[(4, 0x8000_0000)]),
            Away(FLOW_CONTROL),
        ),
        ("a window of 2^31 - 1", settings(&[(4, 0x7fff_ffff)]), Alive),
        (
            "frames below 16 KB",
            settings(&[(5, 16_383)]),
            Away(PROTOCOL),
        ),
        (
            "frames of 16 MB",
            settings(&[(5, 0x0100_0000)]),
            Away(PROTOCOL),
        ),
        (
            "frames just below 16 MB",
            settings(&[(5, 0x00ff_ffff)]),
            Alive,
        ),
        ("a table of any size", settings(&[(1, 0)]), Alive),
        (
            "the extended CONNECT switched on",
            settings(&[(8, 1)]),
            Alive,
        ),
        (
            "the extended CONNECT of 2",
            settings(&[(8, 2)]),
            Away(PROTOCOL),
        ),
        ("an unknown setting", settings(&[(0xff, 7)]), Alive),
        ("a setting twice", settings(&[(4, 1), (4, 65_535)]), Alive),
        // Section 6.6: PUSH_PROMISE.
        (
            "PUSH_PROMISE",
            frame(5, END_HEADERS, 1, &[0, 0, 0, 2]),
            Away(PROTOCOL),
        ),
        (
            "PUSH_PROMISE on an open stream",
            all(&[post(1), frame(5, END_HEADERS, 1, &[0, 0, 0, 2])]),
            Away(PROTOCOL),
        ),
        // Section 6.7: PING.
        ("PING of a stream", frame(6, 0, 1, &[0; 8]), Away(PROTOCOL)),
        (
            "PING of six bytes",
            frame(6, 0, 0, &[0; 6]),
            Away(FRAME_SIZE),
        ),
        (
            "PING of nine bytes",
            frame(6, 0, 0, &[0; 9]),
            Away(FRAME_SIZE),
        ),
        ("an answer to no PING", frame(6, 1, 0, &[0; 8]), Alive),
        // Section 6.8: GOAWAY.
        (
            "GOAWAY of a stream",
            frame(7, 0, 1, &[0; 8]),
            Away(PROTOCOL),
        ),
        (
            "GOAWAY that is too short",
            frame(7, 0, 0, &[0; 7]),
            Away(FRAME_SIZE),
        ),
        (
            "GOAWAY while a stream is open",
            all(&[post(1), frame(7, 0, 0, &[0; 8]), data(1, 0, b"x")]),
            Alive,
        ),
        // Section 6.9: WINDOW_UPDATE.
        ("WINDOW_UPDATE of 0", window(0, 0), Away(PROTOCOL)),
        (
            "WINDOW_UPDATE of 0 on a stream",
            all(&[post(1), window(1, 0)]),
            Reset(1, PROTOCOL),
        ),
        (
            "WINDOW_UPDATE of three bytes",
            frame(8, 0, 0, &[0; 3]),
            Away(FRAME_SIZE),
        ),
        (
            "WINDOW_UPDATE of five bytes",
            frame(8, 0, 0, &[0; 5]),
            Away(FRAME_SIZE),
        ),
        (
            "a window beyond 2^31 - 1",
            all(&[window(0, 0x7fff_ffff)]),
            Away(FLOW_CONTROL),
        ),
        (
            "a stream's window beyond 2^31 - 1",
            all(&[post(1), window(1, 0x7fff_ffff)]),
            Reset(1, FLOW_CONTROL),
        ),
        (
            "a stream's window beyond it by SETTINGS",
            all(&[
                post(1),
                window(1, 0x7000_0000),
                settings(&[(4, 0x7fff_ffff)]),
            ]),
            Away(FLOW_CONTROL),
        ),
        (
            "the reserved bit of an increment",
            window(0, 0x8000_0800),
            Alive,
        ),
        // Section 6.10: CONTINUATION.
        (
            "two CONTINUATIONs",
            all(&[
                headers(END_STREAM, 1, &half),
                frame(9, 0, 1, &rest),
                frame(9, END_HEADERS, 1, &rest),
            ]),
            Answer(1, 200),
        ),
        (
            "CONTINUATION after the end of headers",
            all(&[get(1), frame(9, END_HEADERS, 1, &rest)]),
            Away(PROTOCOL),
        ),
        (
            "CONTINUATION after DATA",
            all(&[post(1), data(1, 0, b"x"), frame(9, END_HEADERS, 1, &rest)]),
            Away(PROTOCOL),
        ),
        (
            "CONTINUATION of no stream",
            all(&[
                headers(END_STREAM, 1, &half),
                frame(9, END_HEADERS, 0, &rest),
            ]),
            Away(PROTOCOL),
        ),
        (
            "CONTINUATION of another stream",
            all(&[
                headers(END_STREAM, 1, &half),
                frame(9, END_HEADERS, 3, &rest),
            ]),
            Away(PROTOCOL),
        ),
        (
            "a field in two frames",
            all(&[
                headers(END_STREAM, 1, &half[..20]),
                frame(9, END_HEADERS, 1, &half[20..]),
            ]),
            Answer(1, 200),
        ),
        (
            "more CONTINUATIONs than anybody needs",
            all(&[
                headers(END_STREAM, 1, &half),
                frame(9, 0, 1, &rest).repeat(9),
            ]),
            Away(CALM),
        ),
        (
            "a block beyond every limit",
            all(&[
                headers(END_STREAM, 1, &half),
                frame(9, 0, 1, &big).repeat(2),
            ]),
            Away(CALM),
        ),
    ];
    let count = list.len();
    for (name, bytes, want) in list {
        check(&running, name, &bytes, want);
    }
    assert!(count > 100, "{count}");
}

#[test]
fn requests_are_taken_and_refused_as_the_rfc_says() {
    let (running, _worker) = Running::app(APP, 8);
    let with = |more: &[(&str, &str)]| request("GET", more);
    let long = "x".repeat(10_000);
    let bomb = [
        &[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..],
        &[b'v'; 4000],
        &vec![0xbe; 10_000],
    ]
    .concat();
    let list: Vec<(&str, Vec<u8>, Want)> = vec![
        ("a GET", get(1), Answer(1, 200)),
        ("a HEAD", whole(&request("HEAD", &[])), Answer(1, 200)),
        (
            "a body of no length",
            all(&[post(1), data(1, 0, b"ab"), data(1, END_STREAM, b"c")]),
            Answer(1, 200),
        ),
        (
            "trailers",
            all(&[
                post(1),
                data(1, 0, b"ab"),
                headers(END_HEADERS | END_STREAM, 1, &block(&[("x", "y")])),
            ]),
            Answer(1, 200),
        ),
        (
            "trailers in two frames",
            all(&[
                post(1),
                headers(END_STREAM, 1, &block(&[("x", "y")])),
                frame(9, END_HEADERS, 1, &block(&[("z", "y")])),
            ]),
            Answer(1, 200),
        ),
        (
            "trailers that do not end the stream",
            all(&[post(1), headers(END_HEADERS, 1, &block(&[("x", "y")]))]),
            Reset(1, PROTOCOL),
        ),
        (
            "a pseudo-header in trailers",
            all(&[
                post(1),
                headers(END_HEADERS | END_STREAM, 1, &block(&[(":path", "/")])),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "an upper-case name in trailers",
            all(&[
                post(1),
                headers(END_HEADERS | END_STREAM, 1, &block(&[("X", "/")])),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "a length that is kept",
            all(&[
                open(&request("POST", &[("content-length", "3")])),
                data(1, 0, b"ab"),
                data(1, END_STREAM, b"c"),
            ]),
            Answer(1, 200),
        ),
        (
            "more than the length",
            all(&[
                open(&request("POST", &[("content-length", "3")])),
                data(1, END_STREAM, b"abcd"),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "less than the length",
            all(&[
                open(&request("POST", &[("content-length", "3")])),
                data(1, END_STREAM, b"ab"),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "less than the length, in pieces",
            all(&[
                open(&request("POST", &[("content-length", "3")])),
                data(1, 0, b"a"),
                data(1, END_STREAM, b"b"),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "less than the length, by trailers",
            all(&[
                open(&request("POST", &[("content-length", "3")])),
                headers(END_HEADERS | END_STREAM, 1, &block(&[("x", "y")])),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "a length without a body",
            whole(&request("POST", &[("content-length", "3")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a body of length 0 that is not",
            all(&[
                open(&request("POST", &[("content-length", "0")])),
                data(1, END_STREAM, b"x"),
            ]),
            Reset(1, PROTOCOL),
        ),
        (
            "padding is no body",
            all(&[
                open(&request("POST", &[("content-length", "1")])),
                data(1, PADDED | END_STREAM, &[2, b'x', 0, 0]),
            ]),
            Answer(1, 200),
        ),
        (
            "two lengths",
            open(&request(
                "POST",
                &[("content-length", "3"), ("content-length", "3")],
            )),
            Answer(1, 400),
        ),
        (
            "an upper-case name",
            whole(&with(&[("X-Y", "z")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a response's pseudo-header",
            whole(&with(&[(":status", "200")])),
            Reset(1, PROTOCOL),
        ),
        (
            "an unknown pseudo-header",
            whole(&with(&[(":test", "x")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a pseudo-header after a header",
            whole(&block(&[
                ("x", "y"),
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
            ])),
            Reset(1, PROTOCOL),
        ),
        (
            "a pseudo-header twice",
            whole(&with(&[(":path", "/")])),
            Reset(1, PROTOCOL),
        ),
        (
            "no :method",
            whole(&block(&[(":scheme", "http"), (":path", "/")])),
            Reset(1, PROTOCOL),
        ),
        (
            "no :scheme",
            whole(&block(&[(":method", "GET"), (":path", "/")])),
            Reset(1, PROTOCOL),
        ),
        (
            "no :path",
            whole(&block(&[(":method", "GET"), (":scheme", "http")])),
            Reset(1, PROTOCOL),
        ),
        (
            "an empty :path",
            whole(&block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", ""),
            ])),
            Reset(1, PROTOCOL),
        ),
        ("nothing at all", whole(&[]), Reset(1, PROTOCOL)),
        (
            "a Connection header",
            whole(&with(&[("connection", "keep-alive")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a transfer coding",
            open(&with(&[("transfer-encoding", "chunked")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a TE of more than trailers",
            whole(&with(&[("te", "trailers, deflate")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a TE of trailers",
            whole(&with(&[("te", "trailers")])),
            Answer(1, 200),
        ),
        (
            "another Host than :authority",
            whole(&with(&[("host", "other")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a Host without :authority",
            whole(&block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                ("host", "localhost"),
            ])),
            Answer(1, 200),
        ),
        (
            "neither Host nor :authority",
            whole(&block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
            ])),
            Answer(1, 400),
        ),
        (
            "a line end in a value",
            whole(&with(&[("x", "a\r\nhost: b")])),
            Reset(1, PROTOCOL),
        ),
        (
            "a dot segment",
            whole(&block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/../x"),
                (":authority", "a"),
            ])),
            Answer(1, 400),
        ),
        (
            "an encoded NUL",
            whole(&block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/%00"),
                (":authority", "a"),
            ])),
            Answer(1, 400),
        ),
        (
            "CONNECT",
            whole(&block(&[(":method", "CONNECT"), (":authority", "a:443")])),
            Answer(1, 405),
        ),
        (
            "a WebSocket to an app that has none",
            open(&block(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "a"),
            ])),
            Answer(1, 501),
        ),
        (
            "four long headers",
            all(&[
                headers(END_STREAM, 1, &with(&[("x", &long)])),
                frame(9, 0, 1, &block(&[("x", &long)])),
                frame(9, END_HEADERS, 1, &block(&[("y", &long[..9_000])])),
            ]),
            Answer(1, 200),
        ),
        (
            "a list that unpacks to 40 MB",
            whole(&[request("GET", &[]), bomb].concat()),
            Answer(1, 431),
        ),
        (
            "101 headers",
            whole(&with(&[("x", "y"); 101])),
            Answer(1, 431),
        ),
        (
            "an unknown expectation",
            whole(&with(&[("expect", "x")])),
            Answer(1, 417),
        ),
    ];
    for (name, bytes, want) in list {
        check(&running, name, &bytes, want);
    }
}

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    let (running, _worker) = Running::app(APP, 2);
    for (name, first) in [
        ("PING", ping()),
        ("HEADERS", get(1)),
        ("an ACK", frame(4, 1, 0, &[])),
        ("an unknown type", frame(0x20, 0, 0, b"")),
    ] {
        let mut client = Client::silent(&running);
        client.send(&[PREFACE, &first].concat());
        check_end(&mut client, name, Away(PROTOCOL));
    }
    // What is no preface is no HTTP/1.1 either.
    let mut client = running.visit();
    client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert_eq!(client.answer(false).status, 505);
    // Byte by byte it is the same.
    let mut client = Client::silent(&running);
    for byte in [PREFACE, &settings(&[]), &get(1)].concat() {
        client.send(&[byte]);
    }
    check_end(&mut client, "byte by byte", Answer(1, 200));
}

#[test]
fn streams_beyond_the_limit_are_refused_and_the_others_answered() {
    let (running, _worker) = Running::app(APP, 8);
    let mut client = Client::new(&running);
    let streams: Vec<u8> = (0..129).flat_map(|at| post(2 * at + 1)).collect();
    client.send(&streams);
    check_end(&mut client, "one too many", Reset(257, REFUSED_STREAM));
    client.send(&data(1, END_STREAM, b"x"));
    check_end(&mut client, "the first", Answer(1, 200));
    client.send(&get(259));
    check_end(&mut client, "one more", Answer(259, 200));
}
