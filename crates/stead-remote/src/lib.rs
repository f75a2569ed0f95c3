//! On the laptop: hosts, and how they are reached. On a host, when an app is pushed there, the same for what is pushed.
//!
//! Everything goes through the user's own `ssh`, with the configuration, keys, agents and jump hosts that it knows; no port of a host is open
//! for Stead. What a host does is in the program itself: it is copied there, and its verb `api` is run with JSON on standard
//! input. It must never build a line of shell out of values but by [`quote::line`], and change nothing on a host that no plan has
//! shown.

pub mod known;
pub mod push;
pub mod quote;
mod session;
mod snapshot;
mod ssh;
mod target;

pub use session::{GiveUp, Outcome, Own, Sent, Session};
pub use snapshot::{Contents, Snapshot};
pub use target::Target;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The act and its object.
    pub act: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// At most one; it can be typed as it stands.
    pub hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(act: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            act: act.into(),
            causes: vec![cause.into()],
            hint: None,
        }
    }

    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
