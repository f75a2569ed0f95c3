//! What routes ask of TLS.

use std::path::Path;
use std::sync::Arc;

use stead_model::routing::{PlainHttp, RouteTls, TlsVersion};

/// What a route asks of the connections that its requests come over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) plain: PlainHttp,
    /// The value of Strict-Transport-Security (RFC 6797 section 6.1).
    pub(crate) hsts: Option<Arc<str>>,
    pub(crate) greeting: Greeting,
}

/// What a host asks of a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Greeting {
    /// TLS 1.3 and no older version.
    pub(crate) strict: bool,
    /// PEM: who must have issued the visitor's certificate.
    pub(crate) client_ca: Option<Arc<Path>>,
}

impl From<&RouteTls> for Policy {
    fn from(tls: &RouteTls) -> Self {
        let below = match tls.hsts_subdomains {
            true => "; includeSubDomains",
            false => "",
        };
        let hsts = |age: std::time::Duration| format!("max-age={}{below}", age.as_secs()).into();
        Self {
            plain: tls.plain,
            hsts: tls.hsts.map(hsts),
            greeting: Greeting {
                strict: tls.minimum == TlsVersion::Tls13,
                client_ca: tls.client_ca.as_deref().map(Into::into),
            },
        }
    }
}

impl Greeting {
    /// Another route of the host asks for this. `false`: they cannot both have what they ask for.
    pub(crate) fn join(&mut self, other: &Self, is_first: bool) -> bool {
        if is_first {
            *self = other.clone();
        }
        self.strict |= other.strict;
        self.client_ca == other.client_ca
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn browsers_are_told_of_the_hosts_below_only_where_that_is_asked_for() {
        let said = |hsts, hsts_subdomains| {
            let tls = RouteTls {
                hsts,
                hsts_subdomains,
                ..RouteTls::default()
            };
            Policy::from(&tls).hsts.map(|said| said.to_string())
        };
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(said(day, false).as_deref(), Some("max-age=86400"));
        assert_eq!(
            said(day, true).as_deref(),
            Some("max-age=86400; includeSubDomains")
        );
        assert_eq!(said(None, true), None);
    }
}
