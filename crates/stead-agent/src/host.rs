//! What the program does on a host for a laptop that sets it up: look, set up, take down. The laptop has copied the program there and
//! runs it as root over ssh; it decides with [`stead_model::host::plan()`], and so does this, again.
//!
//! Nothing of others is ended, changed or removed: what is in the way is named.

mod listeners;
mod look;
pub(crate) mod program;
mod set_up;
mod take_down;

use std::time::Instant;

use stead_model::host::Progress;

pub use look::{digest, look};
pub use set_up::set_up;
pub use take_down::take_down;

/// Why it did not come further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The act and its object.
    pub act: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
}

impl Failed {
    fn new(act: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            act: act.into(),
            causes: vec![cause.into()],
        }
    }
}

/// Do one thing and say that it was done, and how long it took.
fn step(
    what: String,
    tell: &mut dyn FnMut(Progress),
    act: impl FnOnce() -> Result<(), String>,
) -> Result<(), Failed> {
    let began = Instant::now();
    act().map_err(|cause| Failed::new(format!("cannot {what}"), cause))?;
    tell(Progress::Done {
        what,
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    Ok(())
}
