//! Which program has a port: the listening socket's inode from `/proc/net/tcp`, its owner from
//! `/proc/<pid>/fd` (proc(5)).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A program that listens.
#[derive(Debug)]
pub(super) struct Occupant {
    pid: u32,
    /// As the kernel knows it, at most 15 letters.
    name: String,
    /// With its arguments, shortened.
    command: String,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (process {}", self.name, self.pid)?;
        if !self.command.is_empty() && self.command != self.name {
            write!(f, ": `{}`", self.command)?;
        }
        f.write_str(")")
    }
}

/// Who listens where `wanted` would; `None` when that program is another user's.
pub(super) fn of(wanted: SocketAddr) -> Option<Occupant> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, wanted))
        .collect();
    let targets: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_socket(*pid, &targets))
        .map(describe)
}

/// Inodes of the sockets of a `/proc/net/tcp` table that listen on `wanted`'s port, at its
/// address or at all.
fn listening(table: &str, wanted: SocketAddr) -> Vec<String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (ip, port) = local_address(fields.get(1)?)?;
            let clash = ip == wanted.ip() || ip.is_unspecified() || wanted.ip().is_unspecified();
            let matches = *fields.get(3)? == LISTEN && port == wanted.port() && clash;
            matches.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

/// `0100007F:1F90`: words in the machine's byte order.
fn local_address(field: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .filter_map(|at| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok())
        .map(u32::to_ne_bytes)
        .collect();
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [_, _, _, _] => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(words.as_flattened());
            let ip = Ipv6Addr::from(bytes);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some((ip, port))
}

fn has_socket(pid: u32, targets: &[String]) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path())
            .is_ok_and(|link| targets.iter().any(|target| Path::new(target) == link))
    })
}

fn describe(pid: u32) -> Occupant {
    let read = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .replace('\0', " ")
            .trim()
            .to_owned()
    };
    let command = read("cmdline");
    let command = match command.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command,
    };
    Occupant {
        pid,
        name: read("comm"),
        command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_table_are_read() {
        let ip = |text: &str| local_address(text).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(ip("0100007F:1F90"), ("127.0.0.1".parse().unwrap(), 8080));
            assert_eq!(
                ip("00000000000000000000000001000000:0050"),
                ("::1".parse().unwrap(), 80)
            );
        }
        assert_eq!(local_address("zz:1"), None);
        assert_eq!(local_address(""), None);
    }
}
