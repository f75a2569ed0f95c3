//! The routing table: everything the edge knows. It is replaced as a whole, never edited.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::manifest::{Edge, Rate};
use crate::network::Network;
use crate::release::Protocol;

/// A whole table; the edge swaps it in atomically.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutingTable {
    /// Counts up with each published table.
    pub generation: u64,
    /// Most specific host first, then longest path, is found by the edge; order here is of no meaning.
    pub routes: Vec<Route>,
    /// By name, `<app>.<process>`.
    pub upstreams: BTreeMap<String, Upstream>,
    /// How visitors come in.
    #[serde(default)]
    pub edge: Edge,
}

/// Host names and a path prefix → a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Lower-case names without port, `*.example.com` for one level; empty: every host.
    pub hosts: Vec<String>,
    /// Prefix that matches whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    pub path: String,
    /// What answers.
    pub target: Target,
    /// Largest request body, bytes. More is answered 413.
    pub body_limit: u64,
    /// For requests of this route, in place of the upstream's.
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// What else holds for its requests and responses; `None`, for most routes: nothing.
    #[serde(default)]
    pub rules: Option<Box<Rules>>,
    /// How many requests one address may send.
    #[serde(default)]
    pub limit: Option<RateLimit>,
    /// What it asks of TLS; `None`: what is usual.
    #[serde(default)]
    pub tls: Option<Box<RouteTls>>,
}

/// What a route asks beyond its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Paths, each alone, that are sent elsewhere.
    pub moved: BTreeMap<String, Moved>,
    /// What an upstream gets in place of the route's path; `/` takes it off.
    pub rewrite: Option<String>,
    /// Set in each response.
    pub headers: BTreeMap<String, String>,
    /// Taken out of each response.
    pub remove_headers: Vec<String>,
    /// Set in each forwarded request.
    pub request_headers: BTreeMap<String, String>,
    /// Taken out of each forwarded request.
    pub remove_request_headers: Vec<String>,
    /// Name → bcrypt hash. Empty: everybody may come in.
    pub users: BTreeMap<String, String>,
    /// More of them, in a file with an absolute path; see [`crate::htpasswd`].
    pub users_file: Option<PathBuf>,
    /// Who has proved to be one of them is forwarded with the Authorization header that it sent.
    pub pass_authorization: bool,
    /// When visitors are asked to come back later.
    pub maintenance: Option<Maintenance>,
    /// `404`, `4xx` or `5xx` → an absolute path of a page.
    pub errors: BTreeMap<String, PathBuf>,
    /// Responses of upstreams are compressed.
    pub compress: bool,
}

/// When visitors are asked to come back later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// While this file, an absolute path, exists; `None`: always.
    pub file: Option<PathBuf>,
    /// Who is served nevertheless.
    pub allow: Vec<Network>,
}

/// Where a path is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Begins with `/`, `http://` or `https://`, and has no `/` at its end unless it is `/`.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// How many requests one address may send to the routes that have this limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Routes that name the same count together; it stays the same from one table to the next.
    pub name: String,
    /// In the long run.
    pub rate: Rate,
    /// So many at once, at least 1.
    pub burst: u32,
}

/// What a route asks of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteTls {
    /// What a visitor gets who comes over plain HTTP to a host that has a certificate.
    pub plain: PlainHttp,
    /// How long a browser is to come over TLS alone (RFC 6797). `None`: it is not told.
    pub hsts: Option<Duration>,
    /// That holds for every host below, too.
    pub hsts_subdomains: bool,
    /// The oldest version that is spoken with the hosts of the route.
    pub minimum: TlsVersion,
    /// PEM, an absolute path: visitors must have a certificate that one of these authorities has issued. All
    /// routes of a host ask for the same. `None`: they need none.
    pub client_ca: Option<PathBuf>,
    /// A visitor who asks for a host that no route names, and for which there is no certificate, is waited for while the
    /// agent gets one ([`crate::messages::EdgeEvent::Wanted`]). Of meaning for routes of every host or a wildcard.
    pub on_demand: bool,
}

