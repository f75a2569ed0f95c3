//! A visitor's connection from its first byte to its last: heads are read, requests answered one after
//! the other.
//!
//! What a connection costs at most, in memory of this program (docs/limits.md, measured by `tests/it/memory.rs`):
//!
//! | while | bytes |
//! |---|---|
//! | idle | under 3 KB: the task, its timer, the visitor's address |
//! | a head comes in | 36 KB |
//! | a body comes in | 256 KB read ahead and 272 KB taken, 128 MB for all visitors together; on disk beyond that |
//! | a request is forwarded | that twice, since the request may be sent again; then 64 KB at a time |
//! | a response goes out | 1 MB, in a buffer of up to 4 MB when the visitor always lags behind; 16 files; when 64 MB are held for all visitors of a thread, 32 KB |
//! | a response's head comes in | 256 KB |
//! | upgraded | 64 KB, 12 KB while nothing comes |
//! | TLS, beside all of that | some 8 KB and 4 KB of what comes in; 64 KB while an answer goes out |
//! | HTTP/2, all of it together | 8 MB of bodies that nobody has taken yet, 40 KB of header lists; 128 KB that are being written |
//! | HTTP/2, for each of up to 128 streams | as a request above, but 128 KB in place of the response's 1 MB |
//! | HTTP/2, idle | some 20 KB: 4 places for streams, the tables of HPACK (16 KB at most) |

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::Shared;
use crate::answer::{self, Next};
use crate::deadline::Deadline;
use crate::entrance::{self, Entrance};
use crate::frames;
use crate::head::{BodyLength, HEAD_LIMIT, Head, Parsed, Refusal};
use crate::http2::{self, Beginning};
use crate::listen::{Over, Place};
use crate::tls::{self, Greeted};
use crate::transport::{Socket, Transport};
use crate::visitor::Visitor;

/// How much of a refused body is read and thrown away, so that the visitor gets to see the answer
/// before the connection is closed (RFC 9112 section 9.6).
const LINGER_LIMIT: usize = 4 * 1024 * 1024;
/// And for how long.
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(2);

/// Serve one visitor until the connection ends.
pub(crate) async fn serve(shared: Arc<Shared>, mut socket: Socket, peer: SocketAddr, place: Place) {
    let port = place.port;
    let admitted = entrance::admit(&shared, &mut socket, peer, port).await;
    let Some((mut connection, _place)) = admitted else {
        return;
    };
    let mut deadline = Deadline::after(connection.entrance.header_timeout);
    let transport = match place.over {
        Over::Plain => Transport::Tcp(socket),
        // In a box: a connection has no room for it when it is done.
        Over::Tls => {
            match Box::pin(greet(&shared, socket, connection.address, &mut deadline)).await {
                Greeted::Session(session, facts) => {
                    connection.scheme = "https";
                    connection.tls = Some(Arc::new(facts));
                    connection.describe();
                    Transport::Tls(session)
                }
                Greeted::Plain(socket) => {
                    let visitor = Visitor::new(Transport::Tcp(socket.into()));
                    let _ = Box::pin(explain(&shared, &connection, visitor, &mut deadline)).await;
                    return;
                }
                Greeted::Ended => return,
            }
        }
    };
    let mut visitor = Visitor::new(transport);
    let mut head = Head::default();
    // An error here is the visitor's leaving; nobody is left to tell.
    let served = requests(&shared, &connection, &mut visitor, &mut head, &mut deadline).await;
    if served.is_ok() {
        visitor.transport.farewell();
    }
}

async fn greet(
    shared: &Shared,
    socket: Socket,
    address: IpAddr,
    deadline: &mut Deadline,
) -> Greeted {
    match socket.into_watched() {
        Ok(socket) => tls::accept(shared, socket, address, deadline).await,
        Err(_) => Greeted::Ended,
    }
}

