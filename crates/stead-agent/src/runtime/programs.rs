//! Programs that are not instances: told to end, and killed when they do not.

use std::time::Duration;

use super::Runtime;
use super::children::Owner;

/// How long one may take to end after SIGTERM.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Programs that were told to end, and when they are killed.
pub(crate) type Ending = Vec<(Owner, Duration)>;

impl Runtime {
    /// SIGTERM to a program that is no instance, then SIGKILL to everything that belongs to it.
    pub(crate) fn end_program(&mut self, owner: &Owner) {
        if self.ending.iter().any(|(o, _)| o == owner) {
            return;
        }
        self.children.terminate(owner);
        let at = self.epoch.elapsed() + GRACE;
        self.ending.push((owner.clone(), at));
    }

    /// Kill those whose time is over.
    pub(crate) fn kill_those_overdue(&mut self) {
        let now = self.epoch.elapsed();
        let at_once = self.desired.at_once;
        let children = &self.children;
        self.ending.retain_mut(|(owner, at)| {
            let Some(belonging) = children.belonging(owner) else {
                return false;
            };
            if at_once || now >= *at {
                children.kill(owner);
                tokio::task::spawn_blocking(move || belonging.end(Duration::from_secs(2)));
                // If something holds it, once more.
                *at = now + Duration::from_secs(2);
            }
            true
        });
    }

    /// When the next one is to be killed.
    pub(crate) fn next_overdue(&self) -> Option<Duration> {
        self.ending.iter().map(|(_, at)| *at).min()
    }
}
