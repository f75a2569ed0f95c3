//! A visitor's handshake, from the first byte to the session. It has the time that a request's head has.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::server::{Acceptor, ClientHello};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use stead_model::messages::EdgeEvent;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::clients::Client;
use super::session::{Io, Now, Session};
use super::{ACME, Facts, Greeting};
use crate::Shared;
use crate::deadline::Deadline;

/// The first byte of a record with a handshake in it (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// A fatal alert that says that nobody here has that name (RFC 6066 section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// A fatal alert that says that it cannot be done.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// What a visitor on a listener for TLS turned out to be.
pub(crate) enum Greeted {
    Session(Box<Session>, Facts),
    /// One that does not speak TLS. Nothing was read.
    Plain(TcpStream),
    /// One that has left, or was sent away.
    Ended,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The visitor left, or said nothing for too long.
    Left,
    /// No certificate is for the name that it asked for.
    Name,
    /// It has no certificate that the host's authority has issued.
    Client,
    /// There is no version, cipher or protocol that both know, or it spoke nonsense.
    Protocol,
}

/// Shake hands with whoever is at `visitor`.
pub(crate) async fn accept(
    shared: &Shared,
    mut socket: TcpStream,
    visitor: IpAddr,
    deadline: &mut Deadline,
) -> Greeted {
    match is_tls(&mut socket, deadline).await {
        Ok(Some(true)) => {}
        Ok(Some(false)) => return Greeted::Plain(socket),
        // Who never said anything has not failed at anything: browsers open connections ahead.
        Ok(None) | Err(_) => return Greeted::Ended,
    }
    match shake(shared, &mut socket, visitor, deadline).await {
        Ok(Shaken::Done(tls, available, greeting)) => {
            let facts = Facts::of(&tls, &greeting);
            shared.metrics.handshakes.done(&facts);
            Greeted::Session(Box::new(Session::new(socket, *tls, available)), facts)
        }
        Ok(Shaken::Checked) => Greeted::Ended,
        Err(failed) => {
            shared.metrics.handshakes.failed(failed);
            Greeted::Ended
        }
    }
}

/// Look at the first byte. `None`: the visitor has left.
async fn is_tls(socket: &mut TcpStream, deadline: &mut Deadline) -> io::Result<Option<bool>> {
    std::future::poll_fn(|context| {
        let mut first = [0; 1];
        let mut room = ReadBuf::new(&mut first);
        if let std::task::Poll::Ready(peeked) = socket.poll_peek(context, &mut room) {
            let first = room.filled().first();
            return std::task::Poll::Ready(peeked.map(|_| first.map(|byte| *byte == HANDSHAKE)));
        }
        let late = |()| Err(io::ErrorKind::TimedOut.into());
        deadline.poll(context).map(late)
    })
    .await
}

enum Shaken {
    /// So many bytes have come behind the handshake.
    Done(Box<ServerConnection>, usize, Greeting),
    /// It was an authority that checks a host (RFC 8737).
    Checked,
}

