//! Who listens on the ports that visitors come to, by name, unit and package.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stead_model::host::{Listener, PORTS};

use super::program::run;

/// Each one once. `packages` is the kind of package manager.
pub(crate) fn all(packages: Option<&str>) -> Vec<Listener> {
    let sockets: Vec<(u16, u64)> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|file| listening(&fs::read_to_string(file).unwrap_or_default()))
        .filter(|(port, _)| PORTS.contains(port))
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let owners = owners(&sockets);
    let mut listeners: Vec<Listener> = Vec::new();
    for (port, inode) in sockets {
        let pids = owners.get(&inode).map_or(&[][..], Vec::as_slice);
        let listener = listener(port, pids, packages);
        if !listeners.contains(&listener) {
            listeners.push(listener);
        }
    }
    listeners
}

/// Port and inode of each socket that listens, of the text that proc_net_tcp(5) describes.
fn listening(text: &str) -> Vec<(u16, u64)> {
    const LISTENS: &str = "0A";
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = fields.get(1)?.rsplit_once(':')?.1;
            (fields.get(3) == Some(&LISTENS)).then_some(())?;
            Some((
                u16::from_str_radix(port, 16).ok()?,
                fields.get(9)?.parse().ok()?,
            ))
        })
        .collect()
}

/// The processes that hold each socket. Without root those of others are not seen.
fn owners(sockets: &[(u16, u64)]) -> BTreeMap<u64, Vec<i32>> {
    let mut owners: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    for process in crate::processes::all() {
        let dir = format!("/proc/{}/fd", process.pid);
        for descriptor in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(link) = fs::read_link(descriptor.path()) else {
                continue;
            };
            let inode = link.to_str().and_then(|link| link.strip_prefix("socket:["));
            let inode = inode.and_then(|inode| inode.trim_end_matches(']').parse().ok());
            if let Some(inode) = inode.filter(|inode| sockets.iter().any(|(_, i)| i == inode)) {
                owners.entry(inode).or_default().push(process.pid);
            }
        }
    }
    owners
}

fn listener(port: u16, pids: &[i32], packages: Option<&str>) -> Listener {
    // systemd holds the sockets that it passes on, for a unit of its own.
    if pids.contains(&1) {
        return Listener {
            port,
            program: Some("systemd".to_owned()),
            pid: Some(1),
            unit: socket_unit(port),
            package: None,
        };
    }
    let Some(pid) = pids.iter().min().copied() else {
        return Listener {
            port,
            ..Listener::default()
        };
    };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let file = fs::read_link(format!("/proc/{pid}/exe")).ok();
    Listener {
        port,
        program: Some(name.trim().to_owned()).filter(|name| !name.is_empty()),
        pid: Some(pid),
        unit: unit_of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()),
        package: file.and_then(|file| package_of(&file, packages)),
    }
}

/// The socket unit that has this port, of `systemctl list-sockets`.
fn socket_unit(port: u16) -> Option<String> {
    let said = run("systemctl", ["list-sockets", "--no-legend", "--plain"]).ok()?;
    let suffix = format!(":{port}");
    said.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.next()?.ends_with(&suffix).then_some(())?;
        words.next().map(str::to_owned)
    })
}

/// The innermost unit of a process, of the text that proc_pid_cgroup(5) describes.
fn unit_of(text: &str) -> Option<String> {
    let paths = text.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        // The unified hierarchy, or systemd's own in the old one.
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    let mut units = paths.flat_map(|path| path.rsplit('/')).filter(|part| {
        [".service", ".scope", ".socket"]
            .iter()
            .any(|kind| part.ends_with(kind))
    });
    units.next().map(str::to_owned)
}

/// The package that a file came with.
fn package_of(file: &Path, packages: Option<&str>) -> Option<String> {
    match packages {
        Some("apt") => {
            // `nginx-light: /usr/sbin/nginx`.
            let said = run("dpkg-query", ["--search".as_ref(), file.as_os_str()]).ok()?;
            let names = said.lines().next()?.split_once(": ")?.0;
            names.split([',', ':']).next().map(str::to_owned)
        }
        Some("dnf" | "yum" | "zypper") => {
            let asked = ["--query", "--queryformat=%{NAME}", "--file"];
            let asked = asked.iter().map(AsRef::as_ref).chain([file.as_os_str()]);
            run("rpm", asked).ok().map(|name| name.trim().to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_read_from_the_kernel_s_table() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2345 1 0 100 0 0 10 0\n\
             1: 0100007F:01BB 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 2346 1 0 20 4 30 10 -1\n";
        assert_eq!(listening(text), [(80, 2345)]);
        // Whatever is cut off: no panic, nothing made up.
        for end in 0..text.len() {
            assert!(listening(&text[..end]).len() <= 1);
        }
    }

    #[test]
    fn a_process_belongs_to_its_innermost_unit() {
        let unit = |text| unit_of(text).unwrap_or_default();
        assert_eq!(unit("0::/system.slice/nginx.service\n"), "nginx.service");
        assert_eq!(
            unit("1:name=systemd:/system.slice/docker.service/abc\n0::/\n"),
            "docker.service"
        );
        assert_eq!(
            unit("0::/user.slice/user-0.slice/session-3.scope\n"),
            "session-3.scope"
        );
        assert_eq!(unit("0::/\n"), "");
        assert_eq!(unit(""), "");
    }

    #[test]
    fn who_listens_here_is_found() {
        // Whatever port: the look-up by inode is the same.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let text = fs::read_to_string("/proc/net/tcp").unwrap();
        let ours: Vec<_> = listening(&text)
            .into_iter()
            .filter(|(p, _)| *p == port)
            .collect();
        assert_eq!(ours.len(), 1);
        let owners = owners(&ours);
        let pids = &owners[&ours[0].1];
        assert!(pids.contains(&std::process::id().cast_signed()), "{pids:?}");
    }
}
