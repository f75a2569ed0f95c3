//! What instances and jobs print: read without ever making them wait, shown, kept, and the last
//! lines remembered.
//!
//! One thread with a small runtime of its own reads all pipes, so that a flood of lines delays no decision
//! of the agent. A program that prints more than [`FILE_RATE`] loses the excess, counted; what goes to the
//! terminal is limited further, since nobody reads a thousand lines a second, and a terminal may be stopped.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::Report;

mod files;
mod lines;

use files::Files;
use lines::Lines;

/// Bytes a second that are kept of one stream for long; twice four times as much at once.
const FILE_RATE: f64 = 4.0 * 1024.0 * 1024.0;
/// Bytes a second that are shown of one stream.
const SHOW_RATE: f64 = 64.0 * 1024.0;
/// Lines remembered of an instance.
const REMEMBERED: usize = 20;

/// The reader of all logs.
#[derive(Debug)]
pub(crate) struct Logs {
    attach: UnboundedSender<Attach>,
    thread: Option<std::thread::JoinHandle<()>>,
    dir: PathBuf,
}

#[derive(Debug)]
struct Attach {
    source: String,
    file: PathBuf,
    streams: [OwnedFd; 2],
    tail: Arc<Mutex<VecDeque<String>>>,
    /// Dropped when both streams have ended.
    open: watch::Sender<()>,
}

/// One instance's log, as the agent holds it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    tail: Arc<Mutex<VecDeque<String>>>,
    ended: watch::Receiver<()>,
}

impl Log {
    /// The last lines, oldest first.
    pub(crate) fn tail(&self) -> Vec<String> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().cloned().collect()
    }

    /// Wait until everything was read, for at most `patience`: a process that got away may hold the pipe.
    pub(crate) async fn ended(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, async {
            while self.ended.changed().await.is_ok() {}
        })
        .await;
    }
}

impl Logs {
    /// Start the threads. Files go to `dir`.
    pub(crate) fn start(dir: PathBuf, reports: UnboundedSender<Report>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (files, writer) = Files::start(reports.clone())?;
        let (attach, attached) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("logs".into())
            .stack_size(512 * 1024)
            .spawn(move || {
                runtime.block_on(read_all(attached, files, reports));
                drop(runtime);
                let _ = writer.join();
            })?;
        Ok(Self {
            attach,
            thread: Some(thread),
            dir,
        })
    }

    /// Read these two pipes until they end.
    pub(crate) fn attach(&self, source: &str, stdout: OwnedFd, stderr: OwnedFd) -> Log {
        let tail = Arc::default();
        let (open, ended) = watch::channel(());
        let _ = self.attach.send(Attach {
            source: source.to_owned(),
            file: self.file(source),
            streams: [stdout, stderr],
            tail: Arc::clone(&tail),
            open,
        });
        Log { tail, ended }
    }

    /// Where a source's lines are kept.
    pub(crate) fn file(&self, source: &str) -> PathBuf {
        self.dir.join(format!("{source}.log"))
    }

    /// Write what is left. Call when every attached program has ended.
    pub(crate) async fn finish(mut self) {
        drop(self.attach);
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join());
            let _ = tokio::time::timeout(Duration::from_secs(5), joined).await;
        }
    }
}

async fn read_all(
    mut attached: UnboundedReceiver<Attach>,
    files: Files,
    reports: UnboundedSender<Report>,
) {
    let mut readers = tokio::task::JoinSet::new();
    while let Some(new) = attached.recv().await {
        let open = Arc::new(new.open);
        for (stderr, fd) in [false, true].into_iter().zip(new.streams) {
            let Ok(pipe) = pipe::Receiver::from_owned_fd(fd) else {
                continue;
            };
            let stream = Stream {
                source: new.source.clone(),
                stderr,
                file: new.file.clone(),
                files: files.clone(),
                reports: reports.clone(),
                tail: Arc::clone(&new.tail),
                keep: Bucket::new(FILE_RATE, FILE_RATE * 4.0),
                show: Bucket::new(SHOW_RATE, SHOW_RATE * 8.0),
                lines: Lines::default(),
                not_kept: Dropped::default(),
                not_shown: Dropped::default(),
                last: Vec::new(),
            };
            let open = Arc::clone(&open);
            readers.spawn(async move {
                stream.read(pipe).await;
                drop(open);
            });
        }
        while readers.try_join_next().is_some() {}
    }
    // Whoever still holds a pipe now is not ours to wait for.
    let all = async { while readers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
}

/// How much may pass: `rate` a second, up to `most` at once.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: f64, most: f64) -> Self {
        let (left, at) = (most, Instant::now());
        Self {
            rate,
            most,
            left,
            at,
        }
    }

    fn take(&mut self, amount: usize) -> bool {
        let enough = self.holds(amount);
        if enough {
            self.left -= amount as f64;
        }
        enough
    }

    fn holds(&mut self, amount: usize) -> bool {
        let now = Instant::now();
        let refill = now.duration_since(self.at).as_secs_f64() * self.rate;
        self.left = (self.left + refill).min(self.most);
        self.at = now;
        self.left >= amount as f64
    }
}

