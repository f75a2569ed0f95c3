//! How instances do, as their requests and checks show.

use std::sync::Arc;

use stead_model::release::Protocol;
use stead_model::routing::InstanceId;
use tokio::time::Instant;

use super::{COOL_DOWN, Outcome, Place, Settings, Slot, State};

impl State {
    /// Nothing for this instance for a while.
    pub(in crate::upstream) fn cool_down(&mut self, id: InstanceId, now: Instant) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            slot.not_before = Some(now + COOL_DOWN);
        }
    }

    /// How a request went for its instance, which may then be left out for a while. The sentence is for a person;
    /// `true` with it: the instance should be replaced.
    pub(in crate::upstream) fn observe(
        &mut self,
        id: InstanceId,
        outcome: Outcome,
        now: Instant,
    ) -> Option<(String, bool)> {
        if self.settings.protocol == Protocol::Frames {
            return None;
        }
        let at = self.slots.iter().position(|slot| slot.id == id)?;
        self.slots[at].health.observe(outcome, now);
        let others = || self.slots.iter().filter(|slot| slot.id != id);
        let usable = |slot: &&Slot| {
            !slot.health.is_out(now) && slot.not_before.is_none_or(|time| time <= now)
        };
        if outcome == Outcome::Unreachable && !others().any(|slot| usable(&slot)) {
            self.slots[at].not_before = Some(now + COOL_DOWN);
            return None;
        }
        if !matches!(outcome, Outcome::Failed | Outcome::Unreachable) {
            return None;
        }
        let complaint = self.slots[at].health.complaint()?;
        // At most half of them, and only when another one does better: else it is the app's fault.
        let out = others().filter(|slot| slot.health.is_out(now)).count();
        let better = others().any(|slot| usable(&slot) && slot.health.does_better());
        if self.slots[at].health.is_out(now) || (out + 1) * 2 > self.slots.len() || !better {
            return None;
        }
        let proven = others().any(|slot| usable(&slot) && slot.health.is_proven());
        let replace = self.slots[at].health.pause(now) && proven;
        Some((complaint, replace))
    }

    /// The instances that can be checked now, and how. `None`: none are to be.
    pub(in crate::upstream) fn checks(&self) -> Option<(Arc<Settings>, Vec<Place>)> {
        self.settings.check.as_ref()?;
        let frames = self.settings.protocol == Protocol::Frames;
        // One that has all the requests that it takes would not answer another one; how it answers those
        // tells as much.
        let free = self
            .slots
            .iter()
            .filter(|slot| slot.busy < if frames { 1 } else { slot.capacity });
        let free = free.map(|slot| (slot.id, Arc::clone(&slot.address)));
        Some((Arc::clone(&self.settings), free.collect()))
    }

    /// A check of an instance went like this. `true`: from now on it counts as failing.
    pub(in crate::upstream) fn checked(&mut self, id: InstanceId, good: bool) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.id == id);
        slot.is_some_and(|slot| slot.health.checked(good))
    }
}
