//! Signals, as what they ask for.

use std::fs::File;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// Let requests in flight end, then stop. The number is the signal's.
    Stop(u8),
    /// Load everything again.
    Reload,
}

/// The signals that this program listens to.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// A terminal was there at the start.
    had_terminal: bool,
    /// SIGHUP was ignored at the start (`nohup`): the end of the terminal is not to matter.
    nohup: bool,
}

impl Signals {
    /// From now on signals come here.
    pub(super) fn listen() -> io::Result<Self> {
        let nohup = ignores_hangup();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            had_terminal: has_terminal(),
            nohup,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Interrupt {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Interrupt::Stop(2),
                _ = self.terminate.recv() => return Interrupt::Stop(15),
                _ = self.hangup.recv() => {
                    // The kernel sends the same signal when a terminal is closed as a person
                    // who wants a reload does.
                    if !self.had_terminal || has_terminal() {
                        return Interrupt::Reload;
                    }
                    if !self.nohup {
                        return Interrupt::Stop(1);
                    }
                }
            }
        }
    }
}

fn has_terminal() -> bool {
    match File::open("/dev/tty") {
        Ok(_) => true,
        // Visitors have every descriptor: that says nothing about a terminal.
        Err(error) => matches!(
            error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
        ),
    }
}

/// `SigIgn` of `/proc/self/status` is a mask in which SIGHUP is bit 0.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}