/// What plain HTTP gets where there is TLS, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlainHttp {
    /// 308 to the same address with `https`.
    #[default]
    Redirect,
    /// What TLS gets.
    Serve,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a route says of times; `None`: as its upstream says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTimeouts {
    /// In place of [`Upstream::timeout`].
    pub first: Option<Duration>,
    /// In place of [`Timeouts::idle`].
    pub idle: Option<Duration>,
    /// In place of [`Timeouts::total`].
    pub total: Option<Duration>,
}

/// Times of an upstream beside [`Upstream::timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// For opening a connection to an instance.
    pub connect: Duration,
    /// The longest pause within a response. `None`: as [`Upstream::timeout`], and none for a response whose length is
    /// not known, which may be a stream of events.
    pub idle: Option<Duration>,
    /// From the moment that an instance has the request to the response's end, however much of it has come.
    /// `None`: no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: None,
            total: None,
        }
    }
}

/// How instances that serve are asked whether they still can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Path and query.
    pub path: String,
    /// Host header.
    pub host: String,
    /// The statuses that are good, both ends included.
    pub status: (u16, u16),
    /// From one check of an instance to the next.
    pub every: Duration,
}

/// What answers a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The instances of an upstream, by name.
    Upstream(String),
    /// Files below a folder; the route's path prefix is taken off first.
    Folder(Folder),
    /// To this host, with the request's path and query.
    Redirect {
        /// The host to go to.
        host: String,
        /// 301, 302, 303, 307 or 308.
        #[serde(default = "permanently")]
        status: u16,
    },
    /// To this path or URL, with what follows the route's path in the request's, and its query.
    Moved(Moved),
}

/// A redirect that keeps the method and that browsers remember (RFC 9110 section 15.4.9).
fn permanently() -> u16 {
    308
}

/// A folder of static files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Folder {
    /// Absolute path. Nothing outside of it is ever served.
    pub root: PathBuf,
    /// The upstream that answers when there is no such file; `None`: 404.
    pub fallback: Option<String>,
    /// The file, relative to the root, that answers for a path without a file and without an extension.
    #[serde(default)]
    pub page: Option<String>,
    /// Pattern → `Cache-Control`; the first that fits counts.
    #[serde(default)]
    pub cache: Vec<(String, String)>,
    /// Files without a precompressed sibling are compressed.
    #[serde(default)]
    pub compress: bool,
}

/// The set of instances that a route forwards to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// For log lines and error pages.
    pub app: String,
    /// For log lines.
    pub process: String,
    /// Which release these instances run.
    pub release: u64,
    /// What the instances speak.
    pub protocol: Protocol,
    /// Ready instances. Empty: requests wait in the queue until its deadline, then 503.
    pub instances: Vec<Instance>,
    /// An instance may take this long before it begins to answer, then 504 and [`crate::messages::EdgeEvent::RequestTimedOut`].
    pub timeout: Duration,
    /// Further times.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// A visitor's requests go to the same instance, by a cookie. Only for servers that speak HTTP or uwsgi.
    #[serde(default)]
    pub sticky: bool,
    /// `None`: instances are not asked; their answers to visitors tell enough.
    #[serde(default)]
    pub check: Option<Check>,
    /// How many requests may wait for a free connection.
    pub queue_limit: u32,
    /// How long one may wait, then 503 with Retry-After.
    pub queue_timeout: Duration,
}

/// One running copy of a process, as the edge sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique for the life of the agent; never used twice.
    pub id: InstanceId,
    /// Where it listens.
    pub address: Address,
    /// How many requests it takes at once.
    pub capacity: u32,
}

/// Names an instance; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(pub u64);

/// Where an instance listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Address {
    /// A unix stream socket.
    Unix(PathBuf),
    /// Loopback TCP.
    Tcp(SocketAddr),
}