async fn shake(
    shared: &Shared,
    socket: &mut TcpStream,
    visitor: IpAddr,
    deadline: &mut Deadline,
) -> Result<Shaken, Failed> {
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        if step(socket, deadline, |io| acceptor.read_tls(io)).await? == 0 {
            return Err(Failed::Left);
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((_, mut alert)) => {
                let _ = alert.write_all(&mut Now(socket));
                return Err(Failed::Protocol);
            }
        }
    };
    let mut chosen = choose(shared, &accepted.client_hello());
    if let Err(Failed::Name) = chosen
        && wait(shared, &accepted.client_hello(), visitor).await
    {
        // The time that it waited was not the visitor's.
        deadline.set(shared.settings.header_timeout);
        chosen = choose(shared, &accepted.client_hello());
    }
    let (config, greeting) = match chosen {
        Ok(chosen) => chosen,
        Err(failed) => {
            let alert = match failed {
                Failed::Name => UNRECOGNIZED_NAME,
                _ => HANDSHAKE_FAILURE,
            };
            let _ = socket.try_write(&alert);
            return Err(failed);
        }
    };
    let mut tls = match accepted.into_connection(config) {
        Ok(tls) => tls,
        Err((_, mut alert)) => {
            let _ = alert.write_all(&mut Now(socket));
            return Err(Failed::Protocol);
        }
    };
    let mut available = 0;
    while tls.is_handshaking() {
        if tls.wants_write() {
            step(socket, deadline, |io| tls.write_tls(io)).await?;
            continue;
        }
        if step(socket, deadline, |io| tls.read_tls(io)).await? == 0 {
            return Err(Failed::Left);
        }
        match tls.process_new_packets() {
            Ok(state) => available = state.plaintext_bytes_to_read(),
            Err(error) => {
                while matches!(tls.write_tls(&mut Now(socket)), Ok(1..)) {}
                return Err(match error {
                    rustls::Error::NoCertificatesPresented
                    | rustls::Error::InvalidCertificate(_) => Failed::Client,
                    _ => Failed::Protocol,
                });
            }
        }
    }
    if tls.alpn_protocol() == Some(ACME) {
        tls.send_close_notify();
        while tls.wants_write() {
            step(socket, deadline, |io| tls.write_tls(io)).await?;
        }
        return Ok(Shaken::Checked);
    }
    // A ticket may wait to be sent: it goes with the first answer, or before the first wait.
    Ok(Shaken::Done(Box::new(tls), available, greeting))
}

/// Read or write once something can be.
async fn step<T>(
    socket: &mut TcpStream,
    deadline: &mut Deadline,
    mut act: impl FnMut(&mut Io<'_, '_>) -> io::Result<T>,
) -> Result<T, Failed> {
    std::future::poll_fn(|context| {
        let acted = act(&mut Io(socket, context));
        match acted {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                deadline.poll(context).map(|()| Err(Failed::Left))
            }
            acted => std::task::Poll::Ready(acted.map_err(|_| Failed::Left)),
        }
    })
    .await
}

/// There may be a certificate for the name in a moment. `true`: there is.
async fn wait(shared: &Shared, hello: &ClientHello<'_>, visitor: IpAddr) -> bool {
    let Some(host) = hello.server_name().map(str::to_ascii_lowercase) else {
        return false;
    };
    if wants_check(hello) || !shared.tables.current().router.takes_unknown(&host) {
        return false;
    }
    let certificates = &shared.certificates;
    let tell = || {
        let host = host.clone();
        let _ = shared.events.send(EdgeEvent::Wanted { host });
    };
    let place = (&shared.rates, visitor);
    certificates
        .demand
        .wait(&host, place, tell, || certificates.has(&host))
        .await
}

/// It is an authority that checks a host (RFC 8737).
fn wants_check(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME))
}

fn choose(
    shared: &Shared,
    hello: &ClientHello<'_>,
) -> Result<(Arc<ServerConfig>, Greeting), Failed> {
    let host = hello.server_name().map(str::to_ascii_lowercase);
    if wants_check(hello) {
        let config = shared.certificates.for_challenge(host.as_deref())?;
        return Ok((config, Greeting::default()));
    }
    let table = shared.tables.current();
    let greeting = table.router.greeting(host.as_deref()).clone();
    let config = shared
        .certificates
        .for_visitor(host.as_deref(), &greeting)?;
    Ok((config, greeting))
}

impl Facts {
    fn of(tls: &ServerConnection, greeting: &Greeting) -> Self {
        let suite = tls.negotiated_cipher_suite();
        Self {
            version: match tls.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: suite.and_then(|suite| suite.suite().as_str()).unwrap_or(""),
            host: tls.server_name().map(Into::into),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            http2: tls.alpn_protocol() == Some(b"h2"),
            client: greeting
                .client_ca
                .as_ref()
                .and_then(|authority| Client::of(tls, authority))
                .map(Box::new),
        }
    }
}
