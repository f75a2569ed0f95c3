//! `stead api logs` on a host: journalctl, for a laptop that goes away when it wants.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use stead_model::logs::{LogLine, LogSaid, LogWish, PROTOCOL};

use super::say;
use crate::problem::{Problem, because};
use crate::render::Terminal;

/// The longest question, bytes.
const LONGEST_WISH: u64 = 4096;
/// The longest line of the journal that is read, bytes; what is behind it is lost.
const LONGEST_LINE: u64 = 1 << 20;

/// Print the lines that standard input asks for, until it ends.
pub(crate) fn logs(terminal: &Terminal) -> Result<ExitCode, Problem> {
    if let Err(causes) = print(terminal) {
        say(terminal, &LogSaid::Failed { causes });
    }
    Ok(ExitCode::SUCCESS)
}

fn print(terminal: &Terminal) -> Result<(), Vec<String>> {
    let mut line = Vec::new();
    let read = io::stdin()
        .lock()
        .take(LONGEST_WISH)
        .read_until(b'\n', &mut line);
    read.map_err(|error| vec![because(&error)])?;
    let wish: LogWish = serde_json::from_slice(&line).map_err(|error| vec![error.to_string()])?;
    if wish.protocol != PROTOCOL {
        return Err(vec![format!(
            "logs are asked for in version {} of the protocol, and this host speaks {PROTOCOL}",
            wish.protocol
        )]);
    }
    let words = wish.arguments().map_err(|why| vec![why])?;
    let spawned = Command::new("journalctl")
        .args(words)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        spawned.map_err(|error| vec!["cannot run `journalctl`".to_owned(), because(&error)])?;
    let out = child.stdout.take();
    let child = Arc::new(Mutex::new(child));
    if wish.follow {
        end_with_standard_input(Arc::clone(&child));
    }
    let mut out = BufReader::new(out.ok_or_else(Vec::new)?);
    loop {
        let mut line = Vec::new();
        let read = (&mut out).take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(|error| vec![because(&error)])? == 0 {
            break;
        }
        if let Some(line) = LogLine::of_journal(&String::from_utf8_lossy(&line)) {
            say(terminal, &LogSaid::Line(line));
        }
    }
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = child.wait().map_err(|error| vec![because(&error)])?;
    let mut said = String::new();
    if let Some(err) = child.stderr.take() {
        let _ = err.take(LONGEST_LINE).read_to_string(&mut said);
    }
    match (ended.code(), said.lines().last()) {
        // journalctl ends with 1 when no line fits.
        (Some(0) | None, _) | (Some(1), None) => Ok(()),
        (_, Some(why)) => Err(vec![format!("`journalctl` failed: {why}")]),
        (Some(code), None) => Err(vec![format!("`journalctl` ended with {code}")]),
    }
}

/// Nobody reads any more.
fn end_with_standard_input(child: Arc<Mutex<Child>>) {
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
    });
}
