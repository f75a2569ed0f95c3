//! What certificate authorities are answered that ask by plain HTTP (HTTP-01, RFC 8555 section 8.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use stead_model::messages::HttpChallenges;

use crate::head::Head;

/// Below it stand the tokens.
const PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// The answers in force, for every host: a token is of 128 random bits and says for itself what it is for.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    answers: ArcSwap<BTreeMap<String, String>>,
}

impl Challenges {
    /// These are all.
    pub(crate) fn replace(&self, challenges: HttpChallenges) {
        self.answers.store(Arc::new(challenges.answers));
    }

    /// The answer, if this asks for a token that is known; else it is a request as any other.
    pub(crate) fn answer(&self, head: &Head) -> Option<String> {
        let token = head.path().strip_prefix(PREFIX)?;
        if !matches!(head.method(), b"GET" | b"HEAD") {
            return None;
        }
        let token = std::str::from_utf8(token).ok()?;
        self.answers.load().get(token).cloned()
    }
}
