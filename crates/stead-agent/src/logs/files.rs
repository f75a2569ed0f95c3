//! The files of logs: one writer thread, so that a slow disk holds up neither an app nor the agent.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// A file is put aside when it is larger.
pub(crate) const LARGEST: u64 = 10 * 1024 * 1024;
/// How many that were put aside are kept.
const ASIDE: u32 = 2;
/// Pieces that wait for the disk: at most 64 × 64 KB and a bit.
const WAITING: usize = 64;

/// To the writer thread, which ends when the last of these is gone and everything is written.
#[derive(Clone, Debug)]
pub(crate) struct Files(SyncSender<Piece>);

#[derive(Debug)]
struct Piece {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Files {
    /// Start the thread; joined by whoever wants to know that everything is written.
    pub(crate) fn start() -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .stack_size(256 * 1024)
            .spawn(move || write_all(&receiver))?;
        Ok((Self(sender), thread))
    }

    /// Append to a file. `false`: the disk lags, the piece is dropped.
    pub(crate) fn append(&self, file: &Path, bytes: Vec<u8>) -> bool {
        let file = file.to_owned();
        !matches!(
            self.0.try_send(Piece { file, bytes }),
            Err(TrySendError::Full(_))
        )
    }
}

fn write_all(pieces: &Receiver<Piece>) {
    let mut open: HashMap<PathBuf, (File, u64)> = HashMap::new();
    for piece in pieces {
        if open.len() > 64 {
            open.clear();
        }
        if !open.contains_key(&piece.file)
            && let Some(opened) = open_file(&piece.file)
        {
            open.insert(piece.file.clone(), opened);
        }
        let Some((file, size)) = open.get_mut(&piece.file) else {
            continue;
        };
        // A full disk loses log lines, nothing else. The file is opened again for the next piece.
        if file.write_all(&piece.bytes).is_err() {
            open.remove(&piece.file);
            continue;
        }
        *size += piece.bytes.len() as u64;
        if *size > LARGEST {
            open.remove(&piece.file);
            put_aside(&piece.file);
        }
    }
}

fn open_file(path: &Path) -> Option<(File, u64)> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .ok()?;
    let size = file.metadata().ok()?.len();
    Some((file, size))
}

/// `web.1.log` → `web.1.log.1` → `web.1.log.2` → gone.
fn put_aside(path: &Path) {
    for n in (0..ASIDE).rev() {
        let _ = std::fs::rename(numbered(path, n), numbered(path, n + 1));
    }
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    if n == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}
