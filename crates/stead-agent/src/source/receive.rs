//! A laptop sends a tree.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use stead_model::agent::is_app_name;
use stead_model::tree::{LONGEST_LISTING, PROTOCOL, Received, Sending, Tree};
use tempfile::TempDir;

use super::{SourceError, hexadecimal, listing, object, sha256};

/// The longest first line, bytes.
const LONGEST_LINE: u64 = 1000;
/// What must be free beyond what is sent, bytes: the store and the journal go on.
const SPARE: u64 = 64 << 20;
/// So many contents are made durable one by one; more of them, together with all that the file system has to write.
const ONE_BY_ONE: usize = 32;
/// The most memory that a laptop's compression may ask for, as a power of two.
const WINDOW: u32 = 23;

/// Hear a laptop that sends a tree for `app`, and answer it. `apps_dir` is `/var/lib/stead/apps`.
///
/// # Errors
/// Nothing of the tree was kept. The laptop was not told.
pub fn receive(
    apps_dir: &Path,
    app: &str,
    input: &mut dyn Read,
    answer: &mut dyn FnMut(Received),
) -> Result<String, SourceError> {
    if !is_app_name(app) {
        return Err(SourceError::new("that is no name of an app"));
    }
    let app_dir = apps_dir.join(app);
    let mut input = BufReader::new(input);
    let text = announced(&mut input)?;
    let tree = Tree::read(&text).map_err(|error| SourceError {
        causes: vec!["a host takes no such tree".to_owned(), error.to_string()],
    })?;
    let digest = sha256(&text);
    for dir in ["objects", "trees", "incoming"] {
        let dir = app_dir.join(dir);
        make_dir(&dir).map_err(|error| SourceError::io(&dir, &error))?;
    }
    let _shared = lock(&app_dir, FlockOperation::LockShared)?;
    forget_the_dead(&app_dir.join("incoming"));
    let contents = tree.contents();
    let missing: Vec<usize> = contents
        .iter()
        .enumerate()
        .filter(|(_, (digest, size))| !is_there(&object(&app_dir, digest), *size))
        .map(|(at, _)| at)
        .collect();
    let bytes: u64 = missing.iter().map(|at| contents[*at].1).sum();
    check_room(&app_dir, bytes + text.len() as u64)?;
    answer(Received::Missing {
        contents: missing.clone(),
    });
    if !missing.is_empty() {
        let wanted: Vec<(&str, u64)> = missing.iter().map(|at| contents[*at]).collect();
        take(&app_dir, &mut input, &wanted)?;
    }
    keep_listing(&app_dir, &digest, &text)?;
    answer(Received::Complete {
        tree: digest.clone(),
    });
    Ok(digest)
}

/// The listing that the laptop announced.
fn announced(input: &mut BufReader<&mut dyn Read>) -> Result<Vec<u8>, SourceError> {
    let mut line = Vec::new();
    let read = io::BufRead::read_until(&mut input.by_ref().take(LONGEST_LINE), b'\n', &mut line);
    read.map_err(|error| heard(&error))?;
    let sending: Sending = serde_json::from_slice(&line)
        .map_err(|_| SourceError::new("what was sent does not begin as a source does"))?;
    if sending.protocol != PROTOCOL {
        return Err(SourceError::new(format!(
            "the host takes sources in version {PROTOCOL} of its protocol, not {}",
            sending.protocol
        )));
    }
    if sending.listing > LONGEST_LISTING {
        return Err(SourceError::new(format!(
            "a listing has {} MB at most",
            LONGEST_LISTING >> 20
        )));
    }
    let mut text = Vec::new();
    let read = input.by_ref().take(sending.listing as u64);
    { read }
        .read_to_end(&mut text)
        .map_err(|error| heard(&error))?;
    match text.len() == sending.listing {
        true => Ok(text),
        false => Err(cut_off()),
    }
}

fn heard(error: &io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::UnexpectedEof => cut_off(),
        ErrorKind::TimedOut => SourceError::new("nothing came any more"),
        ErrorKind::StorageFull => SourceError::new("the host's disk is full"),
        _ => SourceError::new(format!("what was sent cannot be read: {error}")),
    }
}

fn cut_off() -> SourceError {
    SourceError::new("it was cut off before all of it had come")
}

