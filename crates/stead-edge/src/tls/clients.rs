//! Visitors who must have a certificate of their own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConnection};
use sha2::{Digest, Sha256};
use stead_model::certificates::CertificateProblem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pair::{self, Stamp};

/// Who may issue such certificates, by the file that says so.
#[derive(Debug, Default)]
pub(crate) struct Authorities(HashMap<Arc<Path>, Authority>);

/// One file's content. What is broken now is not served from what it was: an administrator may have taken
/// somebody's authority away.
#[derive(Clone, Debug)]
struct Authority {
    stamp: Stamp,
    verifier: Result<Arc<dyn ClientCertVerifier>, String>,
}

/// What an app learns of a visitor's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// By whom it was checked.
    pub(crate) authority: Arc<Path>,
    /// Its subject, printable ASCII.
    pub(crate) subject: String,
    /// SHA-256 of the whole certificate, lower-case hexadecimal.
    pub(crate) fingerprint: String,
}

impl Authorities {
    /// Read these files; what has not changed is taken from `former`.
    pub(crate) fn read<'a>(
        paths: impl Iterator<Item = &'a Arc<Path>>,
        former: &Self,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        let authority = |path: &Arc<Path>| {
            let stamp = Stamp::of(path);
            match former.0.get(path).filter(|former| former.stamp == stamp) {
                Some(former) => former.clone(),
                None => Authority {
                    stamp,
                    verifier: verifier(path, provider),
                },
            }
        };
        Self(
            paths
                .map(|path| (Arc::clone(path), authority(path)))
                .collect(),
        )
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.0.keys()
    }

    /// Any of the files has changed since it was read.
    pub(crate) fn are_outdated(&self) -> bool {
        self.0
            .iter()
            .any(|(path, authority)| Stamp::of(path) != authority.stamp)
    }

    /// Who checks the certificates of visitors; `None`: nobody can, so nobody is let in.
    pub(crate) fn verifier(&self, path: &Path) -> Option<Arc<dyn ClientCertVerifier>> {
        let authority = self.0.get(path)?;
        authority.verifier.as_ref().ok().map(Arc::clone)
    }

    pub(crate) fn problems(&self) -> impl Iterator<Item = CertificateProblem> {
        self.0.iter().filter_map(|(path, authority)| {
            let why = authority.verifier.as_ref().err()?;
            Some(CertificateProblem {
                subject: path.display().to_string(),
                why: format!("{why}; nobody is let in who needs a certificate of that authority"),
                serves: false,
            })
        })
    }
}

fn verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let text = pair::content(path)?;
    let of_file = |why: String| format!("`{}` {why}", path.display());
    let mut roots = RootCertStore::empty();
    for root in pair::certificates(&text).map_err(of_file)? {
        let broken = |_| of_file("holds a certificate that cannot be an authority's".to_owned());
        roots.add(root).map_err(broken)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| of_file(error.to_string()))
}

impl Client {
    /// Of a connection that `authority` has let in.
    pub(crate) fn of(tls: &ServerConnection, authority: &Arc<Path>) -> Option<Self> {
        let leaf = tls.peer_certificates()?.first()?;
        let digest = Sha256::digest(leaf);
        Some(Self {
            authority: Arc::clone(authority),
            subject: subject(leaf),
            fingerprint: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

/// Whatever an authority has put into a subject cannot end a header: what is not printable ASCII is written as a URL
/// would have it, and so is `%` itself.
fn subject(leaf: &CertificateDer<'_>) -> String {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
        return String::new();
    };
    let mut text = String::new();
    for byte in leaf.subject().to_string().bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
