//! `[tls]`: how the app's hosts are spoken to over TLS.

use std::path::Path;

use super::section::Section;
use super::{Tls, Until, keys, parse, shorten, values};
use crate::config_error::Problem;
use crate::routing::{PlainHttp, RouteTls, TlsVersion};

pub(super) fn read(section: &Section<'_>) -> Tls {
    let tls = Tls {
        certificate: section.string("certificate", file),
        key: section.string("key", file),
        minimum: section
            .string("minimum", |text| {
                let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
                values::one_of(text, &versions)
            })
            .unwrap_or_default(),
        http: section
            .string("http", |text| {
                let choices = [
                    ("redirect", PlainHttp::Redirect),
                    ("serve", PlainHttp::Serve),
                ];
                values::one_of(text, &choices)
            })
            .unwrap_or_default(),
        hsts: section.duration("hsts", "0s", "3650d"),
        hsts_subdomains: section.boolean("hsts-subdomains").unwrap_or(false),
        client_ca: section.string("client-ca", file),
        until: section
            .string("until", |text| {
                let choices = [
                    ("refused", Until::Refused),
                    ("self-signed", Until::SelfSigned),
                ];
                values::one_of(text, &choices)
            })
            .unwrap_or_default(),
    };
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if section.has(one) && !section.has_or_means(other) {
            section.conflict(
                one,
                format!("it is of no use without `{other}`"),
                parse::missing_hint(&keys::TLS, other),
            );
        }
    }
    if tls.hsts_subdomains && !section.has_or_means("hsts") {
        section.conflict(
            "hsts-subdomains",
            "it is of no use without `hsts`",
            parse::missing_hint(&keys::TLS, "hsts"),
        );
    }
    if tls.client_ca.is_some() && tls.http == PlainHttp::Serve {
        let why = "whoever comes over plain HTTP would need no certificate";
        section.conflict(
            "http",
            why,
            "leave it out: such visitors are redirected".to_owned(),
        );
    }
    tls
}

impl Tls {
    /// What all routes of an app whose root is `root` ask of TLS; `None`: what is usual.
    pub fn of_routes(&self, root: &Path) -> Option<Box<RouteTls>> {
        let tls = RouteTls {
            plain: self.http,
            hsts: self.hsts,
            hsts_subdomains: self.hsts_subdomains,
            minimum: self.minimum,
            client_ca: self.client_ca.as_ref().map(|file| root.join(file)),
            on_demand: false,
        };
        (tls != RouteTls::default()).then(|| Box::new(tls))
    }
}

/// A file outside of the code, most likely: absolute, or relative to the app's root.
fn file(text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(Problem::new("it is empty"));
    }
    if text.contains(|c: char| c.is_control()) {
        return Err(Problem::new("it contains a control character"));
    }
    if text.starts_with('~') {
        return Err(Problem::new(format!(
            "`{}` begins with `~`; write the whole path",
            shorten(text)
        )));
    }
    Ok(text.to_owned())
}
