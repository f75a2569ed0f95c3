//! Who may come in: basic authentication (RFC 7617) with bcrypt hashes.
//!
//! A hash takes tens of milliseconds of a processor by design. So it is computed beside the threads that serve
//! visitors, few at a time, and what it proved is remembered as a keyed digest: never the password.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Longest value of an Authorization header that is looked at, bytes.
const LONGEST: usize = 1024;
/// So many names with their passwords are remembered for a route; then they are forgotten, and proved anew.
const REMEMBERED: usize = 1024;
/// So many may wait for their password to be checked; more are answered 503.
const WAITING: usize = 32;
/// How long one may wait for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The users of one route.
#[derive(Debug)]
pub(crate) struct Users {
    /// Name → bcrypt hash.
    hashes: HashMap<Box<[u8]>, Arc<str>>,
    /// Checked in place of the hash of a name that nobody has, so that the time tells no names.
    decoy: Arc<str>,
    key: [u8; 32],
    known: Mutex<HashSet<[u8; 32]>>,
}

/// What an edge spends on passwords at once, all routes together.
#[derive(Debug)]
pub(crate) struct Attempts {
    running: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Attempts {
    /// One at a time: a machine with one processor keeps some of it, whoever guesses passwords.
    fn default() -> Self {
        Self {
            running: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// What is said to a visitor of a route with users.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Come in; this is the name.
    Known(Vec<u8>),
    /// Who are you? 401
    Unknown,
    /// Too many passwords are being checked: 503
    Busy,
}

impl Users {
    /// The error is for a person.
    pub(crate) fn new(users: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut dearest: Option<(u32, &String)> = None;
        for (name, hash) in users {
            let parts: bcrypt::HashParts = hash
                .parse()
                .map_err(|_| format!("the password hash of the user `{name}` cannot be used"))?;
            if dearest.is_none_or(|(cost, _)| cost < parts.get_cost()) {
                dearest = Some((parts.get_cost(), hash));
            }
        }
        let Some((_, decoy)) = dearest else {
            return Err("a route asks for a name and a password, and nobody has any".into());
        };
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("no random numbers: {error}"))?;
        let hashes = users.iter();
        let hashes = hashes.map(|(name, hash)| (name.as_bytes().into(), hash.as_str().into()));
        Ok(Self {
            hashes: hashes.collect(),
            decoy: decoy.as_str().into(),
            key,
            known: Mutex::default(),
        })
    }

    /// Ask for the name and the password in an Authorization header.
    pub(crate) async fn admit(&self, header: Option<&[u8]>, attempts: &Attempts) -> Admission {
        let Some(credentials) = header.and_then(Credentials::parse) else {
            return Admission::Unknown;
        };
        let digest = self.digest(&credentials);
        if self.lock().contains(&digest) {
            return Admission::Known(credentials.name);
        }
        let hash = self.hashes.get(credentials.name.as_slice());
        let is_user = hash.is_some();
        let hash = Arc::clone(hash.unwrap_or(&self.decoy));
        let password = credentials.password;
        let Some(right) = attempts.verify(password, hash).await else {
            return Admission::Busy;
        };
        if !(right && is_user) {
            return Admission::Unknown;
        }
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest);
        Admission::Known(credentials.name)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, credentials: &Credentials) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update((credentials.name.len() as u64).to_le_bytes());
        digest.update(&credentials.name);
        digest.update(&credentials.password);
        digest.finalize().into()
    }
}

impl Attempts {
    /// `None`: too many others wait, or it took too long.
    async fn verify(&self, password: Vec<u8>, hash: Arc<str>) -> Option<bool> {
        let waiting = Waiting::begin(&self.waiting)?;
        let permit = tokio::time::timeout(PATIENCE, self.running.acquire()).await;
        let permit = permit.ok()?.ok()?;
        drop(waiting);
        let right = tokio::task::spawn_blocking(move || bcrypt::verify(&password, &hash));
        // A visitor who leaves gives the permit back while the hash is still computed; the next one then shares the
        // processor with it for some milliseconds.
        let right = right.await;
        drop(permit);
        Some(matches!(right, Ok(Ok(true))))
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(count);
        (before < WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A name and a password (RFC 7617 section 2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) name: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Credentials {
    /// Read an Authorization header. Whatever is not `Basic` and base64 of a name, a colon and a password, without control
    /// characters, is nobody.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > LONGEST {
            return None;
        }
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let pair = STANDARD.decode(rest.trim_ascii()).ok()?;
        if pair.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = memchr::memchr(b':', &pair)?;
        Some(Self {
            name: pair[..colon].to_vec(),
            password: pair[colon + 1..].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests;
