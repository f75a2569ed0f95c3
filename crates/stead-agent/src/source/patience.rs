//! A laptop that went away without a word is not waited for.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reads for as long as something comes within the time.
#[derive(Debug)]
pub struct Patient<R> {
    inner: R,
    patience: Duration,
}

impl<R: Read + AsFd> Patient<R> {
    /// Wait so long for each further byte.
    pub fn new(inner: R, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let time = Timespec::try_from(self.patience).ok();
        loop {
            let mut waited = [PollFd::new(&self.inner, PollFlags::IN)];
            match poll(&mut waited, time.as_ref()) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => return self.inner.read(buffer),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
