//! The role `agent`: answers what is asked over its socket. It is no part of any visitor's way.
//!
//! Only root and the agent's own user may ask; the kernel says who somebody is (`SO_PEERCRED`, unix(7)). A client that is silent or slow
//! is disconnected, and so many are heard at the same time.
//!
//! What is asked of apps goes to whoever keeps them, over a channel ([`Asked`]); what that says of it goes back to the client as it
//! comes.

mod client;

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use stead_model::agent::{Answer, LONGEST_QUESTION, PROTOCOL, Question, Status, Wish};
use stead_model::control;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::spawn::io_text;

pub use client::{Asked, Client};

/// A client that has not asked, or not read, for so long is disconnected.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients at the same time. Others wait to be accepted.
const MOST: usize = 32;

/// How the edge of this host is, or why it cannot be said. May wait.
pub type AskEdge = Arc<dyn Fn() -> Result<control::Status, Vec<String>> + Send + Sync>;

/// What the role needs from its caller.
pub struct Agent {
    /// Where it answers.
    pub socket: PathBuf,
    /// Of this program.
    pub version: String,
    /// The edge is another program.
    pub edge: AskEdge,
    /// Who keeps the apps. `None`: nobody does.
    pub apps: Option<UnboundedSender<Asked>>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Agent");
        shown.field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Why the agent does not run.
#[derive(Debug)]
pub struct Failure {
    /// The act and its object.
    pub act: String,
    /// Why.
    pub cause: String,
}

/// Answer until SIGTERM or SIGINT. Tells the service manager when it is ready, and that it is alive (sd_notify(3)).
///
/// Needs a tokio runtime with I/O, time and signals.
pub async fn serve(agent: Agent) -> Result<(), Failure> {
    let failed = |act: String| {
        move |error: io::Error| Failure {
            act,
            cause: io_text(&error),
        }
    };
    let listens = format!("cannot answer at `{}`", agent.socket.display());
    let listener = bind(&agent.socket).map_err(failed(listens))?;
    let signals = || "cannot listen to signals".to_owned();
    let mut terminate = signal(SignalKind::terminate()).map_err(failed(signals()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed(signals()))?;
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    // Twice as often as asked for, sd_watchdog_enabled(3); an hour is never when nobody asks.
    let beat = sd_notify::watchdog_enabled().map(|within| within / 2);
    let mut beats = tokio::time::interval(beat.unwrap_or(Duration::from_secs(3600)));
    let places = Arc::new(Semaphore::new(MOST));
    let agent = Arc::new(Heard {
        agent,
        began: Instant::now(),
    });
    loop {
        let place = Arc::clone(&places).acquire_owned();
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = beats.tick() => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            client = async { (place.await, listener.accept().await) } => {
                let (Ok(place), Ok((stream, _))) = client else {
                    // No descriptor is left, for the moment.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    let _place = place;
                    // Whoever goes away in the middle has no answer to get.
                    let _ = agent.hear(stream).await;
                });
            }
        }
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let _ = std::fs::remove_file(&agent.agent.socket);
    Ok(())
}

/// Listen at `path`, for its owner alone. A socket that a dead agent left there is taken away.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            let why = "another agent is running there";
            return Err(io::Error::new(ErrorKind::AddrInUse, why));
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(error),
        Err(_) => {}
    }
    // It gets its name when it has its mode: nobody can come in between.
    let mut draft = PathBuf::from(path).into_os_string();
    draft.push(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, path)?;
    Ok(listener)
}

/// What is needed to answer.
struct Heard {
    agent: Agent,
    began: Instant,
}

impl Heard {
    /// Answer line by line until the client has no more to ask.
    async fn hear(&self, stream: UnixStream) -> io::Result<()> {
        let own = rustix::process::geteuid().as_raw();
        let allowed = stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own);
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        loop {
            let mut line = Vec::new();
            let mut question = (&mut read).take(LONGEST_QUESTION as u64);
            let ended = timeout(PATIENCE, question.read_until(b'\n', &mut line));
            if ended.await?? == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            let question = match (allowed, whole) {
                (false, _) => Err("only root and the user of the agent may ask it".to_owned()),
                (true, false) => Err(format!(
                    "a question has {LONGEST_QUESTION} bytes at most, and ends with its line"
                )),
                (true, true) => understood(&line),
            };
            match question {
                Ok(Question {
                    wish: Wish::Status, ..
                }) => say(&mut write, &self.status().await).await?,
                Ok(question) => self.carry_out(question, &mut read, &mut write).await?,
                Err(why) => say(&mut write, &refused(why)).await?,
            }
            if !allowed || !whole {
                return Ok(());
            }
        }
    }

    /// Hand a wish to whoever keeps the apps, and what is said of it to the client.
    async fn carry_out(
        &self,
        question: Question,
        read: &mut BufReader<OwnedReadHalf>,
        write: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        let watched = question.wish.takes_long() && !question.detached;
        let (asked, mut answers) = client::asked(question.wish);
        let apps = self.agent.apps.as_ref();
        if apps.is_none_or(|apps| apps.send(asked).is_err()) {
            return say(write, &refused("this agent keeps no apps".to_owned())).await;
        }
        let mut gone = !watched;
        loop {
            tokio::select! {
                biased;
                answer = answers.next() => {
                    let Some(answer) = answer else {
                        let why = "the agent ended it without saying how";
                        return say(write, &refused(why.to_owned())).await;
                    };
                    say(write, &answer).await?;
                    if answer.is_last() {
                        return Ok(());
                    }
                }
                // What it asks next is read later; that it asks nothing more is known now.
                more = read.fill_buf(), if !gone => {
                    gone = true;
                    if more.is_ok_and(<[u8]>::is_empty) {
                        answers.give_up();
                    }
                }
            }
        }
    }

    async fn status(&self) -> Answer {
        let ask = Arc::clone(&self.agent.edge);
        let edge = tokio::task::spawn_blocking(move || ask()).await;
        Answer::Status(Box::new(Status {
            protocol: PROTOCOL,
            version: self.agent.version.clone(),
            pid: std::process::id(),
            running_seconds: self.began.elapsed().as_secs(),
            edge: edge.unwrap_or_else(|error| Err(vec![error.to_string()])),
        }))
    }
}

/// The question of a line, if it can be meant.
fn understood(line: &[u8]) -> Result<Question, String> {
    let question: Question =
        serde_json::from_slice(line).map_err(|error| format!("that is no question: {error}"))?;
    if question.protocol != PROTOCOL {
        return Err(format!(
            "the agent speaks version {PROTOCOL} of its protocol, not {}",
            question.protocol
        ));
    }
    question.wish.check()?;
    Ok(question)
}

async fn say(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

fn refused(why: String) -> Answer {
    Answer::Refused { causes: vec![why] }
}

#[cfg(test)]
mod tests;
