//! What a host is, and what of Stead is there. Changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use stead_model::host::{
    BINARY, EDGE_USER, FILES, Facts, Found, PROTOCOL, RUN, STATE, UNITS, UnitState,
};

use super::listeners;
use super::program::run;
use crate::machine;

/// What may install packages, by its program.
const PACKAGE_MANAGERS: [(&str, &str); 6] = [
    ("apt-get", "apt"),
    ("dnf", "dnf"),
    ("yum", "yum"),
    ("zypper", "zypper"),
    ("pacman", "pacman"),
    ("apk", "apk"),
];

/// Look. As another user than root, who listens and what the processes run remains unknown. `version` is this program's.
pub fn look(version: &str) -> Facts {
    let names = rustix::system::uname();
    let packages = PACKAGE_MANAGERS
        .iter()
        .find(|(program, _)| exists(program))
        .map(|(_, name)| (*name).to_owned());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    Facts {
        protocol: PROTOCOL,
        version: version.to_owned(),
        name: names.nodename().to_string_lossy().into_owned(),
        system: system(),
        architecture: names.machine().to_string_lossy().into_owned(),
        cpus: machine::cpus(),
        memory: memory(),
        disk_free: disk_free(Path::new(STATE)),
        systemd: systemd(),
        listeners: listeners::all(packages.as_deref()),
        packages,
        clock: clock.map_or(0, |since| since.as_secs().cast_signed()),
        found: found(),
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub fn digest(file: &Path) -> io::Result<String> {
    let mut file = fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn exists(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists())
}

/// os-release(5).
fn system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches(['"', '\'']).to_owned(),
    )
}

/// `MemTotal` of proc_meminfo(5), bytes.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kilobytes.unwrap_or(0_u64) << 10
}

/// Bytes that are free for us in the file system that `path` is or will be in.
fn disk_free(path: &Path) -> u64 {
    let there = path.ancestors().find(|dir| dir.exists());
    let there = there.unwrap_or(Path::new("/"));
    rustix::fs::statvfs(there).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// sd_booted(3), and the number in `systemd 252 (252.39-1~deb12u1)`.
fn systemd() -> Option<u32> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let said = run("systemctl", ["--version"]).ok()?;
    let number = said.split_whitespace().nth(1)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn found() -> Found {
    let files = FILES.iter().filter_map(|file| {
        let content = fs::read(file.path).ok()?;
        let content = String::from_utf8_lossy(&content).into_owned();
        Some((file.path.to_owned(), content))
    });
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users = users.lines().filter_map(|line| line.split(':').next());
    let directories = [RUN, STATE]
        .into_iter()
        .filter(|dir| Path::new(dir).is_dir());
    Found {
        binary: digest(Path::new(BINARY)).ok(),
        files: files.collect(),
        users: users
            .filter(|user| *user == EDGE_USER)
            .map(str::to_owned)
            .collect(),
        directories: directories.map(str::to_owned).collect(),
        units: units(),
        data: fs::read_dir(STATE).is_ok_and(|mut entries| entries.next().is_some()),
    }
}

fn units() -> BTreeMap<String, UnitState> {
    let names = UNITS.iter().map(|unit| unit.name);
    let properties = "--property=Id,LoadState,UnitFileState,ActiveState,NeedDaemonReload,MainPID,ActiveEnterTimestampMonotonic";
    let said = run("systemctl", ["show", properties].into_iter().chain(names));
    let said = said.unwrap_or_default();
    said.split("\n\n")
        .filter_map(|unit| state(&properties_of(unit)))
        .collect()
}

/// `NAME=value` lines.
fn properties_of(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .collect()
}

/// One unit as `systemctl show` tells of it.
fn state(properties: &BTreeMap<&str, &str>) -> Option<(String, UnitState)> {
    let name = *properties.get("Id")?;
    let is = |property: &str, value: &str| properties.get(property) == Some(&value);
    if !is("LoadState", "loaded") {
        return None;
    }
    let active = is("ActiveState", "active");
    let pid = properties
        .get("MainPID")
        .and_then(|pid| pid.parse().ok())
        .filter(|pid| *pid > 0);
    let since = properties.get("ActiveEnterTimestampMonotonic");
    let since = since
        .and_then(|since| since.parse().ok())
        .map(Duration::from_micros);
    let file = UNITS.iter().find(|unit| unit.name == name)?.path;
    let state = UnitState {
        enabled: is("UnitFileState", "enabled"),
        active,
        stale: is("NeedDaemonReload", "yes") || active && is_newer(Path::new(file), since),
        current: pid.is_none_or(runs_the_binary),
        says: properties
            .get("ActiveState")
            .copied()
            .unwrap_or_default()
            .to_owned(),
    };
    Some((name.to_owned(), state))
}

/// Whether a file was written after that instant of the monotonic clock: the unit has been started by an older one, even if
/// systemd has read this one since.
fn is_newer(file: &Path, since: Option<Duration>) -> bool {
    let written = fs::metadata(file).and_then(|meta| meta.modified());
    let (Ok(written), Some(since)) = (written, since) else {
        return false;
    };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    );
    let started = SystemTime::now().checked_sub(now.saturating_sub(since));
    started.is_some_and(|started| written > started)
}

/// Whether a process runs the very file that is the binary now. One that cannot be looked into counts as such.
fn runs_the_binary(pid: i32) -> bool {
    let file = |path: &str| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    match (file(&format!("/proc/{pid}/exe")), file(BINARY)) {
        (Ok(runs), Ok(is)) => runs == is,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_read() {
        let text = "Id=stead-edge.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=enabled\n\
                    NeedDaemonReload=no\nMainPID=0\nActiveEnterTimestampMonotonic=0\n";
        let (name, is) = state(&properties_of(text)).unwrap();
        assert_eq!(name, "stead-edge.service");
        assert!(is.enabled && !is.active && !is.stale && is.current);
        assert_eq!(is.says, "failed");
        let unknown = "Id=stead-edge.service\nLoadState=not-found\nActiveState=inactive\n";
        assert_eq!(state(&properties_of(unknown)), None);
    }

    #[test]
    fn a_machine_has_a_name_memory_and_room() {
        let facts = look("1");
        assert!(!facts.name.is_empty() && !facts.architecture.is_empty());
        assert!(facts.memory > 1 << 20 && facts.disk_free > 0 && facts.cpus > 0);
    }

    #[test]
    fn a_digest_is_that_of_the_standard() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("abc");
        fs::write(&file, "abc").unwrap();
        // FIPS 180-4, the first example of SHA-256.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&file).unwrap(), expected);
    }
}
