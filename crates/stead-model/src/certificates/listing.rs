//! What there is of certificates, for people: all that `stead cert` shows.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that is known of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Those that are stored, by their hosts.
    pub certificates: Vec<Listed>,
    /// Hosts that wait for one.
    pub pending: Vec<Pending>,
    /// What is stored and cannot be used: where, and why.
    pub broken: Vec<(PathBuf, String)>,
}

impl Listing {
    /// What somebody should see to, each in a sentence: certificates that have ended or are about to, hosts without one, entries that
    /// cannot be used. Nothing, when all is well.
    pub fn concerns(&self, now: Timestamp) -> Vec<String> {
        let certificates = self.certificates.iter().filter(|listed| !listed.replaced);
        let ending = certificates.filter_map(|listed| {
            let concern = listed.concern(now)?;
            Some(format!(
                "the certificate for `{}`: {concern}",
                listed.hosts.join("`, `")
            ))
        });
        let pending = self
            .pending
            .iter()
            .map(|pending| format!("no new certificate for `{}`: {}", pending.host, pending.why));
        let broken = self
            .broken
            .iter()
            .map(|(path, why)| format!("`{}` cannot be used: {why}", path.display()));
        ending.chain(pending).chain(broken).collect()
    }
}

impl Listed {
    /// That its end is near, or was; from 14 days before it, or a quarter of its life when that is less.
    pub fn concern(&self, now: Timestamp) -> Option<String> {
        let day = self.ends.strftime("%Y-%m-%d");
        let do_something = match &self.directory {
            Some(_) => "it should have been renewed by now",
            None => "import another one, or let an authority's take its place",
        };
        match self.ends <= now {
            true => Some("it has ended: visitors are warned of it".to_owned()),
            false => self
                .ending
                .then(|| format!("it ends on {day}; {do_something}")),
        }
    }
}

/// A stored certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The hosts that it is for.
    pub hosts: Vec<String>,
    /// Who issued it, as it says itself.
    pub issuer: String,
    /// From when it is valid.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// When it is renewed.
    pub renewed: Timestamp,
    /// The authority's directory; `None`: it was imported.
    pub directory: Option<String>,
    /// Another one for its hosts lasts longer.
    pub replaced: bool,
    /// Its end is near.
    pub ending: bool,
    /// The chain's file.
    pub chain: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// A host that waits for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The host.
    pub host: String,
    /// Why it has none, for a person.
    pub why: String,
    /// How many times in a row it failed so.
    pub times: u32,
    /// The next attempt.
    pub next: Timestamp,
}

/// What came of one host's renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The host.
    pub host: String,
    /// It has a certificate, and waits for none.
    pub done: bool,
    /// For a person.
    pub text: String,
}
