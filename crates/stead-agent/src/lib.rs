//! The agent keeps a host as its apps want it: instances, jobs, logs. It sits beside traffic,
//! never in it: it tells the edge what to route and must never be waited for by a visitor.

use std::path::PathBuf;

use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::release::Release;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// What the embedded runtime needs from its caller.
#[derive(Debug)]
pub struct Embedded {
    /// `.stead/`: sockets, logs, volumes, secrets, state.
    pub state: PathBuf,
    /// To the edge.
    pub edge: UnboundedSender<EdgeCommand>,
    /// From the edge.
    pub edge_events: UnboundedReceiver<EdgeEvent>,
    /// What the caller wants.
    pub control: UnboundedReceiver<Control>,
    /// What happened, for `render.rs`.
    pub reports: UnboundedSender<Report>,
}

/// What the caller of the embedded runtime wants.
#[derive(Debug)]
pub enum Control {
    /// Switch to this release (the first one too). A release that does not become healthy leaves
    /// the one before serving.
    Switch(Box<Release>),
    /// Stop everything: drain, SIGTERM, SIGKILL. A second `Stop` skips the drain.
    Stop,
}

/// What happened. One place, `render.rs` in the binary, turns these into lines.
#[derive(Clone, Debug)]
pub enum Report {
    /// A line that an instance or job printed.
    Line {
        /// `web.1`, `worker.1`, `job.refresh`, `release`.
        source: String,
        /// stderr rather than stdout.
        stderr: bool,
        /// Without its end; lossy UTF-8.
        text: String,
    },
    /// A sentence about something that Stead did or saw: an instance restarted, a job skipped.
    Note {
        /// What it is about: `web.1`, `job.refresh`.
        source: String,
        /// Something is wrong.
        warning: bool,
        /// One sentence, lower case.
        text: String,
    },
    /// A release serves: every instance that was asked for is healthy.
    Serving {
        /// Of the release.
        number: u64,
        /// `web: 5 instances of 16 threads (2 CPUs; 42 MB each)`.
        counts: Vec<String>,
    },
    /// The first instance of a release answers visitors.
    Answering {
        /// Of the release.
        number: u64,
    },
    /// A release did not become healthy.
    Failed {
        /// Of the release.
        number: u64,
        /// `cannot start …`, causes outermost first.
        causes: Vec<String>,
        /// What visitors get now: `release 3 still serves`.
        state: String,
        /// At most one.
        hint: Option<String>,
        /// The last 20 lines of the instance's log.
        log: Vec<String>,
    },
}

/// Run until stopped. Returns `Err` when the first release could not be started.
pub async fn run_embedded(_embedded: Embedded) -> Result<(), Stopped> {
    unimplemented!()
}

/// Why the runtime ended without having been asked to.
#[derive(Debug)]
pub struct Stopped;
