//! How visitors come in: whom the edge believes what it says of a visitor, how long visitors may take, how many
//! connections one of them may have. A connection keeps what held when it was opened.
//!
//! [`admit`] gets the socket before anything was read from it, and reads no byte that is not of a PROXY protocol
//! header: what follows, TLS or not, is still there.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stead_model::manifest::{Edge, VisitorHeader};
use stead_model::network::Network;
use tokio::net::TcpStream;

use crate::frames::Connection;
use crate::transport::Socket;
use crate::{Settings, Shared};

pub(crate) mod crowd;
pub(crate) mod proxy;

/// Connections of one public address, when nothing is said of them. A household or an office behind one address
/// stays far below; one program that opens all that it can does not.
const CONNECTIONS: u32 = 1000;

/// What holds for a connection.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// From the first byte of a request (or the connection) to the end of its head.
    pub(crate) header_timeout: Duration,
    /// Between two requests of one connection.
    pub(crate) idle_timeout: Duration,
    /// Longest pause within a request's body, or within the reading of a response.
    pub(crate) stall_timeout: Duration,
    /// Where trusted peers name the visitor; `None`: in one of two.
    pub(crate) visitor_header: Option<VisitorHeader>,
    trusted: Vec<Network>,
    proxy_protocol: bool,
    connections: Option<u32>,
}

impl Entrance {
    /// What `edge` says, and where it says nothing what the edge was started with.
    pub(crate) fn new(settings: &Settings, edge: &Edge) -> Self {
        Self {
            header_timeout: edge.header_timeout.unwrap_or(settings.header_timeout),
            idle_timeout: edge.idle_timeout.unwrap_or(settings.idle_timeout),
            stall_timeout: edge.stall_timeout.unwrap_or(settings.stall_timeout),
            visitor_header: edge.visitor_header,
            trusted: edge.trusted.clone(),
            proxy_protocol: edge.proxy_protocol,
            connections: edge.connections,
        }
    }

    /// What this address says of a visitor is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        Network::any(&self.trusted, address)
    }

    /// How many connections this address may have; `None`: any number.
    fn connections(&self, address: IpAddr) -> Option<u32> {
        if self.trusts(address) {
            return None;
        }
        // A load balancer that nobody has said to be trusted is not shut out, either.
        let limit = self.connections;
        limit.or_else(|| (!Network::is_private(address)).then_some(CONNECTIONS))
    }
}

impl Default for Entrance {
    fn default() -> Self {
        Self::new(&Settings::default(), &Edge::default())
    }
}

/// Let a visitor in who came to `local_port`: whom the connection is from, and its place among those of the same address, to be kept for as long
/// as it is open. `None`: the connection is to be closed without a word.
pub(crate) async fn admit(
    shared: &Shared,
    socket: &mut Socket,
    peer: SocketAddr,
    local_port: u16,
) -> Option<(Connection, Option<crowd::Place>)> {
    if !shared.tables.is_there() {
        Box::pin(shared.tables.first()).await;
    }
    let entrance = Arc::clone(&shared.tables.current().entrance);
    let source = if entrance.proxy_protocol && entrance.trusts(peer.ip()) {
        // In a box: most connections have none.
        let socket = socket.watch().ok()?;
        Box::pin(source(shared, socket, entrance.header_timeout)).await?
    } else {
        None
    };
    let connection = match source {
        None => Connection::new(entrance, peer, local_port, "http"),
        Some(source) => {
            let scheme = if source.tls { "https" } else { "http" };
            Connection::new(entrance, source.peer, source.local_port, scheme)
        }
    };
    let place = match connection.entrance.connections(connection.address) {
        None => None,
        Some(limit) => match shared.crowd.enter(connection.address, limit) {
            Some(place) => Some(place),
            None => {
                shared.metrics.crowded.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        },
    };
    Some((connection, place))
}

/// What a trusted peer says first. The outer `None`: it is not let in, or the edge ends.
async fn source(
    shared: &Shared,
    socket: &TcpStream,
    patience: Duration,
) -> Option<Option<proxy::Source>> {
    let ends =
        || shared.draining.load(Ordering::Acquire) && !shared.patient.load(Ordering::Acquire);
    let mut read = pin!(tokio::time::timeout(patience, proxy::read(socket)));
    loop {
        let closing = shared.closing.notified();
        if ends() {
            return None;
        }
        tokio::select! {
            biased;
            read = read.as_mut() => {
                if let Ok(Ok(source)) = read {
                    return Some(source);
                }
                shared.metrics.unintroduced.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            () = closing => {}
        }
    }
}

#[cfg(test)]
mod tests;
