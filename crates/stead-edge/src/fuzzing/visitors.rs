//! What is claimed of proxies' words.

use std::sync::Arc;

use stead_model::manifest::{Edge, VisitorHeader};

use super::reference::{self, Reading};
use crate::Settings;
use crate::entrance::{Entrance, proxy};
use crate::forward::{self, Forwarded, STAMP, believed};
use crate::frames::Connection;
use crate::head::{Head, Parsed};

/// A PROXY protocol header is the same in whatever pieces it comes, and of what follows it nothing is used.
pub fn proxy_header(input: &[u8]) {
    let whole = proxy::parse(input);
    for end in 0..input.len().min(3000) {
        match (proxy::parse(&input[..end]), whole) {
            // A part that waits for more may turn out to be anything.
            (Ok(proxy::Parsed::Partial), _) => {}
            (part, whole) => assert_eq!(part, whole),
        }
    }
    if let Ok(proxy::Parsed::Complete(used, source)) = whole {
        assert!(used <= input.len());
        assert_eq!(proxy::parse(&input[..used]), whole);
        assert_eq!(proxy::parse(&input[..used - 1]), Ok(proxy::Parsed::Partial));
        let after = [&input[..used], b"PROXY UNKNOWN\r\n"].concat();
        assert_eq!(proxy::parse(&after), whole);
        if let Some(source) = source
            && !input.starts_with(b"\r\n")
        {
            assert_eq!(read_text(&input[..used]), Some(source));
        }
    }
}

/// Version 1, read in another way.
fn read_text(line: &[u8]) -> Option<proxy::Source> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, _, source, _, from, to] = words[..] else {
        return None;
    };
    Some(proxy::Source {
        peer: (source.parse::<std::net::IpAddr>().ok()?, from.parse().ok()?).into(),
        local_port: to.parse().ok()?,
        tls: false,
    })
}

/// What a trusted proxy says, after a digit that says which header is believed, never stops the edge; and what the edge
/// says then is one message, in which everything about the visitor comes once and nothing is what the proxy wrote there.
pub fn forwarding_headers(input: &[u8]) {
    let Some((which, lines)) = input.split_first() else {
        return;
    };
    let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    text.extend_from_slice(lines);
    text.extend_from_slice(b"\r\n");
    let mut head = Head::default();
    if !matches!(head.parse(&text), Ok(Parsed::Complete(_))) {
        return;
    }
    let edge = Edge {
        trusted: ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect(),
        visitor_header: match which {
            b'1' => Some(VisitorHeader::XForwardedFor),
            b'2' => Some(VisitorHeader::Forwarded),
            b'3' => Some(VisitorHeader::XRealIp),
            _ => None,
        },
        ..Edge::default()
    };
    let entrance = Arc::new(Entrance::new(&Settings::default(), &edge));
    let direct = Connection::new(entrance, ([10, 0, 0, 1], 1).into(), 80, "http");
    let told = believed::connection(&direct, &head);
    assert_eq!(told.remote.parse(), Ok(told.address));
    assert!(told.local_port.parse::<u16>().is_ok_and(|port| port > 0));

    let id = *b"0123456789abcdef0123456789abcdef";
    let mut out = Vec::new();
    forward::append_http_head(
        &mut out,
        &head,
        &Forwarded::new(&head, &told, &id),
        None,
        false,
    );
    let Reading::Message(message) = reference::read(&out) else {
        panic!("the reference does not understand what the edge wrote");
    };
    assert_eq!(message.used, out.len());
    assert_eq!(message.values(STAMP), [&id[..]]);
    assert_eq!(message.values("x-forwarded-for"), [told.remote.as_bytes()]);
    for name in [
        "forwarded",
        "x-real-ip",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-request-id",
    ] {
        assert_eq!(message.values(name).len(), 1, "{name}");
    }
    // What the edge wrote, an edge behind it that trusts this one reads as the same visitor.
    let mut again = Head::default();
    assert!(matches!(again.parse(&out), Ok(Parsed::Complete(_))));
    if !direct.entrance.trusts(told.address) {
        let mut edge = edge;
        for header in [
            VisitorHeader::XForwardedFor,
            VisitorHeader::Forwarded,
            VisitorHeader::XRealIp,
        ] {
            edge.visitor_header = Some(header);
            let entrance = Arc::new(Entrance::new(&Settings::default(), &edge));
            let second = Connection::new(entrance, ([10, 0, 0, 2], 1).into(), 80, "http");
            let second = believed::connection(&second, &again);
            assert_eq!(second.address, told.address, "{header:?}");
            assert_eq!(second.scheme, told.scheme, "{header:?}");
        }
    }
}
