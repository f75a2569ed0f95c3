//! Files that are compressed once and sent many times: in memory, bounded, shared by all threads.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::coder;
use super::decide::SMALLEST;
use crate::folder::{Encoding, Stamp};

/// All of them together, bytes. The one that was not asked for longest goes first.
const MOST: usize = 32 << 20;
/// Larger files are sent as they are, bytes: whoever has such texts compresses them when building.
pub(crate) const LARGEST: u64 = 4 << 20;
/// For a file up to this size, bytes, its first visitor waits some milliseconds; of a larger one it gets the plain one.
const WAITED_FOR: u64 = 256 << 10;

/// A file to be sent compressed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) stamp: Stamp,
    pub(crate) encoding: Encoding,
    pub(crate) file: Arc<File>,
    pub(crate) size: u64,
}

/// What is held.
#[derive(Debug)]
pub(crate) struct CodedFiles {
    held: Arc<Mutex<Held>>,
    /// One is compressed at a time: a machine with one processor has some of it left.
    working: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    /// `None`: it does not get smaller. The number tells when it was last asked for.
    files: HashMap<(Stamp, Encoding), (Option<Bytes>, u64)>,
    bytes: usize,
    asked: u64,
}

impl Default for CodedFiles {
    fn default() -> Self {
        Self {
            held: Arc::default(),
            working: Arc::new(Semaphore::new(1)),
        }
    }
}

impl CodedFiles {
    /// The file, compressed; `None`: not now.
    pub(crate) async fn get(&self, wanted: Wanted) -> Option<Bytes> {
        let key = (wanted.stamp, wanted.encoding);
        if let Some(known) = lock(&self.held).find(&key) {
            return known;
        }
        let permit = Arc::clone(&self.working).try_acquire_owned().ok()?;
        let held = Arc::clone(&self.held);
        let size = wanted.size;
        let work = tokio::task::spawn_blocking(move || {
            let coded = code(&wanted);
            lock(&held).insert(key, coded.clone());
            drop(permit);
            coded
        });
        if size > WAITED_FOR {
            return None;
        }
        work.await.ok().flatten()
    }
}

fn lock(held: &Mutex<Held>) -> std::sync::MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None`: it cannot be read as a whole, or it hardly gets smaller.
fn code(wanted: &Wanted) -> Option<Bytes> {
    let mut plain = vec![0; usize::try_from(wanted.size).ok()?];
    wanted.file.read_exact_at(&mut plain, 0).ok()?;
    let coded = coder::whole(wanted.encoding, &plain).ok()?;
    (coded.len() < plain.len() - plain.len() / 16).then(|| coded.into())
}

impl Held {
    fn find(&mut self, key: &(Stamp, Encoding)) -> Option<Option<Bytes>> {
        self.asked += 1;
        let (coded, asked) = self.files.get_mut(key)?;
        *asked = self.asked;
        Some(coded.clone())
    }

    /// What is not smaller takes a place, too, so that a visitor cannot let it be tried again and again.
    fn weight(coded: Option<&Bytes>) -> usize {
        SMALLEST as usize + coded.map_or(0, Bytes::len)
    }

    fn insert(&mut self, key: (Stamp, Encoding), coded: Option<Bytes>) {
        let weight = Self::weight(coded.as_ref());
        while self.bytes + weight > MOST {
            let oldest = self.files.iter().min_by_key(|(_, (_, asked))| *asked);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                return;
            };
            if let Some((coded, _)) = self.files.remove(&oldest) {
                self.bytes -= Self::weight(coded.as_ref());
            }
        }
        self.bytes += weight;
        if let Some((before, _)) = self.files.insert(key, (coded, self.asked)) {
            self.bytes -= Self::weight(before.as_ref());
        }
    }
}
