//! What a route asks of the connection that a request came over.

use std::sync::atomic::Ordering;

use stead_model::routing::PlainHttp;

use super::{Next, Request};
use crate::frames::split_port;
use crate::router::{LONGEST_HOST, clean_host};
use crate::tls::Policy;

/// Where browsers speak TLS unless told otherwise.
const HTTPS: u16 = 443;

impl Request<'_> {
    /// `Some`: the request is answered, since it did not come as the route asks.
    pub(super) fn check_tls(&mut self, policy: Option<&Policy>) -> Option<Next> {
        let wanted = policy.and_then(|policy| policy.greeting.client_ca.as_ref());
        let Some(facts) = &self.connection.tls else {
            let plain = policy.map_or(PlainHttp::Redirect, |policy| policy.plain);
            // Whom an authority has to let in comes over TLS, certificate or not.
            let must = wanted.is_some();
            // A proxy that is trusted may have spoken TLS.
            let is_plain = self.connection.scheme != "https";
            let redirected = plain == PlainHttp::Redirect && is_plain;
            if must || redirected && self.has_certificate() {
                return Some(self.send_to_https());
            }
            return None;
        };
        if let Some(hsts) = policy.and_then(|policy| policy.hsts.as_ref()) {
            self.response.insist(hsts);
        }
        // The handshake was for another host, or for what was asked of this one before: on a new connection the
        // visitor is asked anew (RFC 9110 section 15.5.20).
        let shown = facts.client.as_ref().map(|client| &client.authority);
        let is_missing = wanted.is_some() && shown != wanted;
        let of_another = || facts.host.as_deref().map(str::as_bytes) != self.host().as_deref();
        (is_missing || wanted.is_some() && of_another()).then(|| self.error(421))
    }

    /// The host that the request is for, in lower case and without its port.
    fn host(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; LONGEST_HOST];
        clean_host(self.head.host(), &mut buffer).map(<[u8]>::to_vec)
    }

    fn has_certificate(&self) -> bool {
        if self.shared.tls_port.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let host = self.host();
        let host = host
            .as_deref()
            .and_then(|host| std::str::from_utf8(host).ok());
        host.is_some_and(|host| self.shared.certificates.has(host))
    }

    /// Send the visitor to the same address over TLS.
    fn send_to_https(&mut self) -> Next {
        let (name, from) = split_port(self.head.host());
        let mut location = b"https://".to_vec();
        location.extend_from_slice(name);
        // Who came to the usual port goes to the usual one, whatever stands between here and the world.
        let port = self.shared.tls_port.load(Ordering::Relaxed);
        if from.is_some_and(|from| from != b"80") && port != HTTPS && port != 0 {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        location.extend_from_slice(self.head.path());
        self.redirect(location, 308)
    }
}
