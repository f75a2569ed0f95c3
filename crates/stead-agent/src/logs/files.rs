//! The files of logs: one writer thread, so that a slow disk holds up neither an app nor the agent.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::mpsc::UnboundedSender;

use crate::Report;
use crate::spawn::io_text;

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
    pub(crate) fn start(
        reports: UnboundedSender<Report>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .stack_size(256 * 1024)
            .spawn(move || write_all(&receiver, reports))?;
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

/// What could not be written of one file since it was last said.
#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    why: String,
}

/// The files that are open, with their sizes, and what was lost of them.
struct Writer {
    open: HashMap<PathBuf, (File, u64)>,
    lost: HashMap<PathBuf, Lost>,
    reports: UnboundedSender<Report>,
}

fn write_all(pieces: &Receiver<Piece>, reports: UnboundedSender<Report>) {
    let mut writer = Writer {
        open: HashMap::new(),
        lost: HashMap::new(),
        reports,
    };
    for piece in pieces {
        writer.take(&piece);
    }
}

impl Writer {
    /// Write a piece, and before it how many lines there was no room for. A full disk loses log lines, nothing else.
    fn take(&mut self, piece: &Piece) {
        let lost = self.lost.get(&piece.file);
        let gap = lost.map_or(String::new(), |lost| {
            format!(
                "[stead: {} lines were not kept: {}]\n",
                lost.lines, lost.why
            )
        });
        match self.write(&piece.file, gap.as_bytes(), &piece.bytes) {
            Ok(()) => {
                if let Some(lost) = self.lost.remove(&piece.file) {
                    let lines = lost.lines;
                    let text = format!("its log is kept again; {lines} lines are missing in it");
                    self.note(&piece.file, false, text);
                }
            }
            Err(error) => {
                // It is opened again for the next piece: it may have been removed to make room.
                self.open.remove(&piece.file);
                let known = self.lost.contains_key(&piece.file);
                let lost = self.lost.entry(piece.file.clone()).or_default();
                lost.lines += piece.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                if !known {
                    lost.why = io_text(&error);
                    let text = format!(
                        "its lines cannot be kept in {}: {}; what it prints is only shown here until they can",
                        piece.file.display(),
                        lost.why
                    );
                    self.note(&piece.file, true, text);
                }
            }
        }
    }

    fn write(&mut self, path: &Path, gap: &[u8], bytes: &[u8]) -> std::io::Result<()> {
        if self.open.len() > 64 {
            self.open.clear();
        }
        if !self.open.contains_key(path) {
            self.open.insert(path.to_owned(), open_file(path)?);
        }
        let Some((file, size)) = self.open.get_mut(path) else {
            return Ok(());
        };
        if let Err(error) = file.write_all(gap).and_then(|()| file.write_all(bytes)) {
            // Half a piece would be the beginning of a line that never was.
            let _ = file.set_len(*size);
            return Err(error);
        }
        *size += (gap.len() + bytes.len()) as u64;
        if *size > LARGEST {
            self.open.remove(path);
            put_aside(path);
        }
        Ok(())
    }

    fn note(&self, file: &Path, warning: bool, text: String) {
        let source = file.file_stem().unwrap_or_default();
        let _ = self.reports.send(Report::Note {
            source: source.to_string_lossy().into_owned(),
            warning,
            text,
        });
    }
}

fn open_file(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
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
