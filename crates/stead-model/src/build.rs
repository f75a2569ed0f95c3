//! What travels between an agent and `stead build-release`, the program that builds for it: [`BuildWish`] as JSON on its standard
//! input, [`BuildSaid`] on its standard output, one JSON value a line.
//!
//! The program runs as a user that has no other rights than to write to [`BuildWish::state`] and, for build commands and Node's
//! packages, to [`BuildWish::code`]. Every path of the release is the one that it has there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::Failed;
use crate::manifest::{Acme, Tls};
use crate::release::Release;

/// Raised when an older program would misunderstand a message. Both ends are the same program, but while a host is being
/// upgraded.
pub const PROTOCOL: u32 = 1;

/// The longest line that the program writes, bytes: a release with some hundred thousand redirects. An agent reads no further.
pub const LONGEST_LINE: usize = 32 << 20;

/// What is to be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildWish {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// The app's name. A `stead.toml` that names another is an error.
    pub app: String,
    /// The release's number.
    pub number: u64,
    /// The tree, written out: an absolute path.
    pub code: PathBuf,
    /// An absolute path. Environments are `envs/KEY` below it, shared by releases; the worker and what is downloaded are beside them. Nothing
    /// of it is removed by a build: the agent knows which environments its releases need ([`Release::path`] leads into them).
    pub state: PathBuf,
}

/// What the program says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildSaid {
    /// A step begins: `packages of requirements.txt`.
    Step {
        /// What is done.
        text: String,
    },
    /// A line that a program of the step printed.
    Output {
        /// Without its end.
        line: String,
    },
    /// The step ended.
    Ended {
        /// `7 packages in 0.8 s`, `unchanged`; empty: there is nothing to say.
        detail: String,
    },
    /// A sentence that a person should know.
    Note {
        /// The sentence.
        text: String,
    },
    /// The last line: it was built.
    Built(Box<Built>),
    /// The last line: there is no release.
    Failed(Box<Failed>),
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Built {
    /// What is to run.
    pub release: Release,
    /// Where certificates for its hosts come from.
    #[serde(default)]
    pub acme: Acme,
    /// How its hosts are spoken to over TLS.
    #[serde(default)]
    pub tls: Tls,
}
