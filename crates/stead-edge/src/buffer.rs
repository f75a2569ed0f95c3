//! Read buffers, lent by the thread: a connection holds one only while there are bytes in it, so
//! that ten thousand idle visitors cost none.

use std::cell::RefCell;

/// Size of a buffer, bytes. A request's head may make one grow up to its own limit.
pub(crate) const SIZE: usize = 32 * 1024;
/// Buffers that a thread keeps for later.
const KEPT: usize = 32;
/// Vectors of up to so many bytes are small, and more of them are kept: each stream of HTTP/2 writes into two.
const SMALL: usize = 4 * 1024;
const KEPT_SMALL: usize = 256;
/// Vectors of more than twice [`SIZE`] and up to so many bytes, a request with its body, are kept apart: giving their memory back to the
/// system and asking for it again would cost as much as filling it.
const LARGE: usize = 9 * SIZE;
const KEPT_LARGE: usize = 8;
/// A new vector has room for a head, bytes.
const FIRST: usize = 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE_SCRATCH: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Empty (no buffer is held), or all initialised, so that a read needs no `unsafe`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What was read and not yet used.
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `length` bytes are used.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start += length;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room to read into, at least one byte; `None` when it holds `limit` bytes already.
    pub(crate) fn room(&mut self, limit: usize) -> Option<&mut [u8]> {
        if self.end - self.start >= limit {
            return None;
        }
        if self.bytes.is_empty() {
            self.bytes = POOL
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| vec![0; SIZE]);
        }
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                let length = (self.bytes.len() * 2).min(limit.max(SIZE));
                self.bytes.resize(length.max(self.end + 1), 0);
            }
        }
        Some(&mut self.bytes[self.end..])
    }

    /// So many bytes were read into the room.
    pub(crate) fn filled(&mut self, length: usize) {
        self.end += length;
    }

    /// Give the memory back to the thread when nothing is in it.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() && !self.bytes.is_empty() {
            give_back(std::mem::take(&mut self.bytes));
            (self.start, self.end) = (0, 0);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.bytes));
    }
}

fn give_back(bytes: Vec<u8>) {
    if bytes.len() == SIZE {
        // A thread that ends has no pool any more.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(bytes);
            }
        });
    }
}

/// An empty vector to write into, lent by the thread until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Scratch(pub(crate) Vec<u8>);

impl Scratch {
    pub(crate) fn take() -> Self {
        let kept = SCRATCH.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| Vec::with_capacity(FIRST)))
    }

    /// One that `length` bytes fit in, so that it need not grow while they are written; for few bytes any.
    pub(crate) fn with_room(length: usize) -> Self {
        if length <= 2 * SMALL {
            return Self::take();
        }
        let fitting = |pool: &mut Vec<Vec<u8>>| {
            let at = pool.iter().rposition(|kept| kept.capacity() >= length)?;
            Some(pool.swap_remove(at))
        };
        let kept = if length <= 2 * SIZE {
            SCRATCH.with_borrow_mut(fitting)
        } else {
            LARGE_SCRATCH.with_borrow_mut(fitting)
        };
        Self(kept.unwrap_or_else(|| Vec::with_capacity(length.next_multiple_of(SIZE))))
    }

    /// To write into: one is taken when none is held yet.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.0.capacity() == 0 {
            *self = Self::take();
        }
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        let (pool, kept) = match bytes.capacity() {
            0 => return,
            1..=SMALL => (&SCRATCH, KEPT_SMALL),
            capacity if capacity <= 2 * SIZE => (&SCRATCH, KEPT),
            capacity if capacity <= LARGE => (&LARGE_SCRATCH, KEPT_LARGE),
            _ => return,
        };
        bytes.clear();
        let _ = pool.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < kept {
                pool.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests;
