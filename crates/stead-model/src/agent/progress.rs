//! What is said of a wish while it is carried out, and at its end.

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The release that is being made.
    Release {
        /// Its number.
        number: u64,
    },
    /// A step begins. Steps do not overlap: the next one ends with [`Progress::Ended`] of this one.
    Began {
        /// `build`, `release command`, `start web.1`.
        step: String,
    },
    /// The step that had begun ended well.
    Ended {
        /// The same words.
        step: String,
        /// How long it took.
        milliseconds: u64,
        /// `7 packages`, `unchanged`; empty: there is nothing to say.
        #[serde(default)]
        detail: String,
    },
    /// A line that a program of the step printed.
    Output {
        /// Which one.
        stream: Stream,
        /// Without its end.
        line: String,
    },
    /// A sentence that a person should know, lower case.
    Note {
        /// The sentence.
        text: String,
    },
}

/// Whose output it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// An installer's or a build command's: folded until the build fails.
    Build,
    /// The release command's: shown as it comes.
    Release,
}

/// How it is, now that it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// What was done: `release 42 serves`, one line.
    pub text: String,
    /// The release that serves. `None`: none does.
    pub release: Option<u64>,
    /// The one that served before.
    pub previous: Option<u64>,
    /// From the wish to its end.
    pub milliseconds: u64,
    /// A line for each process: `web: 5 instances of 16 threads (2 CPUs; 42 MB each)`.
    pub counts: Vec<String>,
    /// Where visitors find the app: `http://shop.example.com`. Empty: at the host's addresses.
    pub addresses: Vec<String>,
}

/// Why it was not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failed {
    /// The act and its object: ``cannot deploy `shop` ``.
    pub act: String,
    /// `stead.toml:14`, for a configuration that is wrong.
    pub place: Option<String>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What visitors get now: `release 41 still serves; release 42 received no visitors`.
    pub state: Option<String>,
    /// At most one; runnable on the laptop as it stands.
    pub hint: Option<String>,
    /// The last lines of what failed.
    pub log: Vec<String>,
    /// The configuration is wrong, rather than something that happened.
    pub configuration: bool,
}
