//! Which of a request's headers an upstream gets to see, and what the edge adds.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::frames::Connection;
use crate::head::Head;
use crate::response::{is_named, names_any};
use crate::rules::Rules;

pub(crate) mod believed;

/// A request id: 16 bytes of lower-case hexadecimal.
pub(crate) type RequestId = [u8; 32];

/// The header that every forwarded request has exactly once and no visitor can set: no other request has
/// its value. A request that reaches an upstream without it, or with one that was there
/// before, did not go through the edge as a request of its own.
pub(crate) const STAMP: &str = "Stead-Request";

/// What a visitor's certificate says, where one is asked for. No visitor can set these.
const CLIENT: [&str; 2] = ["Stead-Client-Subject", "Stead-Client-Fingerprint"];

/// What the edge says of a visitor, in the headers that upstreams read. What a visitor sent under
/// these names, or under names that become the same in a CGI environment, is dropped.
#[derive(Debug)]
pub(crate) struct Forwarded<'a> {
    connection: &'a Connection,
    host: &'a [u8],
    port: &'a [u8],
    id: &'a [u8],
    stamp: &'a RequestId,
    /// When a `Connection` header names headers: where to look.
    named: Option<&'a Head>,
    /// What the route changes.
    ruled: Option<&'a Ruled>,
}

/// What a route's rules make of one request.
#[derive(Debug)]
pub(crate) struct Ruled {
    pub(crate) rules: Arc<Rules>,
    /// The path that the app gets in place of the visitor's, encoded, and the prefix that it must put before its
    /// own links.
    pub(crate) rewritten: Option<Rewritten>,
    /// The name of a visitor who proved who it is.
    pub(crate) user: Option<Vec<u8>>,
}

impl Ruled {
    /// The password of a visitor is the edge's affair, unless the route says otherwise.
    fn passes(&self, name: &[u8]) -> bool {
        let keeps = self.user.is_some() && !self.rules.pass_authorization;
        let is_password = keeps && name.eq_ignore_ascii_case(b"authorization");
        !is_password && self.rules.request.keeps(name)
    }
}

/// See [`Ruled::rewritten`].
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) path: Vec<u8>,
    /// Decoded; empty when the app's paths have nothing to do with the visitor's.
    pub(crate) prefix: Vec<u8>,
}

impl<'a> Forwarded<'a> {
    pub(crate) fn new(head: &'a Head, connection: &'a Connection, id: &'a RequestId) -> Self {
        let names_any = head
            .headers()
            .any(|(name, value)| name.eq_ignore_ascii_case(b"connection") && names_any(value));
        let named = names_any.then_some(head);
        let told = connection.told.as_deref();
        let told_host = told.and_then(|told| told.host.as_deref());
        let host = told_host.unwrap_or(head.host());
        let told_port = told.and_then(|told| told.port.as_deref());
        let port = match memchr::memrchr(b':', host) {
            _ if told_port.is_some() => told_port.unwrap_or_default().as_bytes(),
            Some(at) if at + 1 < host.len() && !host[at..].contains(&b']') => &host[at + 1..],
            _ => connection.local_port.as_bytes(),
        };
        let told_id = told.and_then(|told| told.id.as_deref());
        Self {
            connection,
            host,
            port,
            id: told_id.map_or(id, str::as_bytes),
            stamp: id,
            named,
            ruled: None,
        }
    }

    /// With what the route changes.
    pub(crate) fn with(self, ruled: Option<&'a Ruled>) -> Self {
        Self { ruled, ..self }
    }

    /// Headers that the edge sets on some routes only.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let prefix = Some(self.prefix()).filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map(|prefix| (&b"X-Forwarded-Prefix"[..], prefix));
        let user = self.user().map(|user| (&b"X-Forwarded-User"[..], user));
        let ruled = self.ruled.into_iter();
        let set = ruled.flat_map(|ruled| ruled.rules.request.set());
        prefix
            .into_iter()
            .chain(user)
            .chain(self.client())
            .chain(set)
    }

    /// The name of a visitor who proved who it is: `REMOTE_USER`.
    pub(crate) fn user(&self) -> Option<&[u8]> {
        self.ruled?.user.as_deref()
    }

    /// What the visitor's certificate says.
    fn client(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let facts = self.connection.tls.as_deref();
        let client = facts.and_then(|facts| facts.client.as_deref());
        let values = client.map(|client| [client.subject.as_str(), &client.fingerprint]);
        let names = CLIENT.into_iter().map(str::as_bytes);
        names.zip(values.into_iter().flatten().map(str::as_bytes))
    }

    /// The path that the app gets, if it is not the visitor's: encoded.
    pub(crate) fn path(&self) -> Option<&[u8]> {
        Some(&self.ruled?.rewritten.as_ref()?.path)
    }

    /// What was taken off the visitor's path, decoded: `SCRIPT_NAME`.
    pub(crate) fn prefix(&self) -> &[u8] {
        let rewritten = self.ruled.and_then(|ruled| ruled.rewritten.as_ref());
        rewritten.map_or(b"", |rewritten| &rewritten.prefix)
    }

    /// The headers that the edge sets. A visitor of HTTP/1.0 may have named no host, and then nothing is said of it.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let headers: [(&'static str, &[u8]); 8] = [
            ("Forwarded", &self.connection.element),
            ("X-Forwarded-For", self.connection.remote.as_bytes()),
            ("X-Real-IP", self.connection.remote.as_bytes()),
            ("X-Forwarded-Proto", self.connection.scheme.as_bytes()),
            ("X-Forwarded-Host", self.host),
            ("X-Forwarded-Port", self.port),
            ("X-Request-ID", self.id),
            (STAMP, self.stamp),
        ];
        headers.into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// A header of the visitor's that the upstream gets.
    pub(crate) fn passes(&self, name: &[u8]) -> bool {
        !is_own(name)
            && self.named.is_none_or(|head| !is_hop(name, head))
            && self.ruled.is_none_or(|ruled| ruled.passes(name))
    }
}

