//! Addresses and networks of visitors and of the proxies before the edge.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What `"private"` stands for: addresses that are not routed on the internet (RFC 1918, RFC 4193) and
/// this machine's own.
const PRIVATE: [&str; 6] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1",
    "fc00::/7",
];

/// An address, or all addresses that begin with the same bits (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// The first address; never an IPv4 address mapped to IPv6.
    address: IpAddr,
    /// How many leading bits all its addresses share.
    bits: u8,
}

impl Network {
    /// The networks that are called `private`.
    pub fn private() -> Vec<Network> {
        PRIVATE
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    /// Whether the address is not routed on the internet: one of those that are called `private`, or of one link.
    pub fn is_private(address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local()
            }
        }
    }

    /// Whether `address` is in it. An IPv4 address mapped to IPv6 counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()) & mask_v4(self.bits) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()) & mask_v6(self.bits) == 0
            }
            _ => false,
        }
    }

    /// Whether any of `networks` has the address.
    pub fn any(networks: &[Network], address: IpAddr) -> bool {
        networks.iter().any(|network| network.contains(address))
    }
}

fn mask_v4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask_v6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Neither an address nor a network.
    Form,
    /// Bits are set beyond the length: what was probably meant.
    HostBits(Network),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Form => f.write_str("it is neither an address nor a network"),
            NetworkError::HostBits(meant) => {
                write!(f, "it has bits beyond its length; `{meant}` is the network")
            }
        }
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    /// `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`, `::1`.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match length {
            None => most,
            Some(length) => {
                let plain = (1..=3).contains(&length.len())
                    && length.bytes().all(|byte| byte.is_ascii_digit());
                let bits = length.parse().ok().filter(|bits| plain && *bits <= most);
                bits.ok_or(NetworkError::Form)?
            }
        };
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4(bits))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6(bits))),
        };
        let network = Network {
            address: first,
            bits,
        };
        if first != address {
            return Err(NetworkError::HostBits(network));
        }
        match (address.to_canonical(), bits) {
            (IpAddr::V4(v4), 128) => Ok(Network {
                address: IpAddr::V4(v4),
                bits: 32,
            }),
            _ => Ok(network),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        match self.bits == most {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests;
