//! What processes cost, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A process and all below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trees(pub(crate) Vec<u32>);

impl Trees {
    /// CPU seconds used so far, by those that ended too: a parent that has waited for a child
    /// carries the child's time.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let ticks: u64 = self.members().iter().filter_map(|pid| ticks(*pid)).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Proportional set size in bytes, of those processes whose program `select` takes.
    pub(crate) fn pss(&self, select: impl Fn(&Path) -> bool) -> u64 {
        self.members()
            .iter()
            .filter(|pid| program(**pid).is_some_and(|path| select(&path)))
            .filter_map(|pid| pss(*pid))
            .sum()
    }

    /// Each member's program and its proportional set size.
    pub(crate) fn pss_of_each(&self) -> Vec<(PathBuf, u64)> {
        self.members()
            .iter()
            .filter_map(|pid| Some((program(*pid)?, pss(*pid)?)))
            .collect()
    }

    /// The roots and everything below them.
    pub(crate) fn members(&self) -> BTreeSet<u32> {
        let parents = parents();
        let mut members: BTreeSet<u32> = self.0.iter().copied().collect();
        loop {
            let before = members.len();
            for (pid, parent) in &parents {
                if members.contains(parent) {
                    members.insert(*pid);
                }
            }
            if members.len() == before {
                return members;
            }
        }
    }
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect()
}

/// The fields of `/proc/PID/stat` from the third on: the second may hold spaces.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// utime, stime, cutime and cstime: fields 14 to 17 of proc(5).
fn ticks(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<u64>().ok())
        .sum()
}

fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::Trees;

    #[test]
    fn the_own_process_has_used_time_and_memory() {
        let own = Trees(vec![std::process::id()]);
        assert!(own.members().contains(&std::process::id()));
        assert!(own.pss(|_| true) > 0);
        assert!(own.cpu_seconds() >= 0.0);
    }

    #[test]
    fn a_child_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sleep")
            .arg("10")
            .spawn()
            .unwrap();
        let own = Trees(vec![std::process::id()]);
        assert!(own.members().contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
