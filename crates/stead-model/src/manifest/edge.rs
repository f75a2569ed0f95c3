//! `[edge]`: how visitors come in.

use super::section::Section;
use super::{Edge, VisitorHeader, values};

/// Headers that may name the visitor.
const HEADERS: [(&str, VisitorHeader); 3] = [
    ("X-Forwarded-For", VisitorHeader::XForwardedFor),
    ("Forwarded", VisitorHeader::Forwarded),
    ("X-Real-IP", VisitorHeader::XRealIp),
];

pub(super) fn read(section: &Section<'_>) -> Edge {
    let trusted = section.strings("trusted", values::networks);
    for (key, what) in [
        ("proxy-protocol", "its header is"),
        ("visitor-header", "it is"),
    ] {
        if section.has(key) && !section.has_or_means("trusted") {
            section.conflict(
                key,
                format!("{what} read from `trusted` peers alone, and there are none"),
                "for example: trusted = [\"10.0.0.0/8\"]".to_owned(),
            );
        }
    }
    Edge {
        trusted: trusted.into_iter().flatten().collect(),
        visitor_header: section.string("visitor-header", |text| {
            let same = HEADERS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text));
            match same {
                Some((_, header)) => Ok(*header),
                None => values::one_of(text, &HEADERS),
            }
        }),
        proxy_protocol: section.boolean("proxy-protocol").unwrap_or(false),
        header_timeout: section.duration("header-timeout", "100ms", "1h"),
        idle_timeout: section.duration("idle-timeout", "100ms", "1d"),
        stall_timeout: section.duration("stall-timeout", "100ms", "1h"),
        connections: section.number("connections", 1, 1_000_000),
    }
}
