//! Response bytes that are held for visitors who read slowly, counted for one and for all together.

use std::cell::Cell;

/// Bytes held for all visitors of a thread together, beyond which nobody is given more ahead: an
/// instance then waits for its visitor, so that thousands of slow readers cannot fill the memory.
pub(super) const ALL_LIMIT: usize = 64 * 1024 * 1024;

thread_local! {
    /// A visitor stays on its thread.
    static ALL: Cell<usize> = const { Cell::new(0) };
}

/// Bytes held for one visitor.
#[derive(Debug, Default)]
pub(super) struct Held(usize);

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.0
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.0 += bytes;
        let _ = ALL.try_with(|all| all.set(all.get() + bytes));
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.0 -= bytes;
        // A thread that ends has no count any more.
        let _ = ALL.try_with(|all| all.set(all.get().saturating_sub(bytes)));
    }

    /// All visitors of this thread hold too much together.
    pub(super) fn is_crowded() -> bool {
        ALL.get() >= ALL_LIMIT
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.subtract(self.0);
    }
}
