//! The lab: real Debian machines for tests, booted in seconds, broken on purpose, thrown away.
//!
//! Each machine is a systemd of its own in a container of systemd-nspawn, with sshd, journald and an address of its own,
//! on an overlay over one base that is built once ([`base`]) and kept in `$XDG_CACHE_HOME/stead-lab`, else
//! `/var/cache/stead-lab`. A [`Lab`] owns a bridge, a range of addresses and an ssh key; several labs run beside each
//! other. Runs in tests only, as root.
//!
//! It must never disturb the machine that it runs on: it touches no firewall, no route and no link but its own, and whatever
//! it makes is gone with the [`Lab`]. When a test was killed, the next [`Lab::start`] removes what it left behind, by
//! the names and process ids that were recorded ([`place`]).
//!
//! A machine that is killed here loses its processes, not what it had written: the kernel is shared, so nothing that was
//! only in its memory for files is lost. For a power cut that loses writes there is no device in this lab.

pub mod ability;
pub mod base;
mod command;
mod machine;
pub mod place;
mod process;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::place::Place;

pub use crate::machine::{Machine, SmallDisk};

/// Some machines that see each other, and that the tests see.
#[derive(Debug)]
pub struct Lab {
    place: Arc<Place>,
    base: PathBuf,
    /// The last part of the next machine's address.
    next: AtomicU8,
}

impl Lab {
    /// A lab without machines. Builds the base when there is none yet, which takes a minute or two. The error is for a person.
    pub fn start() -> Result<Self, String> {
        if let Some(missing) = ability::missing() {
            return Err(missing);
        }
        let cache = cache();
        let base = base::obtain(&cache)?;
        let place = Place::claim(&cache.join("labs"))?;
        let key = place.dir().join("key");
        let made = ["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"];
        command::run(
            "ssh-keygen",
            made.iter().map(AsRef::as_ref).chain([key.as_os_str()]),
        )?;
        // One machine can be reached from the beginning: none yet, and the file is there.
        fs::write(place.dir().join("ssh_config"), "").map_err(|error| error.to_string())?;
        Ok(Self {
            place: Arc::new(place),
            base,
            next: AtomicU8::new(10),
        })
    }

    /// The same; where no lab can be, says why, past the capture of test output, and gives `None`: the test is
    /// skipped. Panics when there could be one and it does not start.
    pub fn start_or_skip() -> Option<Self> {
        if let Some(missing) = ability::missing() {
            let test = std::thread::current().name().unwrap_or("test").to_owned();
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {missing}");
            return None;
        }
        match Self::start() {
            Ok(lab) => Some(lab),
            Err(why) => panic!("cannot start a lab: {why}"),
        }
    }

    /// Boot a machine and wait until it answers over ssh. `name`: a few lower-case letters and digits, used once.
    pub fn boot(&self, name: &str) -> Result<Machine, String> {
        self.boot_with(name, &[])
    }

    /// The same, with file systems of their own that can be filled.
    pub fn boot_with(&self, name: &str, disks: &[SmallDisk]) -> Result<Machine, String> {
        let last = self.next.fetch_add(1, Ordering::Relaxed);
        Machine::boot(&self.place, &self.base, name, last, disks)
    }

    /// For `ssh -F`: every machine by its name, as root, with the lab's key.
    pub fn ssh_config(&self) -> PathBuf {
        self.place.dir().join("ssh_config")
    }

    /// The private half of the key that opens every machine.
    pub fn key(&self) -> PathBuf {
        self.place.dir().join("key")
    }

    /// A directory that goes with the lab.
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }
}

/// Where the base and the machines are.
fn cache() -> PathBuf {
    let above = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty());
    above
        .map_or_else(|| "/var/cache".into(), PathBuf::from)
        .join("stead-lab")
}
