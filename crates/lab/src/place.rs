//! A numbered place for a lab: directory, bridge, addresses. Held by a file lock, so that the kernel gives it free when
//! a test is killed; whoever claims a place next removes what was left there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command;
use crate::process::Known;

/// So many labs at the same time, on one machine. More than a byte holds cannot be.
const PLACES: u8 = 200;

/// A place that is ours until this is dropped.
#[derive(Debug)]
pub struct Place {
    number: u8,
    dir: PathBuf,
    /// Held for as long as the place.
    _lock: File,
}

impl Place {
    /// The first one that nobody holds. Clears every place that nobody holds.
    pub fn claim(labs: &Path) -> Result<Self, String> {
        let because = |error: std::io::Error| format!("cannot use `{}`: {error}", labs.display());
        fs::create_dir_all(labs).map_err(because)?;
        let mut claimed = None;
        for number in 1..=PLACES {
            let dir = labs.join(number.to_string());
            if claimed.is_some() && !dir.exists() {
                continue;
            }
            let lock = File::create(labs.join(format!("{number}.lock"))).map_err(because)?;
            if lock.try_lock().is_err() {
                continue;
            }
            let place = Self {
                number,
                dir,
                _lock: lock,
            };
            place.clear();
            claimed.get_or_insert(place);
        }
        let place = claimed.ok_or("every place for a lab is taken")?;
        fs::create_dir_all(place.dir.join("machines")).map_err(because)?;
        place.make_bridge()?;
        Ok(place)
    }

    /// Everything of this lab is in here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bridge that machines are connected to; a link's name has 15 characters at most.
    pub fn bridge(&self) -> String {
        format!("stead-lab{}", self.number)
    }

    /// The address with this last part; 1 is this side's.
    pub fn address(&self, last: u8) -> String {
        // Of the private range, a part that hardly anybody uses.
        format!("10.213.{}.{last}", self.number)
    }

    /// What systemd-nspawn calls a machine.
    pub fn machine(&self, name: &str) -> String {
        format!("lab{}-{name}", self.number)
    }

    /// This side's end of a machine's cable, as systemd-nspawn names it.
    pub fn cable(&self, name: &str) -> String {
        format!("vb-{}", self.machine(name))
    }

    fn make_bridge(&self) -> Result<(), String> {
        let bridge = self.bridge();
        let address = format!("{}/24", self.address(1));
        command::run("ip", ["link", "add", &bridge, "type", "bridge"])?;
        command::run("ip", ["address", "add", &address, "dev", &bridge])?;
        command::run("ip", ["link", "set", &bridge, "up"])?;
        Ok(())
    }

    /// End and remove everything that was recorded here. What is not there is no failure; what cannot be removed will
    /// be in the way of the next claim, which says so.
    fn clear(&self) {
        for machine in fs::read_dir(self.dir.join("machines"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Some(process) = Known::read(&machine.path().join("process")) {
                end(process);
            }
            let name = machine.file_name().to_string_lossy().into_owned();
            self.unplug(&name);
        }
        self.unmount(&self.dir);
        let _ = command::run("ip", ["link", "delete", &self.bridge()]);
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Remove a machine's cable, if systemd-nspawn did not.
    pub(crate) fn unplug(&self, name: &str) {
        let _ = command::run("ip", ["link", "delete", &self.cable(name)]);
    }

    /// Unmount everything at and below `dir`, the innermost first.
    pub(crate) fn unmount(&self, dir: &Path) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // The fifth field of proc_pid_mountinfo(5). Names in here have no characters that it escapes.
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let ours = points.filter(|point| Path::new(point).starts_with(dir));
        for point in ours.collect::<Vec<_>>().into_iter().rev() {
            let _ = command::run("umount", ["--lazy", point]);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
    }
}

/// End a machine: its first process, not systemd-nspawn itself, which then cleans up.
pub(crate) fn end(process: Known) {
    for leader in process.children() {
        leader.kill();
    }
    if !process.has_ended_within(Duration::from_secs(10)) {
        process.kill();
        process.has_ended_within(Duration::from_secs(2));
    }
}
