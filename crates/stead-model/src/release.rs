//! A release: what was built, ready to be run. The agent runs exactly this and asks nobody else.
//!
//! On a host it is kept as JSON for as long as it may be wanted again: a field that is added later has a default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::manifest::{Count, Edge, Health, Job, Webhook};
use crate::routing::{Route, Timeouts};

/// A numbered, immutable set: code, environment, configuration, jobs and routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The app's name.
    pub app: String,
    /// Counts up from 1.
    pub number: u64,
    /// The code's root; the working directory of everything that runs.
    pub code: PathBuf,
    /// Put first on `PATH`, in this order: the environment's `bin`, `node_modules/.bin`.
    pub path: Vec<PathBuf>,
    /// Variables for everything that runs: `[env]` and what the build adds. Secrets are added by the agent.
    pub env: BTreeMap<String, String>,
    /// Names of secrets to hand over; `true`: made by Stead when there is no value.
    pub secrets: BTreeMap<String, bool>,
    /// Name → path inside the code.
    pub volumes: BTreeMap<String, String>,
    /// A shell line, run once before the first instance.
    pub release_command: Option<String>,
    /// What runs, by name.
    pub processes: BTreeMap<String, ProcessSpec>,
    /// What runs on a schedule, by name.
    pub jobs: BTreeMap<String, Job>,
    /// The app's part of the routing table. An upstream is named `<app>.<process>`.
    pub routes: Vec<Route>,
    /// How visitors come in.
    pub edge: Edge,
    /// The branch elsewhere that a host deploys when it is told of a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// One process of a release, resolved: the argument vector is final but for `{placeholders}` below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// How it is started.
    pub start: Start,
    /// What its instances speak, `None` for a process that visitors do not reach.
    pub listen: Option<Listen>,
    /// How many.
    pub count: Count,
    /// Requests that one instance takes at once: threads for WSGI, a large number for HTTP servers.
    pub capacity: u32,
    /// Bytes per instance, above which it is recycled.
    pub memory: Option<u64>,
    /// An instance may take this long before it begins to answer.
    pub timeout: Duration,
    /// Further times of a request.
    pub timeouts: Timeouts,
    /// A visitor's requests go to the same instance.
    pub sticky: bool,
    /// How long a draining instance may finish.
    pub drain: Duration,
    /// When it counts as ready.
    pub health: Health,
}

/// How an instance is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The argument vector; `argv[0]` is looked up in the release's `path`, then in `PATH`.
    /// `{port}` in an argument is replaced by the port (for [`Listen::Port`]),
    /// `{socket}` by the unix socket's path (for [`Listen::Path`]).
    Command(Vec<String>),
    /// Stead's own worker: `[interpreter, worker.py, …]`, which imports the app once and forks
    /// `count` instances from it. Same protocol; see `worker.py`.
    Preload(Vec<String>),
}

/// How the edge reaches an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listen {
    /// A unix socket opened by the agent and passed down as descriptor 3 (`LISTEN_FDS=1`,
    /// `LISTEN_PID` set, `STEAD_SOCKET` its path).
    Descriptor(Protocol),
    /// A unix socket path that the program itself binds.
    Path(Protocol),
    /// A free loopback port that the program itself binds, in `PORT` and `HOST=127.0.0.1`.
    Port(Protocol),
}

/// What is spoken over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Stead's worker frames (docs/worker-protocol.md).
    Frames,
    /// HTTP/1.1.
    Http,
    /// The uwsgi protocol, packet type 0.
    Uwsgi,
}
