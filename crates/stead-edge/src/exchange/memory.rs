//! A large piece of a response, read from where the worker's app has it.
//!
//! Over a socket such a piece is copied twice, in and out, and its worker is woken again and again. Here it is copied
//! once, and its worker is told when that is done.

use std::io;

use rustix::process::Pid;

/// Bytes in a worker's memory that stay as they are until the worker is told that they were read.
#[derive(Debug)]
pub(super) struct Memory {
    /// Whose; as the kernel says, so that no worker can name another process.
    owner: Pid,
    address: u64,
    left: u64,
    /// The response ends with it.
    last: bool,
}

impl Memory {
    /// What the payload of a `MEMORY` frame says; `None`: it is malformed.
    pub(super) fn parse(payload: &[u8], owner: Pid) -> Option<Self> {
        let (address, rest) = payload.split_at_checked(8)?;
        let (left, last) = rest.split_at_checked(8)?;
        let memory = Self {
            owner,
            address: u64::from_le_bytes(address.try_into().ok()?),
            left: u64::from_le_bytes(left.try_into().ok()?),
            last: *last == [1],
        };
        let whole = memory.left > 0 && matches!(last, [0 | 1]);
        (whole && memory.address.checked_add(memory.left).is_some()).then_some(memory)
    }

    /// All of it was read.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The response ends with it.
    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    /// Read the next bytes into `room`, at least one. An error: this process may not, or there is nothing.
    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(room.len());
        let length = read_from(self.owner, self.address, &mut room[..most])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.address += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// One `process_vm_readv` (process_vm_readv(2)).
#[allow(unsafe_code)]
fn read_from(owner: Pid, address: u64, room: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address as usize),
        iov_len: room.len(),
    };
    let owner = owner.as_raw_nonzero().get();
    // SAFETY: `local` is `room`, which is ours alone meanwhile; the kernel checks the other address, which is never
    // followed here, and writes nothing there.
    let length = unsafe { libc::process_vm_readv(owner, &local, 1, &remote, 1, 0) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests;