/// A visitor who speaks HTTP as it is where TLS is spoken: it is told so, since silence explains nothing.
async fn explain(
    shared: &Arc<Shared>,
    connection: &frames::Connection,
    mut visitor: Visitor,
    deadline: &mut Deadline,
) -> io::Result<()> {
    let mut head = Head::default();
    let mut closing = pin!(shared.closing.notified());
    let greetings = Greetings::Http1;
    let reading = read_head(
        shared,
        &connection.entrance,
        &mut visitor,
        &mut head,
        deadline,
        closing.as_mut(),
        greetings,
    );
    if let Reading::Ended = reading.await? {
        return Ok(());
    }
    answer::plain_over_tls(shared, connection, &mut visitor, &head);
    flush(&mut visitor, deadline, connection.entrance.stall_timeout).await?;
    linger(&mut visitor).await
}

async fn requests(
    shared: &Arc<Shared>,
    connection: &frames::Connection,
    visitor: &mut Visitor,
    head: &mut Head,
    deadline: &mut Deadline,
) -> io::Result<()> {
    let mut closing = pin!(shared.closing.notified());
    let mut first = true;
    let entrance = &*connection.entrance;
    loop {
        let idle = if first {
            entrance.header_timeout
        } else {
            entrance.idle_timeout
        };
        deadline.set(idle);
        visitor.output.rest();
        head.rest();
        let greetings = match &connection.tls {
            _ if !std::mem::take(&mut first) => Greetings::Http1,
            None => Greetings::Either,
            Some(facts) if facts.http2 => Greetings::Http2,
            Some(_) => Greetings::Http1,
        };
        let reading = read_head(
            shared,
            entrance,
            visitor,
            head,
            deadline,
            closing.as_mut(),
            greetings,
        );
        let refusal = match reading.await? {
            Reading::Head => None,
            Reading::Refused(refusal) => Some(refusal),
            Reading::Ended => return Ok(()),
            Reading::Http2 => {
                let connection = connection.clone();
                // In a box: what most connections never need, they do not carry along.
                return Box::pin(http2::serve(shared, connection, visitor, deadline, closing))
                    .await;
            }
        };
        let refused = refusal.is_some();
        let next = match refusal {
            // In a box: an idle connection has no room for it.
            None => Box::pin(answer::request(shared, connection, visitor, head, deadline)).await,
            Some(refusal) => answer::refusal(shared, connection, visitor, head, refusal),
        };
        match next {
            Next::Keep | Next::Close => {}
            Next::Ended => return Ok(()),
            Next::Cut => {
                // With a reset: after an orderly end, some would take a part for the whole.
                return visitor.transport.reset();
            }
        }
        deadline.set(entrance.stall_timeout);
        flush(visitor, deadline, entrance.stall_timeout).await?;
        if let Next::Close = next {
            if !refused && is_last(visitor, head) {
                return Ok(());
            }
            return Box::pin(linger(visitor)).await;
        }
        // Who goes on is waited for, and by then the runtime knows what instances have said unasked.
        visitor.transport.watch()?;
    }
}

/// The visitor has said that it sends nothing after this request (RFC 9112 section 9.6), and all of it was read: closing
/// the connection can destroy no answer on its way.
fn is_last(visitor: &Visitor, head: &Head) -> bool {
    !head.keep_alive && head.body == BodyLength::None && visitor.input.is_empty()
}

/// How a visitor may begin. Over TLS it was agreed upon (RFC 9113 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greetings {
    Http1,
    Http2,
    Either,
}

/// What came instead of, or as, a head.
enum Reading {
    Head,
    Refused(Refusal),
    /// The preface of HTTP/2, which is still in the input.
    Http2,
    Ended,
}

