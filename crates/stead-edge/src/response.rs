//! A response on its way to the visitor: its head is written once, checked and normalised; its body is
//! framed in the one way that fits the visitor and the length that is known.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::compress::{Choice, Coder};
use crate::forward::RequestId;
use crate::rules::Rules;

mod body;
mod head;
mod text;

pub(crate) use text::{append_number, check_header, is_named, names_any, reason_phrase};

/// What a response must know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    /// HEAD: there is no body, whatever the head says.
    pub(crate) is_head: bool,
    /// The visitor understands chunks.
    pub(crate) http11: bool,
    /// A stream of HTTP/2: no chunks, and nothing about the connection.
    pub(crate) http2: bool,
    /// The visitor opens a tunnel by an extended CONNECT, which any 2xx would grant.
    pub(crate) tunnel: bool,
    /// The visitor wants to go on, and so does the edge.
    pub(crate) keep_alive: bool,
    /// Set when the edge begins to drain, which may be while the request is on its way.
    pub(crate) draining: &'a AtomicBool,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The head is not written yet.
    Unknown,
    /// There is none.
    Empty,
    /// After so many more bytes.
    Length(u64),
    /// With a last chunk.
    Chunked,
    /// With the connection.
    Close,
    /// It cannot be completed.
    Broken,
}

/// A response as it is written.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    shape: Shape<'a>,
    framing: Framing,
    /// Of the head, 0 before it.
    pub(crate) status: u16,
    /// Body bytes, without framing.
    pub(crate) length: u64,
    /// A value for [`STICKY_COOKIE`], and whether it is for HTTPS alone.
    sticky: Option<(RequestId, bool)>,
    /// How many interim responses were passed on.
    interim: u8,
    /// What the route asks of its responses.
    rules: Option<Arc<Rules>>,
    /// The value of Strict-Transport-Security, which an app's own goes before.
    hsts: Option<Arc<str>>,
    /// How the visitor would have the body compressed, when the route asks for that.
    choice: Option<Choice>,
    coder: Option<Box<Coder>>,
}

/// The cookie by which a visitor comes back to the same instance. Its value is random and says nothing.
pub(crate) const STICKY_COOKIE: &[u8] = b"stead-sticky";

const HSTS: &[u8] = b"Strict-Transport-Security";

/// Interim responses that are passed on for one request. More are dropped: each costs the visitor's client
/// a head, and none is needed to understand the answer.
pub(crate) const MOST_INTERIM: u8 = 16;

/// The response of an upstream cannot be passed on; a sentence for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl<'s> Response<'s> {
    pub(crate) fn new(shape: Shape<'s>) -> Self {
        Self {
            shape,
            framing: Framing::Unknown,
            status: 0,
            length: 0,
            sticky: None,
            interim: 0,
            rules: None,
            hsts: None,
            choice: None,
            coder: None,
        }
    }

    /// HEAD: there is no body.
    pub(crate) fn is_to_head(&self) -> bool {
        self.shape.is_head
    }

    /// Another protocol is asked for over HTTP/2.
    pub(crate) fn is_to_tunnel(&self) -> bool {
        self.shape.tunnel
    }

    /// The head was written.
    pub(crate) fn has_begun(&self) -> bool {
        self.framing != Framing::Unknown
    }

    /// It has begun and nobody knows where it ends: a stream of events, say.
    pub(crate) fn is_endless(&self) -> bool {
        match &self.coder {
            Some(coder) => coder.is_endless(),
            None => matches!(self.framing, Framing::Chunked | Framing::Close),
        }
    }

    /// After this response the connection can take another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.shape.keep_alive && self.framing != Framing::Close
    }

    /// Forget what was written: none of it has been sent.
    pub(crate) fn restart(&mut self) {
        (self.framing, self.status, self.length) = (Framing::Unknown, 0, 0);
        self.coder = None;
    }

    /// Give the visitor a cookie. Before `head`.
    pub(crate) fn stick(&mut self, value: RequestId, secure: bool) {
        self.sticky = Some((value, secure));
    }

    /// The route's rules hold for it. Before `head`.
    pub(crate) fn follow(&mut self, rules: Arc<Rules>) {
        self.rules = Some(rules);
    }

    /// Its body may be compressed. Before `head`.
    pub(crate) fn compress(&mut self, choice: Choice) {
        self.choice = Some(choice);
    }

    /// It is being compressed.
    pub(crate) fn is_coded(&self) -> bool {
        self.coder.is_some()
    }

    /// The route's rules, if it has any.
    pub(crate) fn rules(&self) -> Option<&Rules> {
        self.rules.as_deref()
    }

    /// Tell the browser to come over TLS alone (RFC 6797 section 7.2). Before `head`.
    pub(crate) fn insist(&mut self, hsts: &Arc<str>) {
        self.hsts = Some(Arc::clone(hsts));
    }

    /// After this response the connection takes no other request. Before `head`.
    pub(crate) fn close(&mut self) {
        self.shape.keep_alive = false;
    }
}

#[cfg(test)]
mod tests;
