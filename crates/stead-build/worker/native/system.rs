//! Two system calls on a socket, as the C library has them.

use std::ffi::{c_int, c_void};
use std::io;

const MSG_DONTWAIT: c_int = 0x40;
const MSG_NOSIGNAL: c_int = 0x4000;

unsafe extern "C" {
    fn recv(socket: c_int, buffer: *mut c_void, size: usize, flags: c_int) -> isize;
    fn send(socket: c_int, bytes: *const c_void, size: usize, flags: c_int) -> isize;
}

/// Wait for some bytes, or a message, and put them where `start` points to.
///
/// # Safety
/// There are `size` bytes of memory, which nobody else uses meanwhile.
pub(crate) unsafe fn receive(socket: c_int, start: *mut u8, size: usize) -> io::Result<usize> {
    // SAFETY: as the caller says.
    let received = unsafe { recv(socket, start.cast(), size, 0) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Send what can be sent without waiting; how many bytes that were.
pub(crate) fn send_now(socket: c_int, bytes: &[u8]) -> usize {
    // SAFETY: pointer and size are those of a slice.
    let sent = unsafe {
        send(
            socket,
            bytes.as_ptr().cast(),
            bytes.len(),
            MSG_DONTWAIT | MSG_NOSIGNAL,
        )
    };
    // What went wrong, the next attempt says.
    usize::try_from(sent).unwrap_or(0)
}
