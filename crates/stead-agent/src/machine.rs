//! What this machine has: CPUs and memory that may be used, and what processes take of it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// CPUs that this process may use: those it may be scheduled on, or fewer when a cgroup grants less time. At least 1.
pub(crate) fn cpus() -> u32 {
    let scheduled = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
    let granted = cpu_quota(Path::new("/")).map_or(f64::MAX, |cpus| cpus.ceil());
    let granted = if granted >= f64::from(scheduled) {
        scheduled
    } else {
        granted as u32
    };
    granted.max(1)
}

/// Bytes that can be allocated without swapping: what the kernel deems available, or less when a cgroup's limit is nearer.
pub(crate) fn memory_available() -> Option<u64> {
    let kernel = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kilobytes(&text, "MemAvailable:"));
    let cgroup = cgroup_memory_left(Path::new("/"));
    match (kernel, cgroup) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// How many more programs of this size fit into what is free, with something left to the rest of the machine: at least
/// 64 MB, or a tenth.
pub(crate) fn fits(free: u64, each: u64) -> u32 {
    const HEADROOM: u64 = 64 * 1024 * 1024;
    let headroom = HEADROOM.max(free / 10);
    let n = free.saturating_sub(headroom) / each.max(1024 * 1024);
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// CPUs' worth of time that the tightest cgroup above us grants. `root` is `/` but for tests.
fn cpu_quota(root: &Path) -> Option<f64> {
    let two = own_cgroups(root, "").into_iter().filter_map(|dir| {
        let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    });
    let one = own_cgroups(root, "cpu").into_iter().filter_map(|dir| {
        let quota: f64 = read_number(&dir.join("cpu.cfs_quota_us"))?;
        let period: f64 = read_number(&dir.join("cpu.cfs_period_us"))?;
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    });
    two.chain(one)
        .filter(|cpus| *cpus > 0.0)
        .min_by(f64::total_cmp)
}

/// Bytes left below the tightest limit of the cgroups above us; page cache that can be dropped counts as left.
fn cgroup_memory_left(root: &Path) -> Option<u64> {
    let left = |dir: &Path, limit: &str, used: &str, cache: &str| {
        let limit: u64 = read_number(&dir.join(limit))?;
        let used: u64 = read_number(&dir.join(used))?;
        let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
        let cache = stat
            .lines()
            .find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(cache)))
    };
    // Above `memory.high` the kernel slows processes down until hardly anything is served.
    let two = own_cgroups(root, "").into_iter().flat_map(|dir| {
        ["memory.max", "memory.high"]
            .into_iter()
            .filter_map(move |limit| left(&dir, limit, "memory.current", "inactive_file "))
    });
    let one = own_cgroups(root, "memory").into_iter().filter_map(|dir| {
        left(
            &dir,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file ",
        )
    });
    two.chain(one).min()
}

/// The directories of our cgroup and all above it, in the hierarchy of `controller` (`""`: version 2).
fn own_cgroups(root: &Path, controller: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let own = text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers
            .split(',')
            .any(|c| c == controller)
            .then_some(path)
    });
    let Some(own) = own else { return Vec::new() };
    let mounts: &[&str] = match controller {
        "" => &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
        "cpu" => &["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"],
        _ => &["sys/fs/cgroup/memory"],
    };
    let own = Path::new(own.trim_start_matches('/'));
    mounts
        .iter()
        .map(|mount| root.join(mount))
        .filter(|mount| mount.is_dir())
        // In a container the path is the host's, and what is mounted is our own part: then only the mount itself exists.
        .flat_map(|mount| {
            own.ancestors()
                .map(move |part| mount.join(part))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn read_number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kb| kb * 1024)
}

/// Memory that processes take together, bytes: each page shared among `n` processes counts as 1/n. Where
/// the kernel does not say so, resident memory.
pub(crate) fn memory_of(pids: &[i32]) -> u64 {
    pids.iter()
        .map(|pid| {
            fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .ok()
                .and_then(|text| kilobytes(&text, "Pss:"))
                .unwrap_or_else(|| resident_memory_of(&[*pid]))
        })
        .sum()
}

/// Resident memory of processes, added up: cheap, and never less than [`memory_of`].
pub(crate) fn resident_memory_of(pids: &[i32]) -> u64 {
    pids.iter()
        .filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            kilobytes(&status, "VmRSS:")
        })
        .sum()
}

/// Processor time that processes have used since they started.
pub(crate) fn cpu_time_of(pids: &[i32]) -> std::time::Duration {
    let ticks: u64 = pids
        .iter()
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // Fields 14 and 15, counted from behind the name, which may hold anything.
            let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11);
            let user: u64 = fields.next()?.parse().ok()?;
            let system: u64 = fields.next()?.parse().ok()?;
            Some(user + system)
        })
        .sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    std::time::Duration::from_millis(ticks * 1000 / per_second)
}

/// TCP ports that processes listen on, with an address that reaches them from this machine.
pub(crate) fn listening(pids: &[i32]) -> Vec<SocketAddr> {
    let inodes: std::collections::HashSet<u64> = pids
        .iter()
        .flat_map(|pid| {
            fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
        })
        .flatten()
        .filter_map(|fd| {
            let target = fs::read_link(fd.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect();
    // The tables are those of the processes' network, which may not be ours.
    let Some(pid) = pids.first() else {
        return Vec::new();
    };
    let mut found: Vec<SocketAddr> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(listening_line)
                .collect::<Vec<_>>()
        })
        .filter(|(inode, _)| inodes.contains(inode))
        .map(|(_, address)| address)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// One line of /proc/net/tcp or tcp6: the inode and the address, when it listens.
fn listening_line(line: &str) -> Option<(u64, SocketAddr)> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits, each as the machine keeps it in memory.
    let words: Option<Vec<u8>> = (0..address.len() / 8)
        .map(|i| u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()
        .map(|words| words.concat());
    let ip: IpAddr = match words?.as_slice() {
        [a, b, c, d] => Ipv4Addr::new(*a, *b, *c, *d).into(),
        bytes => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    let ip = match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // Both families, unless the program said otherwise; loopback of the sixth is right in either case.
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    Some((fields.get(9)?.parse().ok()?, SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests;
