//! Who may come in: basic authentication (RFC 7617) with bcrypt hashes.
//!
//! A hash takes tens of milliseconds of a processor by design. So it is computed beside the threads that serve
//! visitors, few at a time, and what it proved is remembered as a keyed digest: never the password.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

mod complaints;
mod file;

pub(crate) use complaints::Complaints;
use file::{Found, Stamp};

/// Longest value of an Authorization header that is looked at, bytes.
const LONGEST: usize = 1024;
/// So many names with their passwords are remembered for a route; then they are forgotten, and proved anew.
const REMEMBERED: usize = 1024;
/// So many may wait for their password to be checked; more are answered 503.
const WAITING: usize = 32;
/// How long one may wait for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a file of users may have changed before anybody looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What visitors get while a file is broken.
const ALL_STAY: &str = "; whom it let in before still comes in";
const NOBODY_COMES: &str = "; nobody of it comes in";
/// Checked when there is nobody at all, so that the time tells no names.
const NOBODY: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// The users of one route.
#[derive(Debug)]
pub(crate) struct Users {
    /// Those of the table: they go before others of the same name.
    own: BTreeMap<String, String>,
    file: Option<PathBuf>,
    key: [u8; 32],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hashes: Arc<Hashes>,
    /// The digests of names and passwords that were right.
    known: HashSet<[u8; 32]>,
    /// When somebody looked at the file last, and what it was then; `None`: it could not be read.
    looked: Instant,
    stamp: Option<Stamp>,
    /// Those of the file when it was whole last, name → hash; `None`: it never was.
    listed: Option<Arc<BTreeMap<String, String>>>,
    /// What is wrong with the file, for a person.
    complaint: Option<String>,
}

/// Everybody who may come in.
#[derive(Debug)]
struct Hashes {
    /// Name → bcrypt hash.
    by_name: HashMap<Box<[u8]>, Arc<str>>,
    /// The dearest of them: checked in place of the hash of a name that nobody has, so that the time tells no names.
    decoy: Arc<str>,
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
    /// The users of a table and those of a file, one of which there must be. To be called where no visitor waits. The error is
    /// for a person.
    pub(crate) fn new(
        own: &BTreeMap<String, String>,
        file: Option<PathBuf>,
    ) -> Result<Self, String> {
        if own.is_empty() && file.is_none() {
            return Err("a route asks for a name and a password, and nobody has any".into());
        }
        for (name, hash) in own {
            if hash.parse::<bcrypt::HashParts>().is_err() {
                return Err(format!(
                    "the password hash of the user `{name}` cannot be used"
                ));
            }
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("no random numbers: {error}"))?;
        let users = Self {
            own: own.clone(),
            file,
            key,
            state: Mutex::new(State {
                hashes: Arc::new(Hashes::new(own, &BTreeMap::new())),
                known: HashSet::new(),
                looked: Instant::now(),
                stamp: None,
                listed: None,
                complaint: None,
            }),
        };
        if let Some(file) = &users.file {
            users.take_in(file::read(file));
        }
        Ok(users)
    }

    /// What is wrong with the file, if there is one.
    pub(crate) fn complaint(&self) -> Option<(&Path, Option<String>)> {
        let file = self.file.as_deref()?;
        Some((file, self.lock().complaint.clone()))
    }

    /// The same route, or another one with the same file, let these in before: they stay while the file is broken.
    pub(crate) fn inherit(&self, before: &Self) {
        if self.file.is_none() || self.file != before.file {
            return;
        }
        let listed = before.lock().listed.clone();
        let mut state = self.lock();
        if let (None, Some(listed)) = (&state.listed, listed) {
            state.hashes = Arc::new(Hashes::new(&self.own, &listed));
            state.listed = Some(listed);
            state.complaint = state
                .complaint
                .take()
                .map(|why| why.replace(NOBODY_COMES, ALL_STAY));
        }
    }

    /// The file, if nobody of it comes in since it was never whole.
    pub(crate) fn unread_file(&self) -> Option<&Path> {
        let file = self.file.as_deref()?;
        self.lock().listed.is_none().then_some(file)
    }

    /// The file is like this now.
    fn take_in(&self, found: Found) {
        let mut state = self.lock();
        state.stamp = found.stamp;
        match found.users {
            Ok(list) => {
                state.hashes = Arc::new(Hashes::new(&self.own, &list.users));
                state.known.clear();
                state.listed = Some(Arc::new(list.users));
                state.complaint = list.unusable;
            }
            // Half a file, or none, is somebody's mistake: it locks nobody out who was in. Whom a file would let in
            // that was never read, nobody knows: nobody.
            Err(why) => {
                let now = match state.listed {
                    Some(_) => ALL_STAY,
                    None => NOBODY_COMES,
                };
                state.complaint = Some(format!("{why}{now}"));
            }
        }
    }

    /// Ask for the name and the password in an Authorization header.
    pub(crate) async fn admit(
        &self,
        header: Option<&[u8]>,
        attempts: &Attempts,
        complaints: &Complaints,
    ) -> Admission {
        let Some(credentials) = header.and_then(Credentials::parse) else {
            return Admission::Unknown;
        };
        self.refresh(complaints).await;
        let digest = self.digest(&credentials);
        let hashes = {
            let state = self.lock();
            if state.known.contains(&digest) {
                return Admission::Known(credentials.name);
            }
            Arc::clone(&state.hashes)
        };
        let hash = hashes.by_name.get(credentials.name.as_slice());
        let is_user = hash.is_some();
        let hash = Arc::clone(hash.unwrap_or(&hashes.decoy));
        let password = credentials.password;
        let Some(right) = attempts.verify(password, hash).await else {
            return Admission::Busy;
        };
        if !(right && is_user) {
            return Admission::Unknown;
        }
        let mut state = self.lock();
        // Who was proved by a file that has changed meanwhile is let in this once.
        if Arc::ptr_eq(&state.hashes, &hashes) {
            if state.known.len() >= REMEMBERED {
                state.known.clear();
            }
            state.known.insert(digest);
        }
        Admission::Known(credentials.name)
    }

    /// Read the file anew if it has changed, beside the threads that serve visitors.
    async fn refresh(&self, complaints: &Complaints) {
        let Some(path) = &self.file else { return };
        let before = {
            let mut state = self.lock();
            if state.looked.elapsed() < LOOK_EVERY {
                return;
            }
            state.looked = Instant::now();
            state.stamp
        };
        let looking = path.clone();
        let looking = tokio::task::spawn_blocking(move || file::read_changed(&looking, before));
        if let Ok(Some(found)) = looking.await {
            self.take_in(found);
            complaints.tell(path, self.lock().complaint.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Hashes {
    /// Of one name the first has it.
    fn new(own: &BTreeMap<String, String>, more: &BTreeMap<String, String>) -> Self {
        let mut by_name: HashMap<Box<[u8]>, Arc<str>> = HashMap::new();
        let mut decoy = (0, NOBODY);
        for (name, hash) in own.iter().chain(more) {
            let Ok(parts) = hash.parse::<bcrypt::HashParts>() else {
                continue;
            };
            if decoy.0 < parts.get_cost() {
                decoy = (parts.get_cost(), hash);
            }
            by_name
                .entry(name.as_bytes().into())
                .or_insert_with(|| hash.as_str().into());
        }
        Self {
            by_name,
            decoy: decoy.1.into(),
        }
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
