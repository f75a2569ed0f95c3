//! Programs that a build runs: their output goes to the progress line by line, and is kept for
//! the error that a failure becomes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Progress;

/// How many lines of a child's output are kept: enough for a compiler's whole complaint.
const KEPT: usize = 400;

/// How long after its end a program's output is still read, if others hold it open.
const LINGER: Duration = Duration::from_millis(500);

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// The last lines that it printed, both streams in the order in which they came.
    pub(crate) lines: Vec<String>,
}

impl Outcome {
    /// The last few lines, for an error.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        let start = self.lines.len().saturating_sub(count);
        self.lines.get(start..).unwrap_or_default().to_vec()
    }
}

/// What comes from a program that runs.
enum Sign {
    Line(String),
    Ended(std::io::Result<ExitStatus>),
}

/// Run `command` to its end without input. A non-zero status is no error here.
///
/// What it left in the background may hold its output open: that is read for [`LINGER`] more.
pub(crate) fn run(mut command: Command, progress: &dyn Progress) -> std::io::Result<Outcome> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(&mut command)?;
    let (sender, signs) = mpsc::channel();
    let streams = (child.stdout.take(), child.stderr.take());
    // A user may have no threads left: then nobody would read what it says, and it would wait for ever.
    let pid = child.id();
    let started = streams
        .0
        .map_or(Ok(()), |stdout| reader(stdout, sender.clone()))
        .and_then(|()| (streams.1).map_or(Ok(()), |stderr| reader(stderr, sender.clone())))
        .and_then(|()| {
            thread(move || {
                let _ = sender.send(Sign::Ended(child.wait()));
            })
        });
    if let Err(error) = started {
        if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        return Err(error);
    }
    let mut kept = VecDeque::with_capacity(KEPT);
    let mut ended: Option<(std::io::Result<ExitStatus>, Instant)> = None;
    loop {
        let sign = match &ended {
            None => signs.recv().ok(),
            Some((_, since)) => LINGER
                .checked_sub(since.elapsed())
                .and_then(|left| signs.recv_timeout(left).ok()),
        };
        match sign {
            Some(Sign::Line(line)) => {
                progress.output(&line);
                if kept.len() == KEPT {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
            Some(Sign::Ended(status)) => ended = Some((status, Instant::now())),
            // Both streams are closed, or what holds them open is not what was waited for.
            None => break,
        }
    }
    let (status, _) = ended.ok_or_else(|| std::io::Error::other("nobody waited for it"))?;
    Ok(Outcome {
        status: status?,
        lines: kept.into(),
    })
}

/// Start `command`. A program that was written a moment ago may still be open for writing in
/// a child that another thread is forking (`ETXTBSY`): that passes.
pub(crate) fn spawn(command: &mut Command) -> std::io::Result<std::process::Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// Unlike `std::thread::spawn`, without a panic when the user may have no more.
fn thread(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().spawn(work).map(drop)
}

fn reader(stream: impl Read + Send + 'static, lines: mpsc::Sender<Sign>) -> std::io::Result<()> {
    thread(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match stream.by_ref().take(64 * 1024).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let text = plain(&String::from_utf8_lossy(&line));
                    if lines.send(Sign::Line(text)).is_err() {
                        return;
                    }
                }
            }
        }
    })
}

/// Without its end and without terminal escapes: what a child prints is shown to a person.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut characters = line.trim_end().chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                if characters.next_if_eq(&'[').is_some() {
                    for next in characters.by_ref() {
                        if next.is_ascii_alphabetic() {
                            break;
                        }
                    }
                }
            }
            '\t' => out.push(' '),
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out
}