/// Named by `Connection`, so meant for the edge alone. What the message needs to be understood cannot
/// be taken away like this.
fn is_hop(name: &[u8], head: &Head) -> bool {
    let kept = [
        &b"host"[..],
        b"content-length",
        b"content-type",
        b"authorization",
        b"cookie",
    ];
    is_named(name, head.headers()) && !kept.iter().any(|kept| name.eq_ignore_ascii_case(kept))
}

/// Hop-by-hop headers, what the edge sets itself, `Proxy` (CVE-2016-5385), and every name with a
/// character that some server turns into the same as a hyphen in a CGI environment: an underscore or
/// a dot for many, anything but letters and digits for a few.
fn is_own(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let own = match name.len() {
        2 => is("te"),
        5 => is("proxy"),
        6 => is("expect"),
        7 => is("trailer") || is("upgrade"),
        8 => is("x-scheme"),
        10 => is("connection") || is("keep-alive"),
        9 => is("x-real-ip") || is("client-ip"),
        11 => is("remote-user") || is("x-client-ip"),
        12 => is("x-request-id") || is("x-url-scheme"),
        14 => is("true-client-ip"),
        15 => is("front-end-https"),
        16 => is("proxy-connection") || is("cf-connecting-ip") || is("fastly-client-ip"),
        17 => is("transfer-encoding"),
        19 => is("proxy-authorization") || is("x-cluster-client-ip"),
        _ => false,
    };
    let begins = |with: &str| {
        name.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    own || begins("forwarded")
        || begins("x-forwarded")
        || begins("stead-")
        || !name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// A new request id: unguessable enough to be unique, not meant to be secret.
pub(crate) fn new_id() -> RequestId {
    use std::cell::Cell;
    use std::hash::{BuildHasher, RandomState};
    thread_local! {
        static STATE: Cell<(u64, u64)> = Cell::new({
            let random = RandomState::new();
            (random.hash_one(1), random.hash_one(2))
        });
    }
    let (first, counter) = STATE.get();
    STATE.set((first, counter.wrapping_add(0x9e37_79b9_7f4a_7c15)));
    // SplitMix64 of the counter, so that ids in a row do not look alike.
    let mix = |seed: u64| {
        let seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^ seed >> 31
    };
    let mut id = [0; 32];
    for (half, value) in id
        .chunks_exact_mut(16)
        .zip([mix(counter), mix(counter ^ first)])
    {
        for (at, digit) in half.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(value >> (60 - 4 * at)) as usize & 15];
        }
    }
    id
}

/// The request line and headers of an HTTP/1.1 request to an upstream, with everything about the body.
pub(crate) fn append_http_head(
    out: &mut Vec<u8>,
    head: &Head,
    forwarded: &Forwarded<'_>,
    body: Option<BodyFraming>,
    upgrade: bool,
) {
    let target: &[u8] = match head.target() {
        target @ ([b'/', ..] | b"*") if forwarded.path().is_none() => target,
        _ => b"",
    };
    out.extend_from_slice(head.method());
    out.push(b' ');
    if target.is_empty() {
        out.extend_from_slice(forwarded.path().unwrap_or(head.path()));
        if let Some(query) = head.query() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
    } else {
        out.extend_from_slice(target);
    }
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(head.host());
    let mut line = |name: &[u8], value: &[u8]| {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    };
    for (name, value) in head.headers() {
        let length = name.len();
        let host = length == 4 && name.eq_ignore_ascii_case(b"host");
        let own = host || length == 14 && name.eq_ignore_ascii_case(b"content-length");
        if !own && forwarded.passes(name) {
            line(name, value);
        }
    }
    for (name, value) in forwarded.headers() {
        line(name.as_bytes(), value);
    }
    for (name, value) in forwarded.others() {
        line(name, value);
    }
    if upgrade {
        line(b"Connection", b"Upgrade");
        for (name, value) in head.headers() {
            if name.eq_ignore_ascii_case(b"upgrade") {
                line(name, value);
            }
        }
    }
    match body {
        Some(BodyFraming::Length(length)) => {
            let mut text = String::new();
            let _ = write!(text, "{length}");
            line(b"Content-Length", text.as_bytes());
        }
        Some(BodyFraming::Chunked) => line(b"Transfer-Encoding", b"chunked"),
        None if matches!(head.method(), b"POST" | b"PUT" | b"PATCH") => {
            line(b"Content-Length", b"0")
        }
        None => {}
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// How a request's body is framed towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// `Content-Length`.
    Length(u64),
    /// Chunks.
    Chunked,
}