/// Below a directory that others may enter, one that they may not.
fn make_dir(dir: &Path) -> io::Result<()> {
    if let Some(app_dir) = dir.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(app_dir)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Who sends shares it, who prunes has it alone. The kernel gives it back when its owner dies.
pub(super) fn lock(app_dir: &Path, how: FlockOperation) -> Result<File, SourceError> {
    let path = app_dir.join("incoming/.lock");
    let failed = |error: io::Error| SourceError::io(&path, &error);
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    flock(&file, how).map_err(|error| failed(error.into()))?;
    Ok(file)
}

/// What senders left behind that are gone: each holds a lock on its directory for as long as it lives.
fn forget_the_dead(incoming: &Path) {
    for entry in fs::read_dir(incoming).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(dir) = File::open(&path).and_then(|file| Ok((file.metadata()?.is_dir(), file)))
        else {
            continue;
        };
        if dir.0 && flock(&dir.1, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_there(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

fn check_room(dir: &Path, bytes: u64) -> Result<(), SourceError> {
    let found = rustix::fs::statvfs(dir).map_err(|error| SourceError::io(dir, &error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    match free >= bytes.saturating_add(SPARE) {
        true => Ok(()),
        false => Err(SourceError {
            causes: vec![
                "the host's disk is too full".to_owned(),
                format!(
                    "{} MB are free, and {} MB are to be sent and {} MB to stay free",
                    free >> 20,
                    bytes.div_ceil(1 << 20),
                    SPARE >> 20
                ),
            ],
        }),
    }
}

/// Take the contents, in this order, and give them their names when all of them are what they should be.
fn take(
    app_dir: &Path,
    input: &mut BufReader<&mut dyn Read>,
    wanted: &[(&str, u64)],
) -> Result<(), SourceError> {
    let incoming = app_dir.join("incoming");
    let failed = |error: io::Error| SourceError::io(&incoming, &error);
    let aside = TempDir::with_prefix_in("source.", &incoming).map_err(failed)?;
    let held = File::open(aside.path()).map_err(failed)?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
    let mut sent = zstd::Decoder::with_buffer(input)
        .map_err(|error| heard(&error))?
        .single_frame();
    sent.window_log_max(WINDOW).map_err(|error| heard(&error))?;
    let one_by_one = wanted.len() <= ONE_BY_ONE;
    for (at, (digest, size)) in wanted.iter().enumerate() {
        let path = aside.path().join(at.to_string());
        take_one(&mut sent, &path, digest, *size, one_by_one)?;
    }
    let more = sent.read(&mut [0]).map_err(|error| heard(&error))?;
    if more > 0 {
        return Err(SourceError::new("more was sent than the host is missing"));
    }
    if !one_by_one {
        rustix::fs::syncfs(&held).map_err(|error| failed(error.into()))?;
    }
    for (at, (digest, _)) in wanted.iter().enumerate() {
        let to = object(app_dir, digest);
        let dir = to.parent().unwrap_or(app_dir);
        let moved = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .and_then(|()| fs::rename(aside.path().join(at.to_string()), &to));
        moved.map_err(|error| SourceError::io(&to, &error))?;
        if one_by_one {
            sync_dir(dir)
                .and_then(|()| sync_dir(&app_dir.join("objects")))
                .map_err(failed)?;
        }
    }
    if !one_by_one {
        rustix::fs::syncfs(&held).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

/// One content into a file of its own.
fn take_one(
    sent: &mut impl Read,
    path: &Path,
    digest: &str,
    size: u64,
    durable: bool,
) -> Result<(), SourceError> {
    let failed = |error: io::Error| SourceError::io(path, &error);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = sent
            .read(&mut buffer[..most])
            .map_err(|error| heard(&error))?;
        if count == 0 {
            return Err(cut_off());
        }
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(failed)?;
        left -= count as u64;
    }
    if hexadecimal(&hash.finalize()) != digest {
        return Err(SourceError::new(format!(
            "a content is not what its SHA-256 says ({digest})"
        )));
    }
    match durable {
        true => file.sync_data().map_err(failed),
        false => Ok(()),
    }
}

fn keep_listing(app_dir: &Path, digest: &str, text: &[u8]) -> Result<(), SourceError> {
    let path = listing(app_dir, digest);
    let failed = |error: io::Error| SourceError::io(&path, &error);
    let dir: PathBuf = app_dir.join("trees");
    let mut draft = tempfile::Builder::new()
        .prefix(".")
        .tempfile_in(&dir)
        .map_err(failed)?;
    draft.write_all(text).map_err(failed)?;
    draft.as_file().sync_all().map_err(failed)?;
    draft.persist(&path).map_err(|error| failed(error.error))?;
    sync_dir(&dir).map_err(failed)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
