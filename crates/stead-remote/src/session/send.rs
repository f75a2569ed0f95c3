//! A tree is sent to a host: only what it does not have.

use std::io::{self, BufRead, BufReader, Read, Write};

use stead_model::tree::{PROTOCOL, Received, Sending};

use super::{Elevation, Session};
use crate::snapshot::Snapshot;
use crate::{Failure, GiveUp};

/// The longest line of a host's answer, bytes.
const LONGEST: u64 = 4 << 20;
/// zstd's own choice between speed and size.
const LEVEL: i32 = 3;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Contents that the host does not have.
    pub contents: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, bytes that were sent.
    pub sent: u64,
}

impl Session {
    /// Send a tree for `app`. Gives its digest, by which a deploy names it.
    ///
    /// # Errors
    /// The host keeps nothing of it: it refused, the connection broke, or somebody gave up.
    pub fn send(
        &self,
        app: &str,
        snapshot: &Snapshot,
        give_up: &GiveUp,
        show: &mut dyn FnMut(Sent),
    ) -> Result<String, Failure> {
        let act = || format!("cannot send the source to `{}`", self.target);
        let failed = |causes| Failure {
            act: act(),
            causes,
            hint: None,
        };
        let text = snapshot.tree.text();
        let sending = Sending {
            protocol: PROTOCOL,
            listing: text.len(),
        };
        let mut head =
            serde_json::to_vec(&sending).map_err(|error| failed(vec![error.to_string()]))?;
        head.push(b'\n');
        head.extend_from_slice(&text);
        let ended = match self.elevation {
            Elevation::SudoAsks => self.send_in_files(app, snapshot, &head, show),
            _ => self.send_by_pipe(app, snapshot, &head, give_up, show),
        };
        match ended.map_err(|why| failed(vec![why]))? {
            Received::Complete { tree } => Ok(tree),
            Received::Refused { causes } => Err(failed(causes)),
            Received::Missing { .. } if give_up.is_given_up() => {
                Err(failed(vec!["you gave up".to_owned()]))
            }
            Received::Missing { .. } => Err(failed(vec!["it was cut off".to_owned()])),
        }
    }

    fn send_by_pipe(
        &self,
        app: &str,
        snapshot: &Snapshot,
        head: &[u8],
        give_up: &GiveUp,
        show: &mut dyn FnMut(Sent),
    ) -> Result<Received, String> {
        let broken = |error: io::Error| format!("the connection failed: {error}");
        let words = ["api", "source", app];
        let mut child = self.talk(&words).map_err(broken)?;
        let mut last = None;
        let mut unreadable = None;
        if let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) {
            // Who does not read on has answered why.
            let _ = to.write_all(head).and_then(|()| to.flush());
            let mut from = BufReader::new(from);
            last = answer(&mut from);
            if let Some(Received::Missing { contents }) = &last {
                let written = write(snapshot, contents, &mut to, give_up, show);
                unreadable = written.err().filter(|error| !is_broken(error));
                drop(to);
                if unreadable.is_none() {
                    last = answer(&mut from).or(last);
                }
            }
        }
        let output = child.wait_with_output().map_err(broken)?;
        match (unreadable, last, crate::ssh::ended(&output)) {
            (Some(error), ..) => Err(error.to_string()),
            (None, Some(last), Ok(_)) => Ok(last),
            (None, Some(last @ Received::Refused { .. }), _) => Ok(last),
            (None, _, Err(why)) => Err(why),
            (None, None, Ok(_)) => Err("it did not answer".to_owned()),
        }
    }

    /// sudo asks for a password each time: the listing goes there first, and again with what is missing.
    fn send_in_files(
        &self,
        app: &str,
        snapshot: &Snapshot,
        head: &[u8],
        show: &mut dyn FnMut(Sent),
    ) -> Result<Received, String> {
        let words = ["api", "source", app];
        let said = self.as_root(&words, head)?;
        let mut said = BufReader::new(said.as_slice());
        let first = answer(&mut said).ok_or("it did not answer")?;
        let Received::Missing { contents } = &first else {
            return Ok(first);
        };
        if contents.is_empty() {
            return Ok(answer(&mut said).unwrap_or(first));
        }
        let mut whole = head.to_owned();
        let unwatched = GiveUp::default();
        write(snapshot, contents, &mut whole, &unwatched, show)
            .map_err(|error| error.to_string())?;
        let said = self.as_root(&words, &whole)?;
        let mut said = BufReader::new(said.as_slice());
        answer(&mut said);
        Ok(answer(&mut said).unwrap_or(first))
    }
}

/// The next line that is an answer.
fn answer(from: &mut impl BufRead) -> Option<Received> {
    loop {
        let mut line = Vec::new();
        let read = from.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if !read.is_ok_and(|count| count > 0) {
            return None;
        }
        if let Ok(received) = serde_json::from_slice(&line) {
            return Some(received);
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The contents that are missing, as one frame.
fn write(
    snapshot: &Snapshot,
    missing: &[usize],
    to: &mut impl Write,
    give_up: &GiveUp,
    show: &mut dyn FnMut(Sent),
) -> io::Result<()> {
    let contents = snapshot.tree.contents();
    let wanted: Vec<(&str, u64)> = missing
        .iter()
        .filter_map(|at| contents.get(*at).copied())
        .collect();
    let mut sent = Sent {
        contents: wanted.len(),
        bytes: wanted.iter().map(|(_, size)| size).sum(),
        sent: 0,
    };
    show(sent);
    if wanted.is_empty() {
        return Ok(());
    }
    let mut frame = zstd::Encoder::new(to, LEVEL)?;
    let mut watched = Watched {
        to: &mut frame,
        give_up,
    };
    snapshot
        .contents
        .write(&wanted, &mut watched, &mut |bytes| {
            sent.sent += bytes;
            show(sent);
        })?;
    frame.finish()?.flush()
}

/// Writes until somebody gives up.
struct Watched<'a, W> {
    to: &'a mut W,
    give_up: &'a GiveUp,
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.give_up.is_given_up() {
            true => Err(io::Error::other("you gave up")),
            false => self.to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
