//! The embedded runtime with real processes and a real (if small) edge.

#![allow(clippy::unwrap_used)]

mod endings;
mod first_release;
mod house;
mod jobs;
mod logs;
mod orphans;
mod preload;
mod reload;

/// Not a test: the keeper of the tests. The runtime starts this very binary with a filter that names it.
#[test]
fn keeper_role() {
    if let Ok(run) = std::env::var("STEAD_KEEPS") {
        stead_agent::keeper(&run);
    }
}
