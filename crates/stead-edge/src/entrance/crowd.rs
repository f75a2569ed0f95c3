//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts those connections for which there is a limit; its size is bounded by their number, which
/// descriptors bound.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    key: IpAddr,
}

impl Crowd {
    /// One more connection of `address`, which may have `limit`. `None`: it has as many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<Place> {
        let key = visitor(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place {
            crowd: Arc::clone(self),
            key,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &self.crowd.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// What counts as one visitor: an IPv4 address, or the 64 bits of an IPv6 address that one customer has at least
/// (RFC 6177).
pub(crate) fn visitor(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_an_ipv6_customer_counts_as_one() {
        let crowd = Arc::new(Crowd::default());
        let enter = |address: &str| crowd.enter(address.parse().unwrap(), 2);
        let first = enter("2001:db8:0:1::1").unwrap();
        let second = enter("2001:db8:0:1:ffff::").unwrap();
        assert!(enter("2001:db8:0:1::2").is_none());
        let _other = enter("2001:db8:0:2::1").unwrap();
        drop(first);
        let _third = enter("2001:db8:0:1::2").unwrap();
        let _v4 = (
            enter("192.0.2.1").unwrap(),
            enter("::ffff:192.0.2.1").unwrap(),
        );
        assert!(enter("192.0.2.1").is_none());
        drop(second);
        assert_eq!(crowd.counts.lock().unwrap().len(), 3);
    }
}
