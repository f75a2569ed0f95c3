//! Records in the DNS that prove that a host is ours (DNS-01, RFC 8555 section 8.4): made and removed by a program, or at
//! a provider. All of it blocks, and is run beside the loop.

mod alidns;
mod cloudflare;
mod program;
mod route53;
mod signing;

use jiff::Timestamp;
use stead_model::manifest::DnsProvider;

use super::CertificateWish;
use super::credentials::credential;
use super::http;
use crate::state::Failure;

/// Who makes records.
#[derive(Clone, Debug)]
pub(crate) enum Records {
    Program(program::Program),
    Cloudflare(cloudflare::Cloudflare),
    Alidns(alidns::Alidns),
    Route53(route53::Route53),
}

impl Records {
    /// As `[acme]` says; `None`: nobody. Credentials come from `<state>/secrets` or the environment.
    pub(crate) fn open(wish: &CertificateWish) -> Result<Option<Self>, Failure> {
        let acme = &wish.acme;
        if !acme.dns_program.is_empty() {
            return Ok(Some(Self::Program(program::Program::of(wish))));
        }
        let Some(provider) = acme.dns else {
            return Ok(None);
        };
        let agent = http::agent(None).map_err(|why| Failure::new("cannot use HTTPS", why))?;
        let secret = |name: &str| credential(&wish.state, name);
        Ok(Some(match provider {
            DnsProvider::Cloudflare => Self::Cloudflare(cloudflare::Cloudflare {
                agent,
                endpoint: cloudflare::ENDPOINT.to_owned(),
                token: secret("CLOUDFLARE_API_TOKEN")?,
            }),
            DnsProvider::Alidns => Self::Alidns(alidns::Alidns {
                agent,
                endpoint: alidns::ENDPOINT.to_owned(),
                key_id: secret("ALIBABA_CLOUD_ACCESS_KEY_ID")?,
                key_secret: secret("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?,
            }),
            DnsProvider::Route53 => Self::Route53(route53::Route53 {
                agent,
                endpoint: route53::ENDPOINT.to_owned(),
                key_id: secret("AWS_ACCESS_KEY_ID")?,
                key_secret: secret("AWS_SECRET_ACCESS_KEY")?,
                // Only keys that were lent for a while have one.
                session: secret("AWS_SESSION_TOKEN").ok(),
            }),
        }))
    }

    /// Add a TXT record. What else is at the name stays.
    pub(crate) fn present(&self, name: &str, value: &str) -> Result<(), String> {
        match self {
            Self::Program(program) => program.run("present", name, value),
            Self::Cloudflare(cloudflare) => cloudflare.present(name, value),
            Self::Alidns(alidns) => alidns.present(name, value, Timestamp::now),
            Self::Route53(route53) => route53.present(name, value, Timestamp::now),
        }
    }

    /// Remove it again.
    pub(crate) fn cleanup(&self, name: &str, value: &str) -> Result<(), String> {
        match self {
            Self::Program(program) => program.run("cleanup", name, value),
            Self::Cloudflare(cloudflare) => cloudflare.cleanup(name, value),
            Self::Alidns(alidns) => alidns.cleanup(name, value, Timestamp::now),
            Self::Route53(route53) => route53.cleanup(name, value, Timestamp::now),
        }
    }
}

/// A name and every name above it that has a dot: one of them is the provider's zone.
fn zones(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let zone = rest?;
        rest = zone.split_once('.').map(|(_, above)| above);
        zone.contains('.').then_some(zone)
    })
}

/// Percent-encoding as signatures want it: everything but letters, digits and `-._~` (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `a=1&b=2` of pairs, sorted by name, encoded.
fn query(pairs: &[(&str, &str)]) -> String {
    let mut pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    pairs.join("&")
}

#[cfg(test)]
mod tests;
