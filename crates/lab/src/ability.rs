//! Whether there can be a lab here.

use std::fs;
use std::path::Path;

/// What a lab runs, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 7] = [
    ("systemd-nspawn", "systemd-container"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];

/// Bits of `CapEff` (capabilities(7)): CAP_NET_ADMIN makes links, CAP_SYS_ADMIN mounts.
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// Why there can be none, a sentence; `None`: there can.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("machines of the lab need root".to_owned());
    }
    let held = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = held.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    for (bit, name) in CAPABILITIES {
        if held.unwrap_or_default() >> bit & 1 == 0 {
            return Some(format!(
                "machines of the lab need {name}, which this container lacks"
            ));
        }
    }
    PROGRAMS
        .iter()
        .find(|(program, _)| !exists(program))
        .map(|(program, package)| {
            format!("machines of the lab need `{program}`: apt-get install {package}")
        })
}

fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| Path::new(&dir).join(program).is_file())
}
