//! A certificate with its key, as it is read from two files: whole, or an error for a person.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use stead_model::certificates::CertificateFiles;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Longest file that is read, bytes: a chain has some thousand. More is no certificate.
const LONGEST: u64 = 1 << 20;

/// A certificate that can be shown.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) certified: Arc<CertifiedKey>,
    /// The hosts that it is for, in lower case; `*.example.com` for one level.
    pub(crate) names: Vec<String>,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
}

/// By what a file is known to be the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<[i64; 6]>);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        let of = |about: Metadata| {
            [
                about.dev() as i64,
                about.ino() as i64,
                about.size() as i64,
                about.mtime(),
                about.mtime_nsec(),
                about.ctime_nsec(),
            ]
        };
        Self(std::fs::metadata(path).ok().map(of))
    }
}

/// Read both files. They belong together, or it is an error.
pub(crate) fn read(files: &CertificateFiles) -> Result<Pair, String> {
    let chain = content(&files.chain)?;
    let key = content(&files.key)?;
    parse(&chain, &key).map_err(|wrong| match wrong {
        Wrong::Chain(why) => format!("`{}` {why}", files.chain.display()),
        Wrong::Key(why) => format!("`{}` {why}", files.key.display()),
        Wrong::Both => format!(
            "the key `{}` is not the one of the certificate `{}`",
            files.key.display(),
            files.chain.display()
        ),
    })
}

/// A file's bytes.
pub(crate) fn content(path: &Path) -> Result<Vec<u8>, String> {
    let refused = |error: io::Error| format!("cannot read `{}`: {}", path.display(), plain(&error));
    let about = std::fs::metadata(path).map_err(refused)?;
    if !about.is_file() || about.len() > LONGEST {
        return Err(format!(
            "`{}` is no certificate or key: too large, or no file",
            path.display()
        ));
    }
    std::fs::read(path).map_err(refused)
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "the user that the edge runs as may not read it".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Which of the two is wrong, and why.
#[derive(Debug)]
pub(crate) enum Wrong {
    Chain(String),
    Key(String),
    Both,
}

/// A chain and a key, both PEM.
pub(crate) fn parse(chain: &[u8], key: &[u8]) -> Result<Pair, Wrong> {
    let chain = certificates(chain).map_err(Wrong::Chain)?;
    let key = self::key(key).map_err(Wrong::Key)?;
    let (names, not_before, not_after) = read_leaf(&chain[0]).map_err(Wrong::Chain)?;
    let signing = sign::any_supported_type(&key).map_err(|_| {
        Wrong::Key("holds a key of a kind that is not supported (RSA of 2048 to 8192 bits, ECDSA P-256, P-384, P-521 or Ed25519 is)".to_owned())
    })?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|_| Wrong::Both)?;
    Ok(Pair {
        certified: Arc::new(certified),
        names,
        not_before,
        not_after,
    })
}

/// The same of what an authority is shown. Whether the two belong together is not compared: for that the certificate would have
/// to be understood, and it has a critical extension that only an authority knows (RFC 8737 section 3).
pub(crate) fn parse_challenge(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Wrong> {
    let chain = certificates(chain).map_err(Wrong::Chain)?;
    let key = self::key(key).map_err(Wrong::Key)?;
    let signing = sign::any_supported_type(&key)
        .map_err(|_| Wrong::Key("holds a key of a kind that is not supported".to_owned()))?;
    Ok(Arc::new(CertifiedKey::new(chain, signing)))
}

/// Every certificate of a PEM file, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if all.is_empty() => Err("holds no certificate in PEM form".to_owned()),
        Ok(all) => Ok(all),
        Err(_) => Err("is broken PEM: it may have been written only in part".to_owned()),
    }
}

fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let has = |words: &[u8]| memchr::memmem::find(text, words).is_some();
    if has(b"ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(
            "holds a key that is encrypted with a passphrase, which nobody could type in after a restart"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => "holds no private key in PEM form".to_owned(),
        _ => "is broken PEM: it may have been written only in part".to_owned(),
    })
}

/// The hosts that a leaf is for, and its times.
fn read_leaf(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, i64, i64), String> {
    let broken = |_| "holds a certificate that cannot be read".to_owned();
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(broken)?;
    let mut names = Vec::new();
    if let Ok(Some(alternative)) = leaf.subject_alternative_name() {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) = name {
                let name = name.to_ascii_lowercase();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    let validity = leaf.validity();
    Ok((
        names,
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}
