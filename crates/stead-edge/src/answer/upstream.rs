//! Forwarding: the body is taken in when it is small, an instance is found, and the exchange is carried out,
//! on another instance if nothing reached the first one.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use stead_model::release::Protocol;
use stead_model::routing::RouteTimeouts;

use super::body::{PACE, Taken};
use super::{Next, Request};
use crate::body::{Body, BodyError};
use crate::buffer::Scratch;
use crate::compress::Choice;
use crate::connection;
use crate::exchange::{BodyCoding, Decoder, End, Exchange, Failure, HttpDecoder, Patience, Rest};
use crate::forward::{self, BodyFraming, Forwarded};
use crate::head::BodyLength;
use crate::listen::is_exhausted;
use crate::page::Reason;
use crate::response::STICKY_COOKIE;
use crate::router::RouteEntry;
use crate::spool::Spooled;
use crate::tunnel;
use crate::upstream::{Lease, MESSAGE_LIMIT, Outcome, Stream, Unavailable, Unread, Upstream, Wish};
use crate::{frames, uwsgi};

/// Connections that are tried for one request when those before turned out to be of no use to anybody: a kept
/// one that was closed, a thread that takes no more.
const ATTEMPTS: usize = 3;

/// A visitor who has closed its side of the connection within this time from the beginning of its wait for an instance is
/// taken for one who sends no further request; later, for one who waits no longer.
const HALF_CLOSED: Duration = Duration::from_secs(1);

/// Room for what comes before the body in a request's frame, bytes. Most heads need less.
const HEAD_ROOM: usize = 4 * 1024;

/// What a route allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Largest request body, bytes.
    pub(super) body: u64,
    pub(super) timeouts: RouteTimeouts,
}

impl From<&RouteEntry> for Limits {
    fn from(entry: &RouteEntry) -> Self {
        Self {
            body: entry.body_limit,
            timeouts: entry.timeouts.as_deref().copied().unwrap_or_default(),
        }
    }
}

/// A request as an instance is to get it.
struct Encoded {
    protocol: Protocol,
    /// For a worker's mailbox: the request frame, or where it is to be found. Empty for others.
    frame: Scratch,
    /// For the connection.
    bytes: Scratch,
    coding: BodyCoding,
}

