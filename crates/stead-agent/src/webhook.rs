//! Deliveries of a webhook: who may ask that a branch is pulled and deployed.
//!
//! The agent makes a socket for an app whose release has a webhook (`apps/app/webhook.rs`), and the edge forwards what comes to its path there. systemd starts
//! `stead api webhook APP` for each connection, which [`hear`]s one delivery on it. So the app never sees a delivery, and neither does the agent.
//!
//! Nothing is done for a delivery that is not signed with the webhook's secret; without a secret, nothing is done at all.

mod request;
mod signature;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use stead_model::agent::is_app_name;
use stead_model::manifest::Webhook;
use stead_model::webhook::{Delivery, FILE, read};

use request::Request;

pub use signature::now;

/// Deliveries that are remembered: one that comes again is not done again.
const REMEMBERED: usize = 1000;
/// A shorter secret is none: it could be guessed.
const SHORTEST_SECRET: usize = 16;

/// An app's webhook, as it is in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The app's directory.
    pub dir: PathBuf,
    /// What its release says.
    pub webhook: Webhook,
}

impl InForce {
    /// Of an app. `apps_dir` is `/var/lib/stead/apps`.
    ///
    /// # Errors
    /// It has none, or it cannot be read: a sentence.
    pub fn of(apps_dir: &Path, app: &str) -> Result<Self, String> {
        if !is_app_name(app) {
            return Err("that is no name of an app".to_owned());
        }
        let dir = apps_dir.join(app);
        let file = dir.join(FILE);
        let text = fs::read(&file)
            .map_err(|error| format!("`{}`: {}", file.display(), crate::spawn::io_text(&error)))?;
        let webhook = serde_json::from_slice(&text)
            .map_err(|error| format!("`{}`: {error}", file.display()))?;
        Ok(Self { dir, webhook })
    }

    /// Where a secret of this name is.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(name)
    }
}

/// What is to be done for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The branch is to be pulled and deployed.
    Deploy,
    /// Nothing.
    Nothing,
}

/// Hear one delivery, and answer it. `now` is the time, seconds since 1970. The sentence is for the log.
pub fn hear(stream: &mut (impl Read + Write), in_force: &InForce, now: i64) -> (Heard, String) {
    let (status, text, heard) = judge(stream, in_force, now);
    let reason = match status {
        202 => "Accepted",
        200 => "OK",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    // Who has gone away was heard all the same.
    let _ = stream
        .write_all(answer.as_bytes())
        .and_then(|()| stream.flush());
    (heard, format!("{status}: {text}"))
}

fn judge(stream: &mut impl Read, in_force: &InForce, now: i64) -> (u16, String, Heard) {
    let no = |status: u16, text: &str| (status, text.to_owned(), Heard::Nothing);
    let request = match Request::read(stream) {
        Ok(request) => request,
        Err((status, why)) => return no(status, why),
    };
    if request.path() != in_force.webhook.path {
        return no(404, "there is nothing here");
    }
    if request.method != "POST" {
        return no(405, "deliveries are sent by POST");
    }
    // Whatever is wrong with the secret, nobody is told more than that.
    let refused = || no(401, "the delivery is not signed as it should be");
    let Some(secret) = secret(&in_force.secret(&in_force.webhook.secret)) else {
        return refused();
    };
    let Some(signed) = signature::verify(&request, &secret, now) else {
        return refused();
    };
    let kind = request.header("content-type").unwrap_or_default();
    if !kind.starts_with("application/json") {
        return no(
            415,
            "deliveries are JSON: application/json is the content type to choose",
        );
    }
    match read(&signed.event, &request.body, &in_force.webhook.branch) {
        Err(why) => (400, why, Heard::Nothing),
        Ok(Delivery::Other(why)) => (200, format!("nothing is done: {why}"), Heard::Nothing),
        Ok(Delivery::Push) => match remember(&in_force.dir, &signed.id) {
            Ok(true) => (
                202,
                format!("`{}` is pulled and deployed", in_force.webhook.branch),
                Heard::Deploy,
            ),
            Ok(false) => no(200, "nothing is done: this delivery came before"),
            // What cannot be remembered could come again and again.
            Err(_) => no(503, "the host cannot remember the delivery"),
        },
    }
}

/// `None`: there is none that could protect anything.
fn secret(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let secret = text.trim_end_matches(['\r', '\n']);
    (secret.len() >= SHORTEST_SECRET).then(|| secret.to_owned())
}

/// Whether a delivery is new. It is remembered then, and the oldest one forgotten.
fn remember(dir: &Path, id: &str) -> std::io::Result<bool> {
    let path = dir.join("webhook.seen");
    let lock = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join("webhook.lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut seen: Vec<&str> = text.lines().collect();
    if seen.contains(&id) {
        return Ok(false);
    }
    seen.push(id);
    let first = seen.len().saturating_sub(REMEMBERED);
    let mut new = tempfile::Builder::new()
        .prefix(".webhook-")
        .tempfile_in(dir)?;
    for id in &seen[first..] {
        writeln!(new, "{id}")?;
    }
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