#[derive(Debug, Default)]
struct Dropped {
    lines: u64,
    bytes: u64,
}

struct Stream {
    source: String,
    stderr: bool,
    file: PathBuf,
    files: Files,
    reports: UnboundedSender<Report>,
    tail: Arc<Mutex<VecDeque<String>>>,
    keep: Bucket,
    show: Bucket,
    lines: Lines,
    not_kept: Dropped,
    not_shown: Dropped,
    /// The end of what was dropped last: if the flood ends there, these lines say why.
    last: Vec<u8>,
}

impl Stream {
    async fn read(mut self, mut pipe: pipe::Receiver) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let behind = self.not_kept.bytes > 0 || self.not_shown.bytes > 0;
            let read = pipe.read(&mut buffer);
            let n = if behind {
                match tokio::time::timeout(Duration::from_millis(500), read).await {
                    Ok(n) => n,
                    Err(_) => {
                        self.catch_up();
                        continue;
                    }
                }
            } else {
                read.await
            };
            match n {
                Ok(0) | Err(_) => break,
                Ok(n) => self.take(buffer.get(..n).unwrap_or_default()),
            }
        }
        self.catch_up();
        if let Some(line) = self.lines.finish() {
            self.put(vec![line]);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        // Who has dropped something goes on until there is room for a second's worth: what is kept of a flood is
        // then whole passages, and a sentence about the gaps comes once a second, not with every piece.
        let wanted = match self.not_kept.bytes {
            0 => bytes.len(),
            _ => FILE_RATE as usize,
        };
        if !self.keep.holds(wanted) || !self.keep.take(bytes.len()) {
            self.not_kept.bytes += bytes.len() as u64;
            self.not_kept.lines += bytes.iter().filter(|b| **b == b'\n').count() as u64;
            self.last.clear();
            let start = bytes.len().saturating_sub(8 * 1024);
            self.last
                .extend_from_slice(bytes.get(start..).unwrap_or_default());
            return;
        }
        if self.not_kept.bytes > 0 {
            self.catch_up();
        }
        let mut lines = Vec::new();
        self.lines.push(bytes, |line| lines.push(line));
        self.put(lines);
    }

    /// Say what was left out, and show the end of it.
    fn catch_up(&mut self) {
        let dropped = std::mem::take(&mut self.not_kept);
        if dropped.bytes > 0 {
            let text = format!(
                "{} lines ({}) were dropped: it prints more than {} a second",
                dropped.lines,
                size(dropped.bytes),
                size(FILE_RATE as u64)
            );
            self.keep(&[format!("[stead: {text}]")]);
            self.note(text);
            let mut lines = Vec::new();
            let last = std::mem::take(&mut self.last);
            self.lines.push(&last, |line| lines.push(line));
            self.put(lines);
        }
        let hidden = std::mem::take(&mut self.not_shown);
        if hidden.bytes > 0 {
            let text = format!(
                "{} lines are not shown here; they are in {}",
                hidden.lines,
                self.file.display()
            );
            self.note(text);
        }
    }

    fn note(&self, text: String) {
        let _ = self.reports.send(Report::Note {
            source: self.source.clone(),
            warning: true,
            text,
        });
    }

    /// Remember, keep and show.
    fn put(&mut self, lines: Vec<String>) {
        self.keep(&lines);
        for text in lines {
            if self.show.take(text.len() + 32) {
                let _ = self.reports.send(Report::Line {
                    source: self.source.clone(),
                    stderr: self.stderr,
                    text,
                });
            } else {
                self.not_shown.lines += 1;
                self.not_shown.bytes += text.len() as u64;
            }
        }
    }

    /// Remember and keep.
    fn keep(&mut self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            for line in lines.iter().rev().take(REMEMBERED).rev() {
                if tail.len() == REMEMBERED {
                    tail.pop_front();
                }
                tail.push_back(line.clone());
            }
        }
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
            .to_string();
        let mut bytes = Vec::with_capacity(lines.iter().map(|l| l.len() + 26).sum());
        for line in lines {
            bytes.extend_from_slice(now.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        let size = bytes.len() as u64;
        if !self.files.append(&self.file, bytes) {
            self.not_kept.lines += lines.len() as u64;
            self.not_kept.bytes += size;
        }
    }
}

/// `96 KB`, `12 MB`, in the units of `stead.toml`.
fn size(bytes: u64) -> String {
    match bytes / 1024 {
        kilobytes if kilobytes < 1024 => format!("{kilobytes} KB"),
        kilobytes => format!("{} MB", kilobytes / 1024),
    }
}

#[cfg(test)]
mod tests;
