//! Finding out whether a host leads here: its addresses, and who answers there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::check::{Address, Answer, Found};
use super::dns::Resolver;

/// From connecting to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, bytes.
const LONGEST: u64 = 8 * 1024;
/// Where the world's HTTP is.
const HTTP: u16 = 80;
/// Addresses of one host that are asked.
const MOST: usize = 8;

/// A token that the edge answers, to recognize it by.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) token: String,
    pub(crate) answer: String,
    /// Where this host listens for plain HTTP.
    pub(crate) port: u16,
}

/// Find out about a host. Without a sign nobody is asked: the challenge needs no port 80.
pub(crate) async fn find(host: &str, resolver: &Resolver, sign: Option<&Sign>) -> Found {
    let mut found = Found {
        host: host.to_owned(),
        addresses: Ok(Vec::new()),
        own: own_addresses(),
    };
    match resolver.addresses(host).await {
        Ok(addresses) => {
            let mut asked = Vec::new();
            for address in addresses.into_iter().take(MOST) {
                let is_own = is_own(address);
                let answer = match sign {
                    Some(sign) => ask(address, is_own, host, sign).await,
                    None => Answer::NotAsked,
                };
                asked.push(Address {
                    address,
                    is_own,
                    answer,
                });
            }
            found.addresses = Ok(asked);
        }
        Err(unknown) => found.addresses = Err(unknown),
    }
    found
}

/// Only an address that this machine has can be bound.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The addresses from which this host would reach the world. No packet is sent: connecting a datagram socket only
/// chooses a way. The addresses are those of documentation (RFC 5737, RFC 3849).
fn own_addresses() -> Vec<IpAddr> {
    let far: [(IpAddr, IpAddr); 2] = [
        (
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
        ),
        (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ),
    ];
    let near = |(any, far): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((far, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    far.into_iter()
        .filter_map(near)
        .filter(|address| !address.is_unspecified())
        .collect()
}

async fn ask(address: IpAddr, is_own: bool, host: &str, sign: &Sign) -> Answer {
    // Where port 80 is led to another one on its way here, what is on the way cannot be seen from here.
    let port = if is_own { sign.port } else { HTTP };
    let exchange = async {
        let mut stream = TcpStream::connect(SocketAddr::new(address, port)).await?;
        let request = format!(
            "GET /.well-known/acme-challenge/{} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: stead\r\nConnection: close\r\n\r\n",
            sign.token
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) => recognize(&answer, &sign.answer),
        Ok(Err(error)) => Answer::Nothing(crate::spawn::io_text(&error)),
        Err(_) => Answer::Nothing("no answer in time".to_owned()),
    }
}

/// Who sent this.
fn recognize(answer: &[u8], ours: &str) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" && body.trim_end() == ours {
        return Answer::Ours;
    }
    if matches!(status, "301" | "302" | "303" | "307" | "308") {
        return Answer::Redirect;
    }
    let server = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let plain = value.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let shown = name.eq_ignore_ascii_case("server") && plain && value.len() < 60;
        shown.then(|| value.trim().to_owned())
    });
    let number = match status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) {
        true => status,
        false => "not HTTP",
    };
    Answer::Other(match server {
        Some(server) if !server.is_empty() => format!("{server}, {number}"),
        _ => number.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_who_gave_it() {
        let ours = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsign";
        assert_eq!(recognize(ours, "sign"), Answer::Ours);
        let other = b"HTTP/1.1 404 Not Found\r\nserver: nginx/1.22.1\r\n\r\nno";
        assert_eq!(
            recognize(other, "sign"),
            Answer::Other("nginx/1.22.1, 404".into())
        );
        let moved = b"HTTP/1.1 301 Moved\r\nLocation: https://a/\r\n\r\n";
        assert_eq!(recognize(moved, "sign"), Answer::Redirect);
        assert_eq!(
            recognize(b"SSH-2.0-OpenSSH_9.2", "sign"),
            Answer::Other("not HTTP".into())
        );
        assert_eq!(recognize(b"", "sign"), Answer::Other("not HTTP".into()));
        let hostile = b"HTTP/1.1 200 OK\r\nserver: \x1b[2J\r\n\r\n";
        assert_eq!(recognize(hostile, "sign"), Answer::Other("200".into()));
    }

    #[test]
    fn this_machine_has_its_loopback_address_and_not_that_of_others() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}