impl Request<'_> {
    /// Forward the request to an instance of `upstream`.
    pub(super) async fn forward(&mut self, upstream: &Arc<Upstream>, limits: Limits) -> Next {
        let settings = upstream.settings();
        let protocol = settings.protocol;
        self.times.upstream_settings = Some(settings);
        if self.head.tunnel && protocol != Protocol::Http {
            return self.error(501);
        }
        if self.response.rules().is_some_and(|rules| rules.compress) {
            self.response.compress(Choice::of(self.head));
        }
        let mut body = match Body::new(self.head.body, limits.body) {
            Ok(body) => body,
            Err(_) => return self.error(413),
        };
        let next = self.deliver(upstream, &mut body, &limits.timeouts).await;
        self.times.received = body.received() + self.times.passed;
        next
    }

    async fn deliver(
        &mut self,
        upstream: &Arc<Upstream>,
        body: &mut Body,
        timeouts: &RouteTimeouts,
    ) -> Next {
        let taken = match self.take_body(upstream, body).await {
            Ok(taken) => taken,
            Err(failure) => return self.failed(failure),
        };
        let settings = upstream.settings();
        let mut encoded = match self.encode(settings.protocol, body, &taken) {
            Ok(encoded) => encoded,
            Err(status) => return self.error(status),
        };
        let mut wish = Wish {
            unheard: !self.visitor.transport.is_watched(),
            ..Wish::default()
        };
        if settings.sticky {
            wish.sticky = Some(self.stick());
        }
        // An instance failed the request before it had any of it: another one is asked, once, if the request may
        // be repeated (RFC 9110 section 9.2.2).
        let mut may_retry = self.head.is_idempotent();
        for _ in 1..=ATTEMPTS {
            let queued = Instant::now();
            let Some(lease) = self
                .acquire(upstream, std::mem::take(&mut encoded.frame), wish)
                .await
            else {
                return Next::Cut;
            };
            let mut lease = match lease {
                Ok(lease) => lease,
                Err(Unavailable::Lost) => return self.error(502),
                Err(Unavailable::QueueFull) => return self.error_because(503, Reason::Busy),
                Err(Unavailable::TimedOut) => return self.error_because(503, Reason::Starting),
            };
            encoded.frame = std::mem::take(&mut lease.frame);
            let began = Instant::now();
            self.times.queue += began - queued;
            self.times.instance = Some(lease.instance());
            self.times.upstream_settings = Some(Arc::clone(&lease.settings));
            if self.head.tunnel && lease.settings.protocol != Protocol::Http {
                return self.error(501);
            }
            if encoded.protocol != lease.settings.protocol {
                encoded = match self.encode(lease.settings.protocol, body, &taken) {
                    Ok(encoded) => encoded,
                    Err(status) => return self.error(status),
                };
            }
            let reused = lease.stream.is_some();
            let mut stream = match connect(&mut lease).await {
                Ok(stream) => stream,
                // This machine's own limit, not the instance's failure: nobody is to restart it for that.
                Err(error) if is_exhausted(&error) => {
                    return self.error_because(503, Reason::Busy);
                }
                Err(error) => {
                    wish.not = Some(lease.instance());
                    lease.failed(Outcome::Unreachable, format!("cannot connect: {error}"));
                    if std::mem::take(&mut may_retry) {
                        continue;
                    }
                    break;
                }
            };
            if !lease.sent
                && let Some(mailbox) = stream.mailbox()
                && mailbox.put(&encoded.frame.0).is_err()
            {
                // The worker takes no more; it has seen nothing of this.
                continue;
            }
            let whole_body = body.is_done();
            let patience = Patience::new(&lease.settings, timeouts);
            let result = self
                .exchange(&lease, patience, &mut stream, &mut encoded, body, &taken)
                .await;
            let (result, rest) = match result {
                Ok(done) => (Ok(done), None),
                Err((failure, rest)) => (Err(failure), Some(rest)),
            };
            self.times.upstream += began.elapsed();
            match result {
                Ok((End::Complete { reusable }, mut unread)) => {
                    unread.bytes.rest();
                    lease.outcome = match self.response.status {
                        500.. => Outcome::Failed,
                        _ => Outcome::Good,
                    };
                    // A uwsgi server takes one request a connection, whatever its answer says.
                    if reusable && encoded.protocol != Protocol::Uwsgi {
                        stream.unread = unread;
                        lease.finish(stream);
                    }
                    return if self.response.keeps_alive() {
                        Next::Keep
                    } else {
                        Next::Close
                    };
                }
                Ok((End::AppFailed { reusable }, mut unread)) => {
                    unread.bytes.rest();
                    lease.outcome = Outcome::Failed;
                    if reusable {
                        stream.unread = unread;
                        lease.finish(stream);
                    }
                    return self.failed(Failure::AppFailed);
                }
                Ok((End::Upgraded, unread)) => {
                    // Over HTTP/2 the edge has its own word for the 101.
                    let stall = self.connection.entrance.stall_timeout;
                    let flushed = connection::flush(self.visitor, self.deadline, stall).await;
                    if flushed.is_err() {
                        return Next::Cut;
                    }
                    lease.outcome = Outcome::Good;
                    if self.response.status == 0 {
                        self.response.status = 101;
                    }
                    let passed =
                        tunnel::run(self.visitor, &stream, unread.bytes, self.deadline).await;
                    self.response.length = passed.sent;
                    self.times.passed = passed.received;
                    return Next::Ended;
                }
                // A kept connection that was closed before anything was sent says nothing about the instance.
                Err(Failure::Unsent(_)) if reused => {}
                Err(failure @ Failure::Unsent(_)) => {
                    wish.not = Some(lease.instance());
                    self.tell(&mut lease, &failure, patience);
                    if !std::mem::take(&mut may_retry) {
                        break;
                    }
                }
                // A kept connection that the server was closing already (RFC 9112 section 9.3.1). A request that it has
                // read is not for another server to fail at.
                Err(failure @ (Failure::Closed | Failure::Unread))
                    if reused
                        && encoded.protocol == Protocol::Http
                        && whole_body
                        && (matches!(failure, Failure::Unread) || stream.was_refused())
                        && std::mem::take(&mut may_retry) =>
                {
                    encoded = match self.encode(Protocol::Http, body, &taken) {
                        Ok(encoded) => encoded,
                        Err(status) => return self.error(status),
                    };
                }
                Err(failure) => {
                    self.tell(&mut lease, &failure, patience);
                    if let Some(rest) = rest {
                        lease.abandon(stream, rest);
                    }
                    return self.failed(failure);
                }
            }
        }
        self.error(502)
    }

    /// What says which instance this visitor's requests go to: the visitor's cookie, or a new one.
    fn stick(&mut self) -> u64 {
        let cookies = self.head.headers();
        let cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
        let token = cookies
            .flat_map(|(_, value)| value.split(|byte| *byte == b';'))
            .find_map(|pair| {
                pair.trim_ascii()
                    .strip_prefix(STICKY_COOKIE)?
                    .strip_prefix(b"=")
            })
            .and_then(sticky_number);
        token.unwrap_or_else(|| {
            let value = forward::new_id();
            self.response
                .stick(value, self.connection.scheme == "https");
            sticky_number(&value).unwrap_or_default()
        })
    }

    /// Wait for an instance; `None`: the visitor left meanwhile.
    async fn acquire(
        &mut self,
        upstream: &Arc<Upstream>,
        frame: Scratch,
        wish: Wish,
    ) -> Option<Result<Lease, Unavailable>> {
        let mut acquire = std::pin::pin!(upstream.acquire(frame, wish));
        let since = Instant::now();
        let visitor = &mut *self.visitor;
        std::future::poll_fn(|context| {
            if let Poll::Ready(lease) = Future::poll(acquire.as_mut(), context) {
                return Poll::Ready(Some(lease));
            }
            if visitor.input.is_empty() && !visitor.ended {
                let read = visitor.poll_fill(context, crate::buffer::SIZE);
                // Some close their side right behind their last request, and read on; who does so later has left.
                let left = visitor.ended && since.elapsed() >= HALF_CLOSED;
                if matches!(read, Poll::Ready(Err(_))) || left {
                    return Poll::Ready(None);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The request as `protocol` wants it. The error is the status to answer.
    fn encode(&self, protocol: Protocol, body: &Body, taken: &Taken) -> Result<Encoded, u16> {
        let forwarded = Forwarded::new(self.head, self.connection, &self.id);
        let forwarded = forwarded.with(self.ruled.as_deref());
        let path = forwarded.path().unwrap_or(self.head.path());
        let has_body = self.head.body != BodyLength::None;
        let length = body
            .known_length()
            .map(|rest| rest + taken.length())
            .or(body.is_done().then_some(taken.length()));
        // Nothing follows what is sent at once.
        let done = body.is_done() && taken.spooled.is_none();
        let taken = &*taken.bytes.0;
        let mut bytes = Scratch::take();
        let coding = match protocol {
            Protocol::Frames => {
                let whole = (has_body && done).then_some(taken);
                let path = decode_path(path);
                let mut frame = Scratch::with_room(whole.map_or(0, |body| body.len() + HEAD_ROOM));
                let (head, connection) = (self.head, self.connection);
                frames::encode_environ(&mut frame.0, head, connection, &forwarded, &path, whole)
                    .map_err(|_| 431_u16)?;
                if frame.0.len() > MESSAGE_LIMIT {
                    std::mem::swap(&mut bytes, &mut frame);
                    frame
                        .0
                        .extend_from_slice(&frames::header(frames::request::ON_CONNECTION, 0));
                }
                if whole.is_none() && !taken.is_empty() {
                    frames::append_body(&mut bytes.0, taken);
                }
                return Ok(Encoded {
                    protocol,
                    frame,
                    bytes,
                    coding: BodyCoding::Frames,
                });
            }
            Protocol::Http => {
                let framing =
                    has_body.then(|| length.map_or(BodyFraming::Chunked, BodyFraming::Length));
                forward::append_http_head(
                    &mut bytes.0,
                    self.head,
                    &forwarded,
                    framing,
                    self.head.upgrade,
                );
                BodyCoding::Http(framing.unwrap_or(BodyFraming::Length(0)))
            }
            Protocol::Uwsgi => {
                let length = length
                    .filter(|_| has_body)
                    .or((!has_body).then_some(0))
                    .ok_or(411_u16)?;
                let path = decode_path(path);
                uwsgi::append_request(
                    &mut bytes.0,
                    self.head,
                    self.connection,
                    &forwarded,
                    &path,
                    length,
                )
                .map_err(|_| 431_u16)?;
                BodyCoding::Http(BodyFraming::Length(length))
            }
        };
        if !taken.is_empty() {
            coding.append(&mut bytes.0, taken);
        }
        if has_body && done {
            coding.append_end(&mut bytes.0);
        }
        Ok(Encoded {
            protocol,
            frame: Scratch::default(),
            bytes,
            coding,
        })
    }

    async fn exchange(
        &mut self,
        lease: &Lease,
        patience: Patience,
        stream: &mut Stream,
        encoded: &mut Encoded,
        body: &mut Body,
        taken: &Taken,
    ) -> Result<(End, Unread), (Failure, Box<Rest>)> {
        let decoder = match lease.settings.protocol {
            Protocol::Frames => Decoder::frames(),
            Protocol::Http => {
                Decoder::Http(HttpDecoder::new(self.head.is_head(), self.head.upgrade))
            }
            Protocol::Uwsgi => Decoder::Http(HttpDecoder::new(self.head.is_head(), false)),
        };
        let received = std::mem::take(&mut stream.unread);
        let stall = self.connection.entrance.stall_timeout;
        let exchange = Exchange {
            visitor: self.visitor,
            stream: &*stream,
            deadline: self.deadline,
            response: &mut self.response,
            request: &mut encoded.bytes.0,
            body,
            coding: encoded.coding,
            decoder,
            patience,
            stall,
            pace: match taken.streaming {
                Some(_) => stall.min(PACE),
                None => stall,
            },
            spooled: taken.spooled.as_ref().map(Spooled::reader),
            received,
            state: crate::exchange::State::new(encoded.protocol == Protocol::Frames),
        };
        exchange.run().await
    }

    /// What the agent should know of a failure.
    fn tell(&self, lease: &mut Lease, failure: &Failure, patience: Patience) {
        let request = || {
            let path = String::from_utf8_lossy(self.head.path()).into_owned();
            format!("{} {path}", String::from_utf8_lossy(self.head.method()))
        };
        match failure {
            Failure::TimedOut => {
                lease.timed_out(request(), patience.limit(self.response.has_begun()));
            }
            Failure::Closed | Failure::Unread => lease.failed(
                Outcome::Failed,
                format!(
                    "it closed the connection instead of answering `{}`",
                    request()
                ),
            ),
            Failure::CutOff(why) => {
                lease.failed(Outcome::Failed, format!("`{}`: {why}", request()));
            }
            Failure::Broken(why) => lease.broke_off(format!("`{}`: {why}", request())),
            Failure::Unsent(error) => lease.failed(
                Outcome::Unreachable,
                format!("it takes no requests: {error}"),
            ),
            Failure::TooLong => lease.outcome = Outcome::Failed,
            _ => {}
        }
    }

    fn failed(&mut self, failure: Failure) -> Next {
        match failure {
            Failure::Visitor => Next::Cut,
            Failure::Body(BodyError::TooLarge) => self.error(413),
            Failure::Body(BodyError::Malformed) => self.error(400),
            Failure::BodyStalled => self.error(408),
            Failure::Crowded => self.error_because(503, Reason::Busy),
            Failure::DiskFull => self.error(507),
            Failure::AppFailed | Failure::Disk => self.error(500),
            Failure::TimedOut | Failure::TooLong => self.error(504),
            Failure::Unsent(_)
            | Failure::Closed
            | Failure::Unread
            | Failure::CutOff(_)
            | Failure::Broken(_)
            | Failure::NotSwitched => self.error(502),
        }
    }
}

/// The number in a cookie that [`Request::stick`] made: 32 hexadecimal digits.
fn sticky_number(value: &[u8]) -> Option<u64> {
    if value.len() != 32 {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let number = u128::from_str_radix(text, 16).ok()?;
    Some((number >> 64) as u64 ^ number as u64)
}

async fn connect(lease: &mut Lease) -> io::Result<Stream> {
    if let Some(stream) = lease.stream.take() {
        return stream.settle();
    }
    let opening = Stream::connect(&lease.address, lease.settings.protocol);
    match tokio::time::timeout(lease.settings.timeouts.connect, opening).await {
        Ok(Ok(stream)) => {
            lease.opened(&stream);
            Ok(stream)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it does not answer",
        )),
    }
}

/// Percent-decoded, as PEP 3333 wants `PATH_INFO`: nothing else is changed. [`crate::path::clean`]
/// has refused what cannot be decoded.
fn decode_path(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(&byte) = rest.next() {
        let value = |digit: Option<&u8>| char::from(*digit.unwrap_or(&0)).to_digit(16);
        match byte {
            b'%' => match (value(rest.clone().next()), value(rest.clone().nth(1))) {
                (Some(high), Some(low)) => {
                    decoded.push((high * 16 + low) as u8);
                    rest.nth(1);
                }
                _ => decoded.push(byte),
            },
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}
