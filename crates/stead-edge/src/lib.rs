//! The edge accepts visitors and forwards requests. It never decides.
//!
//! Routes arrive as whole [`stead_model::routing::RoutingTable`] values; nothing here edits one.
//! Invariant: no disk read but of the files that it serves, and no wait on the agent while a visitor waits.

#[allow(dead_code)]
mod date;
#[allow(dead_code)]
mod folder;
#[allow(dead_code)]
mod forwarded;
#[allow(dead_code)]
mod page;
#[allow(dead_code)]
mod path;
#[allow(dead_code)]
mod record;
#[allow(dead_code)]
mod router;

#[doc(hidden)]
pub mod fuzzing;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stead_model::messages::{EdgeCommand, EdgeEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// How the edge behaves towards visitors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, each with its own runtime. 0: as many as measured best for this machine.
    pub threads: usize,
    /// From the first byte of a request (or the connection) to the end of its head.
    pub header_timeout: Duration,
    /// Between two requests of one connection.
    pub idle_timeout: Duration,
    /// Longest pause within a request's body, or within the reading of a response.
    pub stall_timeout: Duration,
    /// Where access lines go.
    pub access_log: Option<PathBuf>,
    /// JSON lines instead of the combined format.
    pub access_json: bool,
}

/// A running edge. Dropping it stops it at once.
#[derive(Debug)]
pub struct Edge {
    /// To the edge.
    pub commands: UnboundedSender<EdgeCommand>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// Start the edge on listening sockets.
pub fn start(
    _settings: Settings,
    _listeners: Vec<TcpListener>,
) -> std::io::Result<(Edge, UnboundedReceiver<EdgeEvent>)> {
    unimplemented!()
}

impl Edge {
    /// Accept nobody any more, close idle connections, let requests in flight end; then return.
    /// At `deadline` the rest is cut; the return value is how many that were.
    pub async fn drain(self, _deadline: Instant) -> usize {
        unimplemented!()
    }
}
