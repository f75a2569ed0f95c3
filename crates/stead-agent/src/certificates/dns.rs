//! A small DNS client: where a host is for the world, not what `/etc/hosts` of this machine says of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::check::Unknown;
use crate::listener;

/// For one server's answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Servers that are asked, and how many times each.
const ROUNDS: usize = 2;
/// The largest answer over UDP without extensions (RFC 1035 section 2.3.4) is 512; some send more.
const LARGEST: usize = 4096;
const PORT: u16 = 53;

/// Servers that answer for the whole DNS.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
}

/// What an answer says.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) texts: Vec<String>,
    /// Names of name servers.
    pub(crate) servers: Vec<String>,
    /// There is no such name.
    no_name: bool,
}

impl Resolver {
    /// These servers, or those of `/etc/resolv.conf`.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        if !servers.is_empty() {
            return Self {
                servers: servers.to_vec(),
            };
        }
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        Self {
            servers: of_resolv_conf(&text),
        }
    }

    /// All addresses of a host.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unknown> {
        let (four, six) = tokio::join!(self.ask(host, TYPE::A), self.ask(host, TYPE::AAAA));
        // One kind of address is enough to know; that neither is known is no answer.
        let (four, six) = match (four, six) {
            (Ok(four), Ok(six)) => (four, six),
            (Ok(known), Err(_)) | (Err(_), Ok(known)) if !known.addresses.is_empty() => {
                (known, Records::default())
            }
            (Err(why), _) | (_, Err(why)) => return Err(Unknown::NoAnswer(why)),
        };
        if four.no_name && six.no_name {
            return Err(Unknown::NoName);
        }
        let mut addresses = four.addresses;
        addresses.extend(six.addresses);
        Ok(addresses)
    }

    /// The records of one kind, by the first server that answers.
    pub(crate) async fn ask(&self, host: &str, kind: TYPE) -> Result<Records, String> {
        let mut why = "no DNS server is known".to_owned();
        for _ in 0..ROUNDS {
            for server in &self.servers {
                match ask(*server, host, kind, true).await {
                    Ok(records) => return Ok(records),
                    Err(error) => why = format!("{}: {error}", server.ip()),
                }
            }
        }
        Err(why)
    }
}

/// The servers that a `resolv.conf` names (resolv.conf(5)).
fn of_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        // `fe80::1%eth0` has a scope, which an address here has not.
        if let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) {
            servers.push(SocketAddr::new(address, PORT));
        }
    }
    servers.truncate(3);
    servers
}

/// Ask one server. `recursion`: it may ask others.
pub(crate) async fn ask(
    server: SocketAddr,
    host: &str,
    kind: TYPE,
    recursion: bool,
) -> Result<Records, String> {
    let id = listener::random::<2>().map_err(|error| error.to_string())?;
    let id = u16::from_be_bytes(id);
    let question = question(id, host, kind, recursion)?;
    let exchange = async {
        let answer = over_udp(server, &question).await?;
        match read(&answer, id, host, kind) {
            Err(Unread::Truncated) => {
                let answer = over_tcp(server, &question).await?;
                read(&answer, id, host, kind)
            }
            read => read,
        }
        .map_err(|unread| io::Error::other(unread.text()))
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}

fn question(id: u16, host: &str, kind: TYPE, recursion: bool) -> Result<Vec<u8>, String> {
    let name = Name::new(host).map_err(|_| format!("`{host}` is no name of the DNS"))?;
    let mut packet = Packet::new_query(id);
    if recursion {
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    let question = Question::new(name, kind.into(), CLASS::IN.into(), false);
    packet.questions.push(question);
    packet.build_bytes_vec().map_err(|error| error.to_string())
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: what others send is not received.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = vec![0; LARGEST];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

/// RFC 7766 section 8: the length goes first.
async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Why an answer is none.
#[derive(Debug)]
enum Unread {
    Truncated,
    Wrong(String),
}

impl Unread {
    fn text(self) -> String {
        match self {
            Self::Truncated => "its answer is cut off".to_owned(),
            Self::Wrong(why) => why,
        }
    }
}

/// Read an answer to a question. Whatever comes, it only makes an error.
fn read(bytes: &[u8], id: u16, host: &str, kind: TYPE) -> Result<Records, Unread> {
    let wrong = |why: &str| Unread::Wrong(why.to_owned());
    let packet = Packet::parse(bytes).map_err(|_| wrong("its answer cannot be read"))?;
    let asked = packet.questions.iter().all(|question| {
        let name = question.qname.to_string();
        name.trim_end_matches('.')
            .eq_ignore_ascii_case(host.trim_end_matches('.'))
    });
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !asked {
        return Err(wrong("its answer is to another question"));
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Err(Unread::Truncated);
    }
    let mut records = Records::default();
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => records.no_name = true,
        other => return Err(Unread::Wrong(format!("it answers {other:?}"))),
    }
    for record in &packet.answers {
        match &record.rdata {
            RData::A(a) if kind == TYPE::A => {
                records.addresses.push(Ipv4Addr::from(a.address).into());
            }
            RData::AAAA(a) if kind == TYPE::AAAA => {
                records.addresses.push(Ipv6Addr::from(a.address).into());
            }
            RData::TXT(text) if kind == TYPE::TXT => {
                if let Ok(text) = String::try_from(text.clone()) {
                    records.texts.push(text);
                }
            }
            RData::NS(server) if kind == TYPE::NS => records.servers.push(server.0.to_string()),
            // A CNAME on the way; what it leads to follows.
            _ => {}
        }
    }
    Ok(records)
}

/// Any bytes are an answer or none; of an answer, only what was asked for is taken. The first byte says what that is.
pub(crate) fn hold(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let kind = [TYPE::A, TYPE::AAAA, TYPE::TXT, TYPE::NS][usize::from(kind % 4)];
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    let Ok(records) = read(bytes, id, "a.example", kind) else {
        return;
    };
    let of_kind = |address: &IpAddr| address.is_ipv4() == (kind == TYPE::A);
    assert!(records.addresses.iter().all(of_kind));
    assert!(records.texts.is_empty() || kind == TYPE::TXT);
    assert!(records.servers.is_empty() || kind == TYPE::NS);
}

#[cfg(test)]
mod tests;
