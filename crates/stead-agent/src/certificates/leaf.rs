//! What a certificate says: for which hosts, and how long. Only what is read here is believed of a file.

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The first certificate of a chain.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    /// Host names, in lower case, in the certificate's order.
    pub(crate) names: Vec<String>,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
    /// The issuer's common name, or organization.
    pub(crate) issuer: String,
    pub(crate) der: Vec<u8>,
}

/// Read a chain and its key, both PEM, and make sure that they belong together.
pub(crate) fn read(chain: &str, key: &str) -> Result<Leaf, String> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the chain is no PEM: {error}"))?;
    let Some(first) = chain.first() else {
        return Err("the chain has no certificate".to_owned());
    };
    let leaf = facts(first)?;
    if key.contains("ENCRYPTED") {
        return Err("the key is encrypted; take its passphrase off".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the key is no PEM: {error}"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match rustls::sign::CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(leaf),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err("the key does not belong to the certificate".to_owned())
        }
        Err(error) => Err(format!("the key cannot be used: {error}")),
    }
}

fn facts(der: &CertificateDer<'_>) -> Result<Leaf, String> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| format!("the certificate's names cannot be read: {error}"))?;
    let names = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    let time = |seconds: i64| {
        // `99991231235959Z` means that there is no end (RFC 5280 section 4.1.2.5).
        Timestamp::from_second(seconds.min(Timestamp::MAX.as_second()))
            .map_err(|error| format!("the certificate's times cannot be read: {error}"))
    };
    let issuer = certificate.issuer();
    let issuer = issuer
        .iter_common_name()
        .chain(issuer.iter_organization())
        .find_map(|name| name.as_str().ok())
        .unwrap_or("unnamed");
    Ok(Leaf {
        names,
        begins: time(certificate.validity().not_before.timestamp())?,
        ends: time(certificate.validity().not_after.timestamp())?,
        issuer: issuer.to_owned(),
        der: der.to_vec(),
    })
}

#[cfg(test)]
mod tests;
