//! What agent and edge say to each other. In `stead up` these cross a channel, on a host a unix
//! socket; agent and edge share nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::certificates::{CertificateReport, CertificateTable};
use crate::release::Protocol;
use crate::routing::{Address, InstanceId, RoutingTable};

/// Agent → edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeCommand {
    /// Swap this table in. Answered by `Published` or `Refused`. An instance that is no longer in
    /// the table gets no new request; `Drained` follows when its last one has ended.
    Publish(RoutingTable),
    /// Send one GET to an instance that is in no table yet. Answered by `Probed`.
    Probe(Probe),
    /// Answer these questions of a certificate authority, and no others from now on. Answered by `Answering`.
    HttpChallenges(HttpChallenges),
    /// Ask the app that has this route. Answered by `Asked`.
    Ask(Question),
    /// There will be no certificate for this host at present: whoever waits for it is refused, and so is who comes within
    /// this time.
    NotWanted {
        /// In lower case.
        host: String,
        /// Not longer than an hour; then it is asked for again.
        within: Duration,
    },
    /// Swap these certificates in. Answered by `Certificates`. Connections that are open keep what they have.
    Certificates(CertificateTable),
}

/// What a certificate authority that asks over plain HTTP is answered (HTTP-01, RFC 8555 section 8.3): all of it,
/// replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpChallenges {
    /// Counts up with each set.
    pub generation: u64,
    /// Token → key authorization. A token that is not here is a request as any other, so that other clients, which put
    /// files into a folder, work as well.
    pub answers: BTreeMap<String, String>,
}

/// A question to an app: a GET to whichever instance serves the route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Comes back in the answer.
    pub id: u64,
    /// The host whose routes are meant, and the Host header.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// For waiting, connecting and answering together.
    pub timeout: Duration,
}

/// One readiness probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Comes back in the answer.
    pub id: u64,
    /// Where to.
    pub address: Address,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Path and query.
    pub path: String,
    /// Host header.
    pub host: String,
    /// For connecting and answering together.
    pub timeout: Duration,
}

/// Edge → agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeEvent {
    /// Every new request uses this generation from now on.
    Published {
        /// Of the table.
        generation: u64,
    },
    /// The table is not valid; the one before still serves.
    Refused {
        /// Of the table.
        generation: u64,
        /// For a person.
        why: String,
    },
    /// These questions of a certificate authority are answered from now on.
    Answering {
        /// Of the set.
        generation: u64,
    },
    /// A probe's result.
    Probed {
        /// Of the probe.
        id: u64,
        /// The status code, or why there was none.
        outcome: Result<u16, String>,
    },
    /// What the app answered.
    Asked {
        /// Of the question.
        id: u64,
        /// The status code, or why there was none.
        outcome: Result<u16, String>,
    },
    /// Visitors wait for a certificate for this host, which no route names. `Certificates` with one for it or `NotWanted`
    /// ends it; until then it is not said again.
    Wanted {
        /// In lower case.
        host: String,
    },
    /// An instance that left the table has no request any more.
    Drained {
        /// Which.
        instance: InstanceId,
    },
    /// A request took longer than its upstream's timeout; the visitor got 504. The thread that
    /// serves it is lost: replace the instance.
    RequestTimedOut {
        /// Which.
        instance: InstanceId,
        /// The request line's method and path, for the log.
        request: String,
        /// The time that it had.
        after: Duration,
    },
    /// An instance fails its checks or most of its requests while others do not, and gets no requests for now, if
    /// there is any other: replace it.
    InstanceUnhealthy {
        /// Which.
        instance: InstanceId,
        /// For a person.
        why: String,
    },
    /// An instance could not be reached, closed its connection mid-answer or answered nonsense.
    InstanceFailed {
        /// Which.
        instance: InstanceId,
        /// For a person.
        why: String,
    },
    /// A file of users that a route names is not as it should be, or is again ([`crate::htpasswd::report`]).
    UsersFile {
        /// Which.
        file: PathBuf,
        /// What is wrong with it, and whom it lets in now. `None`: nothing any more.
        problem: Option<String>,
    },
    /// Certificates were taken in: those of a table, or files that have changed on disk.
    Certificates(CertificateReport),
}
