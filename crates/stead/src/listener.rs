//! The sockets that visitors connect to, and why one cannot be had.

mod occupant;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::problem::{Problem, because};

/// How many connections may wait to be accepted; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// How a verb is asked for another address than the one that it was given: a line that can be typed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb<'a> {
    /// `stead up`, with `--host`, and `port` for the port.
    Up {
        /// With the directory, if one was given.
        line: &'a str,
        /// `--port`, or that for TLS.
        port: &'a str,
    },
    /// `stead edge`, with `--listen`.
    Edge,
}

impl Verb<'_> {
    fn with(self, wanted: SocketAddr, instead: SocketAddr) -> String {
        match self {
            Self::Up { line, .. } if wanted.ip() != instead.ip() => {
                format!("{line} --host {}", instead.ip())
            }
            Self::Up { line, port } => format!("{line} {port} {}", instead.port()),
            Self::Edge => format!("stead edge --listen {instead}"),
        }
    }
}

/// Listen on every address that `host` has. With port 0, all have the same free port.
pub(crate) fn bind(verb: Verb<'_>, host: &str, port: u16) -> Result<Vec<TcpListener>, Problem> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|_| unknown_host(verb, host))?
        .collect();
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut refusal = None;
    for mut address in addresses {
        if let Some(first) = listeners.first().and_then(|first| first.local_addr().ok()) {
            address.set_port(first.port());
        }
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            // A name such as `localhost` may have an address that this machine does not serve.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                refusal.get_or_insert((address, error));
            }
            Err(error) => return Err(refused(verb, address, &error)),
        }
    }
    match (listeners.is_empty(), refusal) {
        (false, _) => Ok(listeners),
        (true, Some((address, error))) => Err(refused(verb, address, &error)),
        (true, None) => Err(unknown_host(verb, host)),
    }
}

/// What stands for every address that this machine has: IPv6's is for IPv4 visitors too, where there is IPv6.
pub(crate) fn every_address() -> String {
    let six = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    match listen(six) {
        Ok(_) => "::".to_owned(),
        Err(_) => "0.0.0.0".to_owned(),
    }
}

/// Listen on one address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connections of the last run that linger in TIME_WAIT are no reason to refuse.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let IpAddr::V6(ip) = address.ip() {
        // `::` is for IPv4 visitors too; `::1` cannot be.
        sockopt::set_ipv6_v6only(&socket, !ip.is_unspecified())?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn unknown_host(verb: Verb<'_>, host: &str) -> Problem {
    let line = match verb {
        Verb::Up { line, .. } => line,
        Verb::Edge => "stead edge",
    };
    Problem::invocation(format!("cannot listen on `{host}`"))
        .cause("no address is known for that name")
        .hint(format!("{line} --host 127.0.0.1"))
}

/// Why nobody can listen at `address`, and what can be typed instead.
pub(crate) fn refused(verb: Verb<'_>, address: SocketAddr, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("cannot listen on `{address}`"));
    let port = |port| verb.with(address, SocketAddr::new(address.ip(), port));
    match error.kind() {
        ErrorKind::AddrInUse => {
            let cause = match occupant::of(address) {
                Some(occupant) => format!("the port is in use by {occupant}"),
                None => "the port is in use by a program of another user".to_owned(),
            };
            problem
                .cause(cause)
                .hint(port(free_port(address).unwrap_or(0)))
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => problem
            .cause(format!("port {} is for root alone", address.port()))
            .hint(port(8000)),
        ErrorKind::AddrNotAvailable => {
            let all = match address {
                SocketAddr::V4(_) => IpAddr::from([0; 4]),
                SocketAddr::V6(_) => IpAddr::from([0; 16]),
            };
            Problem {
                fault: crate::problem::Fault::Invocation,
                ..problem
                    .cause("this machine does not have that address")
                    .hint(verb.with(address, SocketAddr::new(all, address.port())))
            }
        }
        _ => problem.cause(because(error)),
    }
}

/// The next port that could be used instead.
fn free_port(address: SocketAddr) -> Option<u16> {
    let next = address.port().checked_add(1)?;
    (next..=next.saturating_add(20))
        .find(|port| listen(SocketAddr::new(address.ip(), *port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Verb<'_> = Verb::Up {
        line: "stead up shop",
        port: "--port",
    };

    #[test]
    fn all_addresses_of_a_name_share_one_free_port() {
        let listeners = bind(UP, "localhost", 0).unwrap();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert!(!ports.is_empty());
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn a_port_in_use_names_the_program_and_a_free_port() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let problem = bind(UP, "127.0.0.1", port).unwrap_err();
        let expected = format!("process {}", std::process::id());
        assert!(problem.causes[0].contains(&expected), "{problem:?}");
        assert!(problem.hint.unwrap().starts_with("stead up shop --port "));
    }

    #[test]
    fn what_can_be_typed_instead_is_of_the_verb_that_was_asked() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let problem = refused(Verb::Edge, address, &listen(address).unwrap_err());
        let expected = format!("process {}", std::process::id());
        assert!(problem.causes[0].contains(&expected), "{problem:?}");
        let hint = problem.hint.unwrap();
        assert!(hint.starts_with("stead edge --listen 127.0.0.1:"), "{hint}");

        let elsewhere = "192.0.2.1:80".parse().unwrap();
        let error = ErrorKind::AddrNotAvailable.into();
        let hint = |verb| refused(verb, elsewhere, &error).hint.unwrap();
        assert_eq!(hint(UP), "stead up shop --host 0.0.0.0");
        assert_eq!(hint(Verb::Edge), "stead edge --listen 0.0.0.0:80");
        let error = ErrorKind::PermissionDenied.into();
        let hint = refused(Verb::Edge, elsewhere, &error).hint.unwrap();
        assert_eq!(hint, "stead edge --listen 192.0.2.1:8000");
    }

    #[test]
    fn a_name_without_address_is_refused() {
        let problem = bind(UP, "no such host", 0).unwrap_err();
        assert_eq!(problem.exit_code(), 2);
    }
}
