//! What a route asks before its target answers.

use std::sync::Arc;

use stead_model::routing::Moved;

use super::{Next, Request};
use crate::Shared;
use crate::forward::{Rewritten, Ruled};
use crate::page::Reason;
use crate::path::{self, CleanPath};
use crate::response::reason_phrase;
use crate::rules::users::Admission;
use crate::rules::{Rules, maintenance};

impl Request<'_> {
    /// Follow a route's rules; `Some`: they answer the request.
    pub(super) async fn follow(
        &mut self,
        rules: &Arc<Rules>,
        clean: &CleanPath<'_>,
        prefix_length: usize,
    ) -> Option<Next> {
        self.response.follow(Arc::clone(rules));
        if let Some(moved) = rules.moved(&clean.bytes) {
            return Some(self.moved(moved, clean.bytes.len()));
        }
        if let Some(maintenance) = &rules.maintenance
            && let Some(page) = maintenance::holds(maintenance, &self.connection.remote)
        {
            self.refuse_body();
            let later = [("Retry-After", &b"300"[..])];
            let own = rules.pages.of(503).map(|page| &page[..]);
            let page = page.as_deref().or(own);
            return Some(self.write_error(503, Reason::Maintenance, &later, page));
        }
        let user = match &rules.users {
            None => None,
            Some(users) => {
                let Shared {
                    attempts,
                    complaints,
                    ..
                } = &**self.shared;
                let admission = users.admit(self.credentials(), attempts, complaints);
                match admission.await {
                    Admission::Known(name) => Some(name),
                    Admission::Busy => return Some(self.error_because(503, Reason::Busy)),
                    Admission::Unknown => {
                        let challenge = b"Basic realm=\"Restricted\", charset=\"UTF-8\"";
                        let extra = [("WWW-Authenticate", &challenge[..])];
                        return Some(self.error_with(401, Reason::General, &extra));
                    }
                }
            }
        };
        let rewritten = rules.rewrite.as_deref().map(|to| {
            let rest = path::after(self.head.path(), prefix_length);
            let mut path = to.to_vec();
            path.extend_from_slice(&rest);
            if path.is_empty() {
                path.push(b'/');
            }
            let prefix = match to {
                b"" => clean.bytes[..prefix_length].to_vec(),
                _ => Vec::new(),
            };
            Rewritten { path, prefix }
        });
        let rules = Arc::clone(rules);
        self.ruled = Some(Box::new(Ruled {
            rules,
            rewritten,
            user,
        }));
        None
    }

    /// The one Authorization header.
    fn credentials(&self) -> Option<&[u8]> {
        let headers = self.head.headers();
        let mut headers = headers.filter(|(name, _)| name.eq_ignore_ascii_case(b"authorization"));
        match (headers.next(), headers.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Send the visitor to another path or URL. Of the clean path, `prefix_length` bytes are replaced.
    pub(super) fn moved(&mut self, moved: &Moved, prefix_length: usize) -> Next {
        let rest = path::after(self.head.path(), prefix_length);
        // `/` and what follows would have two slashes between them, which would be another host.
        let to = match rest.is_empty() {
            true => moved.to.as_str(),
            false => moved.to.trim_end_matches('/'),
        };
        let location = [to.as_bytes(), &rest].concat();
        self.redirect(location, moved.status)
    }

    /// Send the visitor elsewhere, with the query.
    pub(super) fn redirect(&mut self, mut location: Vec<u8>, status: u16) -> Next {
        if let Some(query) = self.head.query() {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        let line = format!("{status} {}", reason_phrase(status));
        self.simple(line.as_bytes(), &[("Location", &location)])
    }
}
