//! Doors for the fuzz targets in `fuzz/`; nobody else's business.
#![allow(missing_docs, clippy::expect_used)]

use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use stead_model::routing::{Route, RoutingTable, Target};

use crate::body::Body;
use crate::chunked::{Decoder as ChunkDecoder, Step};
use crate::exchange::{Decoder, HttpDecoder};
use crate::folder::{Encoding, Ranges, Validators, Verdict, choose, judge, parse_range};
use crate::head::{BodyLength, Head, Parsed};
use crate::page::{self, Reason};
use crate::response::{Response, Shape};
use crate::router::{LONGEST_HOST, Router, clean_host};
use crate::upstream::Unread;
use crate::visitor::Output;
use crate::{date, path};

mod control;
mod lists;
mod messages;
mod negotiation;
pub mod reference;
mod session;
mod visitors;

pub use control::control_lines;
pub use messages::{forwarded, message_length};
pub use session::http2_session;
pub use visitors::{forwarding_headers, proxy_header};

/// A target that is accepted decodes to a path without a way up.
pub fn request_path(target: &[u8]) {
    let Ok(parts) = path::split(target) else {
        return;
    };
    let Ok(clean) = path::clean(parts.path) else {
        return;
    };
    assert_eq!(clean.bytes.first(), Some(&b'/'));
    assert!(!clean.bytes.contains(&0));
    let segments: Vec<&[u8]> = clean.bytes[1..].split(|&byte| byte == b'/').collect();
    for (index, segment) in segments.iter().enumerate() {
        assert!(!matches!(*segment, b"." | b".."));
        assert!(!segment.is_empty() || index == segments.len() - 1);
    }
    // What a redirect says of it leads to the same path, on the same host.
    let mut location = String::new();
    path::encode(&clean.bytes, &mut location);
    assert!(!location.starts_with("//") && location.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(path::clean(location.as_bytes()).is_ok_and(|again| again.bytes == clean.bytes));
}

/// Parts lie within the file, and together they are no more than it.
pub fn range_header(size: u64, value: &[u8]) {
    if let Ranges::Parts(parts) = parse_range(value, size) {
        assert!(!parts.is_empty());
        let mut total = 0_u64;
        for part in parts {
            assert!(part.length > 0);
            assert!(
                part.offset
                    .checked_add(part.length)
                    .is_some_and(|end| end <= size)
            );
            total = total.saturating_add(part.length);
        }
        assert!(total <= size);
    }
}

/// A date that is read is written and read again as the same.
pub fn http_date(now: i64, text: &[u8]) {
    if let Some(at) = date::parse(text, now) {
        assert_eq!(date::parse(&date::format(at), now), Some(at));
    }
}

/// A host that is accepted is clean already, and the router does not stumble over it.
pub fn router_host(router: &FuzzRouter, host: &[u8], path: &[u8]) {
    let mut buffer = [0; LONGEST_HOST];
    let mut again = [0; LONGEST_HOST];
    let clean = clean_host(host, &mut buffer);
    if let Some(clean) = clean {
        assert_eq!(clean_host(clean, &mut again), Some(clean));
    } else {
        assert!(router.0.find(host, path).is_none());
    }
    if let Some(entry) = router.0.find(host, path) {
        assert!(entry.prefix_length <= path.len());
    }
}

/// Lists of entity tags, of codings and of media types, each on a line of its own: no panic, and what is
/// chosen is there.
pub fn preconditions(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || lines.next();
    let validators = Validators {
        etag: "\"a-1\"",
        modified: 1_700_000_000,
        now: 1_750_000_000,
    };
    let [matching, none, modified, unmodified] = [line(), line(), line(), line()];
    let verdict = judge(validators, &|name| match name {
        "if-match" => matching,
        "if-none-match" => none,
        "if-modified-since" => modified,
        _ => unmodified,
    });
    assert!(verdict != Verdict::Failed || matching.is_some() || unmodified.is_some());
    assert!(verdict != Verdict::NotModified || none.is_some() || modified.is_some());
    let accept = line();
    let there = [Encoding::Gzip];
    let chosen = choose(accept, there.into_iter());
    assert!(chosen.is_none_or(|chosen| chosen == Encoding::Gzip && accept.is_some()));
    let page = page::page(404, Reason::General, line(), "id");
    assert!(!page.body.is_empty());
}

/// A head that is accepted says the same to a parser that knows nothing of the edge's rules, and it is
/// the same head in whatever pieces it comes.
pub fn request_head(input: &[u8]) {
    let mut head = Head::default();
    let parsed = head.parse(input);
    let Ok(Parsed::Complete(used)) = parsed else {
        return;
    };
    assert!(used <= input.len());
    assert!(head.path().starts_with(b"/") || head.path() == b"*");
    assert!(head.query().is_none_or(|query| !query.contains(&b' ')));
    // No shorter input is a head, and none is refused that becomes one.
    for end in [used / 2, used - 1] {
        assert_eq!(Head::default().parse(&input[..end]), Ok(Parsed::Partial));
    }
    let mut text = [head.method(), b" ", head.target(), b" HTTP/1."].concat();
    text.extend_from_slice(if head.http11 { b"1\r\n" } else { b"0\r\n" });
    for (name, value) in head.headers() {
        text.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(
        request.parse(&text),
        Ok(httparse::Status::Complete(text.len()))
    );
    let named = |name: &str| -> Vec<&[u8]> {
        let same = request.headers.iter().filter(|header| {
            let dashes = header.name.replace(['_', '.'], "-");
            dashes.eq_ignore_ascii_case(name)
        });
        same.map(|header| header.value).collect()
    };
    let lengths = named("content-length");
    let codings = named("transfer-encoding");
    match head.body {
        BodyLength::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1 && head.http11);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
        BodyLength::Fixed(length) => {
            assert!(codings.is_empty() && length > 0);
            let text = std::str::from_utf8(lengths[0]).map(str::parse);
            assert!(lengths.len() == 1 && text == Ok(Ok(length)));
        }
        BodyLength::Open => panic!("HTTP/1.1 has no streams"),
        BodyLength::None => {
            assert!(codings.is_empty() && lengths.len() <= 1);
            assert!(
                lengths
                    .iter()
                    .flat_map(|value| *value)
                    .all(|byte| *byte == b'0')
            );
        }
    }
    assert!(named("host").len() <= 1 && (!named("host").is_empty() || !head.http11));
}

/// A chunked body is the same in pieces as it is whole, and no byte after its end is used.
pub fn chunked_body(input: &[u8], pieces: &[u8]) {
    let whole = decode_chunks(input, &mut std::iter::repeat(input.len()));
    let mut sizes = pieces.iter().map(|size| usize::from(*size) + 1);
    let mut sizes = std::iter::from_fn(move || Some(sizes.next().unwrap_or(7)));
    let split = decode_chunks(input, &mut sizes);
    assert_eq!(whole, split);
    if let Some((content, used)) = whole {
        assert!(used <= input.len() && content.len() < used);
        // Through the body of a request, which has a limit, the same comes out.
        for (limit, expected) in [
            (content.len(), true),
            (content.len().wrapping_sub(1), false),
        ] {
            let Ok(mut body) = Body::new(BodyLength::Chunked, limit as u64) else {
                continue;
            };
            let (mut out, mut rest) = (Vec::new(), input);
            let fits = loop {
                match body.take(rest, 100, |bytes| out.extend_from_slice(bytes)) {
                    Err(_) => break false,
                    Ok(_) if body.is_done() => break true,
                    Ok(0) => break false,
                    Ok(used) => rest = &rest[used..],
                }
            };
            assert_eq!(fits, expected || content.is_empty());
            assert!(!fits || out == content);
        }
    }
}

/// Content and bytes used; `None` when it is malformed or not complete.
fn decode_chunks(input: &[u8], sizes: &mut dyn Iterator<Item = usize>) -> Option<(Vec<u8>, usize)> {
    let mut decoder = ChunkDecoder::default();
    let (mut content, mut used, mut seen) = (Vec::new(), 0, 0);
    loop {
        match decoder.step(&input[used..seen]).ok()? {
            Step::Skip(length) => used += length,
            Step::Data(length) => {
                content.extend_from_slice(&input[used..used + length]);
                used += length;
            }
            Step::Done => return Some((content, used)),
            Step::More if seen == input.len() => return None,
            Step::More => seen = (seen + sizes.next()?.max(1)).min(input.len()),
        }
        assert!(used <= seen);
    }
}

/// Frames of a worker, however they come: no panic, and the same outcome.
pub fn worker_frames(input: &[u8], pieces: &[u8]) {
    let decoder = || Decoder::frames();
    responses(decoder, input, pieces);
}

/// A response of an HTTP server, however it comes: no panic, and the same outcome.
pub fn http_response(input: &[u8], pieces: &[u8], is_head: bool) {
    let decoder = || Decoder::Http(HttpDecoder::new(is_head, false));
    responses(decoder, input, pieces);
}

fn responses(decoder: impl Fn() -> Decoder, input: &[u8], pieces: &[u8]) {
    let whole = decode_response(decoder(), input, &mut std::iter::repeat(input.len()));
    let sizes = pieces.iter().map(|size| usize::from(*size) + 1);
    let split = decode_response(decoder(), input, &mut sizes.chain(std::iter::repeat(11)));
    assert_eq!(whole, split);
}

/// Whether it was complete, its status, its length.
fn decode_response(
    mut decoder: Decoder,
    input: &[u8],
    sizes: &mut dyn Iterator<Item = usize>,
) -> (bool, u16, u64) {
    let draining = AtomicBool::new(false);
    let mut response = Response::new(Shape {
        is_head: false,
        http2: false,
        tunnel: false,
        http11: true,
        keep_alive: true,
        draining: &draining,
    });
    let (mut received, mut output) = (Unread::default(), Output::default());
    let mut rest = input;
    loop {
        let Some(room) = received.bytes.room(1 << 25) else {
            return (false, 0, 0);
        };
        let length = sizes.next().unwrap_or(1).min(rest.len()).min(room.len());
        room[..length].copy_from_slice(&rest[..length]);
        rest = &rest[length..];
        received.bytes.filled(length);
        let step = decoder.decode_whole(&mut received, length == 0, &mut response, &mut output);
        match step {
            Ok(true) => return (true, response.status, response.length),
            Ok(false) if length == 0 => return (false, 0, 0),
            Ok(false) => {}
            Err(_) => return (false, 0, 0),
        }
    }
}

/// For what runs as the edge's own threads do.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

static ROUTER: LazyLock<FuzzRouter> = LazyLock::new(FuzzRouter::new);

/// Carry out one input of the target of that name, as a seed file holds it. Where a target takes
/// pieces, the first byte says how many sizes of them follow, one byte each; where it takes a number, that is
/// the first eight bytes, the least significant first.
pub fn replay(target: &str, input: &[u8]) {
    match target {
        "request_head" => return request_head(input),
        "message_length" => return message_length(input),
        "forwarded" => return forwarded(input),
        "forwarding_headers" => return forwarding_headers(input),
        "proxy_header" => return proxy_header(input),
        "header_list" => return lists::header_list(input),
        "accept_encoding" => return negotiation::accept_encoding(input),
        "authorization" => return negotiation::authorization(input),
        "request_path" => return request_path(input),
        "preconditions" => return preconditions(input),
        "router_host" => {
            let mut parts = input.splitn(2, |byte| *byte == b'\n');
            let (host, path) = (parts.next(), parts.next());
            return router_host(&ROUTER, host.unwrap_or(b""), path.unwrap_or(b""));
        }
        "range_header" | "http_date" => {
            let Some((number, text)) = input.split_first_chunk() else {
                return;
            };
            return if target == "http_date" {
                http_date(i64::from_le_bytes(*number), text)
            } else {
                range_header(u64::from_le_bytes(*number), text)
            };
        }
        _ => {}
    }
    let Some((&count, rest)) = input.split_first() else {
        return;
    };
    let (pieces, text) = rest.split_at(usize::from(count & 0x3f).min(rest.len()));
    match target {
        "chunked_body" => chunked_body(text, pieces),
        "worker_frames" => worker_frames(text, pieces),
        "http_response" => http_response(text, pieces, count & 0x80 != 0),
        "http2_session" => http2_session(text, pieces, count & 0x80 != 0),
        "control_lines" => control_lines(text, pieces),
        _ => panic!("there is no such target"),
    }
}

/// A router with every kind of host and path.
pub struct FuzzRouter(Router);

impl FuzzRouter {
    /// # Panics
    /// Never: the table is valid.
    #[allow(clippy::new_without_default, clippy::expect_used)]
    pub fn new() -> FuzzRouter {
        let route = |host: &str, path: String| Route {
            hosts: if host.is_empty() {
                Vec::new()
            } else {
                vec![host.to_owned()]
            },
            path,
            target: Target::Redirect {
                host: "elsewhere.example".into(),
                status: 308,
            },
            body_limit: 0,
            timeouts: stead_model::routing::RouteTimeouts::default(),
            rules: None,
            limit: None,
            tls: None,
        };
        let mut routes: Vec<Route> = ["", "a.test", "*.test", "*.a.test", "[::1]", "127.0.0.1"]
            .iter()
            .flat_map(|host| [route(host, "/a".into()), route(host, "/a/b".into())])
            .collect();
        routes.extend((0..20).map(|number| route("many.test", format!("/{number}/a"))));
        let table = RoutingTable {
            routes,
            ..RoutingTable::default()
        };
        FuzzRouter(Router::new(&table).expect("the table is valid"))
    }
}

#[cfg(test)]
mod tests;
