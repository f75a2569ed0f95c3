//! Which stored certificates are for a host, without looking at all of them: there may be ten thousand.

use std::collections::HashMap;

use super::plan::Stored;

/// Stored certificates by the names in them.
#[derive(Debug)]
pub(crate) struct ByName<'a>(HashMap<&'a str, Vec<&'a Stored>>);

impl<'a> ByName<'a> {
    pub(crate) fn new(stored: impl IntoIterator<Item = &'a Stored>) -> Self {
        let mut names: HashMap<&str, Vec<&Stored>> = HashMap::new();
        for stored in stored {
            for name in &stored.names {
                names.entry(name).or_default().push(stored);
            }
        }
        Self(names)
    }

    /// Every certificate that is for this host: those that name it, then those of the wildcard one level up.
    pub(crate) fn covering(&self, host: &str) -> impl Iterator<Item = &'a Stored> {
        let above = match host.split_once('.') {
            Some((label, rest)) if label != "*" => self.0.get(format!("*.{rest}").as_str()),
            _ => None,
        };
        let named = self.0.get(host).into_iter().chain(above).flatten();
        named.copied().collect::<Vec<_>>().into_iter()
    }

    /// Another certificate is for the same hosts, and for longer.
    pub(crate) fn is_replaced(&self, stored: &Stored) -> bool {
        let Some(first) = stored.names.first() else {
            // It is for nobody, so nothing takes its place.
            return false;
        };
        self.covering(first).any(|other| {
            other.ends > stored.ends && stored.names.iter().all(|name| other.covers(name))
        })
    }
}

#[cfg(test)]
mod tests;
