//! A keeper for programs that are no instances: those that a build runs.

use super::{Keeper, Kept};
use crate::{environment, listener, state};

/// Programs that are to end with the work that they are a part of.
///
/// Each of them, and whatever it starts, carries [`Custody::mark`] in its environment. When this value
/// is dropped, or Stead ends in whatever way, a keeper ends all that carry it.
#[derive(Debug)]
pub struct Custody {
    run: String,
    kept: Option<Kept>,
}

impl Custody {
    /// Start a keeper: Stead's own binary, which has to call [`keeper()`](super::keeper()) in its role of that name.
    ///
    /// The error says that there is no randomness, or that no process could be started.
    pub fn start() -> std::io::Result<Self> {
        Self::start_with(&Keeper::own_binary())
    }

    fn start_with(keeper: &Keeper) -> std::io::Result<Self> {
        let run = state::base64url(&listener::random::<16>()?);
        let kept = Kept::start(keeper, &run, [])?;
        Ok(Self {
            run,
            kept: Some(kept),
        })
    }

    /// The variable that every program in custody is started with: its name and its value.
    pub fn mark(&self) -> (&'static str, &str) {
        (environment::RUN, &self.run)
    }
}

impl Drop for Custody {
    /// Blocks until the keeper has ended what was left, for at most 5 s.
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            kept.finish();
        }
    }
}
