//! The agent keeps a host as its apps want it: instances, jobs, logs. It sits beside traffic,
//! never in it: it tells the edge what to route and must never be waited for by a visitor.
//!
//! # The embedded runtime
//! [`run_embedded`] is one loop that owns everything that is known and alone decides. It asks
//! [`stead_model::plan::plan`] what to do, does it, and waits for the next thing to happen:
//!
//! | from | what comes | over |
//! |---|---|---|
//! | the caller | [`Control`]: switch, stop | `Embedded::control` |
//! | the edge | table confirmed or refused, probe answered, instance drained, request timed out | `Embedded::edge_events` |
//! | the kernel | SIGCHLD: some child ended | a tokio signal stream |
//! | the tasks below | a child is buried, memory is measured, ports are found, a line of a preloading worker | one internal channel |
//! | time | the planner's next wake, probes, jobs, measuring | a timer until the nearest |
//!
//! It says what it wants over `Embedded::edge` (tables and probes) and what happened over `Embedded::reports`; neither
//! is ever waited for. Beside the loop there are:
//!
//! | task | does | ends |
//! |---|---|---|
//! | thread `spawner` | forks; lives as long as its children, who get SIGKILL when it ends | with the loop |
//! | thread `logs` | reads every pipe, splits lines, remembers the last 20, limits what is shown | when all pipes have ended |
//! | thread `log-writer` | writes log files behind a bounded queue; what does not fit is dropped and counted | after `logs` |
//! | task `bury`, one for each child that ended | ends everything that belonged to it, waits for the rest of its log, reaps it | by itself |
//! | task for each preloading worker | reads its control socket | with the worker |
//! | blocking tasks | memory of process trees, listening ports | by themselves |
//! | process `keeper` | when Stead is gone, ends every process of the run | after Stead |
//!
//! Everything that runs has `STEAD_RUN` (this run) and `STEAD_INSTANCE` (one instance or run of a job) in its
//! environment and a session of its own; the agent tells the keeper each session. So nothing gets away:
//! not a program that forked twice, nor one that took a session of its own, nor one that overwrote its environment.
//!
//! # Certificates
//! [`certificates`] is a loop of its own beside that one: an app that does not start holds up no renewal, and an
//! authority that hangs no app.
//!
//! # What was decided
//! - **Environment** (`environment.rs`): everything of Stead's own is inherited but what describes a terminal, a
//!   shell, another virtual environment, supervisor or address; then `[env]`, secrets, and what Stead says.
//! - **Order of a switch**: release command; the first new instance alone; the others, as many at once as there are CPUs
//!   (at least two), or more when the first one mostly waited; one table with only new ones; the old ones drain, get SIGTERM, then SIGKILL.
//! - **Workers** (processes that visitors do not reach) start after the switch, each when its predecessor has ended.
//! - **Little memory** (measured before each switch): old instances make room one by one, and the switch
//!   comes with as many new ones as fit.
//! - **A program that insists on a port** runs once, and visitors wait in the edge's queue while it is replaced.
//! - **SIGTERM** goes to an instance's own process, which ends those it started in its own way. When it has ended, what
//!   it left behind gets SIGTERM too (a shell passes none on), and SIGKILL when the time is over.
//! - **Volumes** (`state.rs`): a link where nothing is; what is there stays as it is. Nothing is moved or deleted.
//! - **Jobs** (`clock.rs`): an instant is run once, whatever the clock does; a running job ends with Stead, not with its release.
//! - **Logs**: 10 MB and two older files for each source, 4 MB a second, 16 KB a line; what is shown is limited further.
//!
//! # What it must never do
//! Stop what serves before its successor does; edit a published table; give an instance id twice; signal a
//! process id that may have been reused (children are reaped only after everything of theirs was ended); put a
//! secret into an argument, a log or a report; move or delete what is in the developer's working tree.

use std::path::PathBuf;

use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::release::Release;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

mod advice;
mod api;
pub mod apps;
pub mod certificates;
mod clock;
mod environment;
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
mod keeper;
mod listener;
mod logs;
mod machine;
mod processes;
pub mod push;
mod runtime;
pub mod source;
mod spawn;
mod state;
pub mod store;
mod table;
pub mod webhook;

pub use api::{Agent, AskEdge, Asked, Client, Failure, serve};
pub use keeper::{Custody, Keeper, keeper};

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
    /// The soft limit of open files that programs are started with; `None`: that of this process, or none.
    pub descriptors: Option<u64>,
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
    /// A process of the release that serves ends again and again.
    CrashLoop {
        /// `web.1`.
        source: String,
        /// One sentence, lower case.
        text: String,
        /// What visitors get now.
        state: String,
        /// The last 20 lines of its log.
        log: Vec<String>,
    },
}

/// Run until stopped. Returns `Err` when the first release could not be started; why was reported.
///
/// Whoever stops it drains the edge first and sends [`Control::Stop`] then: with an edge that is gone, instances
/// are told to stop at once; one that is still there is sent an empty table, and instances drain.
///
/// Needs a tokio runtime with I/O, time and signals, and a binary that calls [`keeper()`] in its role of that name.
pub async fn run_embedded(embedded: Embedded) -> Result<(), Stopped> {
    run_embedded_with(embedded, Keeper::own_binary()).await
}

/// The same, for a program whose keeper is started in another way.
pub async fn run_embedded_with(embedded: Embedded, keeper: Keeper) -> Result<(), Stopped> {
    runtime::run(embedded, keeper).await
}

/// Why the runtime ended without having been asked to.
#[derive(Debug)]
pub struct Stopped;
