//! Two system calls on a socket, as the C library has them.

use std::ffi::{c_int, c_void};
use std::io;

const MSG_WAITALL: c_int = 0x100;
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

/// Wait until `buffer` is filled. An error, too, if the other side closed before that.
pub(crate) fn receive_all(socket: c_int, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: pointer and size are those of a slice.
        let received = unsafe { recv(socket, rest.as_mut_ptr().cast(), rest.len(), MSG_WAITALL) };
        match usize::try_from(received) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => filled += received,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
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
