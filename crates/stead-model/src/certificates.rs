//! The certificates that the edge shows to visitors who come over TLS. Like the routing table they are
//! replaced as a whole, never edited.

mod listing;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use listing::{Listed, Listing, Pending, Renewal};

/// All certificates. The edge swaps them in atomically.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateTable {
    /// Which names each is for, its leaf says (RFC 5280 section 4.2.1.6). Of several for one name, the one that
    /// is valid longest is shown.
    pub files: Vec<CertificateFiles>,
    /// Shown to whoever names no host, or one that no certificate is for. `None`: they are refused
    /// (`unrecognized_name`, RFC 6066 section 3).
    #[serde(default)]
    pub default: Option<CertificateFiles>,
    /// Shown for names that none of `files` is for. They count as none: nobody is sent from plain HTTP to them.
    #[serde(default)]
    pub until: Vec<CertificateFiles>,
    /// What an authority is to be shown while it checks that a host is here.
    #[serde(default)]
    pub challenges: Vec<TlsAlpnChallenge>,
}

/// A certificate and its key, on disk. The edge reads both again when either has changed; what it has
/// stays in force when they cannot be read or do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// PEM, the leaf first, then what leads to a root. An absolute path.
    pub chain: PathBuf,
    /// PEM (PKCS #8, PKCS #1 or SEC 1), not encrypted. An absolute path.
    pub key: PathBuf,
}

/// The answer to a TLS-ALPN-01 challenge (RFC 8737).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsAlpnChallenge {
    /// The host that is checked, in lower case.
    pub host: String,
    /// The certificate for it, PEM, with the `acmeIdentifier` extension.
    pub chain_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for TlsAlpnChallenge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TlsAlpnChallenge")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// How a [`CertificateTable`] was taken in. Sent for every table, and whenever files on disk changed what is
/// in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// How many certificates are in force.
    pub certificates: usize,
    /// What is wrong with others.
    pub problems: Vec<CertificateProblem>,
}

/// A certificate that could not be taken in, or that asks for attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateProblem {
    /// Its chain's file, or the host of a challenge.
    pub subject: String,
    /// For a person.
    pub why: String,
    /// A certificate serves nevertheless: the one from before, or this one, which has expired.
    pub serves: bool,
}