async fn read_head<'a>(
    shared: &'a Shared,
    entrance: &Entrance,
    visitor: &mut Visitor,
    head: &mut Head,
    deadline: &mut Deadline,
    mut closing: std::pin::Pin<&mut tokio::sync::futures::Notified<'a>>,
    greetings: Greetings,
) -> io::Result<Reading> {
    let mut begun = false;
    loop {
        if !visitor.input.is_empty() {
            let beginning = match greetings {
                Greetings::Http1 => Beginning::Other,
                Greetings::Http2 | Greetings::Either => http2::beginning(visitor.input.data()),
            };
            let parsed = match beginning {
                Beginning::Other if greetings == Greetings::Http2 => return Ok(Reading::Ended),
                Beginning::Http2 => return Ok(Reading::Http2),
                Beginning::Perhaps => Ok(Parsed::Partial),
                Beginning::Other => head.parse(visitor.input.data()),
            };
            match parsed {
                Ok(Parsed::Complete(length)) => {
                    visitor.input.consume(length);
                    return Ok(Reading::Head);
                }
                Ok(Parsed::Partial) if visitor.ended => return Ok(Reading::Ended),
                Ok(Parsed::Partial) if !begun => {
                    begun = true;
                    deadline.set(entrance.header_timeout);
                }
                Ok(Parsed::Partial) => {}
                Err(refusal) => return Ok(Reading::Refused(refusal)),
            }
        }
        if visitor.ended {
            return Ok(Reading::Ended);
        }
        let patient = || shared.patient.load(Ordering::Acquire);
        if !begun
            && shared.draining.load(Ordering::Relaxed)
            && !patient()
            && !visitor.transport.has_spoken()
        {
            return Ok(Reading::Ended);
        }
        let filled = std::future::poll_fn(|context| {
            if let Poll::Ready(result) = visitor.poll_fill(context, HEAD_LIMIT + 4096) {
                return Poll::Ready(result.map(Some));
            }
            while !begun && Future::poll(closing.as_mut(), context).is_ready() {
                closing.set(shared.closing.notified());
                // What came before the edge began to drain is still answered.
                if !patient() && !visitor.transport.has_spoken() {
                    return Poll::Ready(Ok(Some(0)));
                }
            }
            deadline.poll(context).map(|()| Ok(None))
        });
        match filled.await? {
            Some(0) if begun && !visitor.ended => {
                return Ok(Reading::Refused(Refusal {
                    status: 431,
                    why: "head too long",
                }));
            }
            Some(0) => {
                if !begun && visitor.input.is_empty() {
                    return Ok(Reading::Ended);
                }
            }
            Some(_) => {}
            // A visitor who never said anything is not told either.
            None if !begun => return Ok(Reading::Ended),
            None => {
                return Ok(Reading::Refused(Refusal {
                    status: 408,
                    why: "head took too long",
                }));
            }
        }
    }
}

/// Write what is held; a visitor who reads nothing, or next to nothing, for the stall time is cut.
pub(crate) async fn flush(
    visitor: &mut Visitor,
    deadline: &mut Deadline,
    stall: Duration,
) -> io::Result<()> {
    if visitor.output.is_empty() {
        return Ok(());
    }
    std::future::poll_fn(|context| {
        let mut progress = true;
        while progress {
            progress = false;
            if let Poll::Ready(result) = visitor.poll_flush(context, &mut progress) {
                return Poll::Ready(result);
            }
            deadline.set_at(visitor.reading.until(Instant::now(), stall));
        }
        deadline
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// Close in a way that lets the visitor read the answer: our side first, then wait for theirs.
pub(crate) async fn linger(visitor: &mut Visitor) -> io::Result<()> {
    std::future::poll_fn(|context| visitor.transport.poll_shutdown(context)).await?;
    let mut left = LINGER_LIMIT;
    let drain = async {
        while !visitor.ended && left > 0 {
            visitor.input.consume(visitor.input.data().len());
            let length =
                std::future::poll_fn(|context| visitor.poll_fill(context, HEAD_LIMIT)).await?;
            left = left.saturating_sub(length);
            if length == 0 {
                break;
            }
        }
        Ok(())
    };
    tokio::time::timeout(LINGER_TIME, drain)
        .await
        .unwrap_or(Ok(()))
}
