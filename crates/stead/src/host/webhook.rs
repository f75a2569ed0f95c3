//! A delivery of an app's webhook, as systemd starts this for each: heard, answered, and then the branch pulled and deployed.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use stead_agent::webhook::{Heard, InForce, hear, now};
use stead_model::webhook::PULLED;
use stead_remote::{GiveUp, Snapshot, quote};

use super::push;
use crate::problem::{Problem, because};
use crate::render::Terminal;

/// The edge sends at once what it has.
const SENDS: Duration = Duration::from_secs(30);
/// A pull ends after this, whatever a server does: timeout(1).
const LONGEST_PULL: &str = "600";
/// How long a deploy of somebody else's is waited for, and between two looks.
const PATIENCE: Duration = Duration::from_secs(3600);
const AGAIN: Duration = Duration::from_secs(1);

/// Hear it, answer it, and do what it asks.
pub(crate) fn webhook(apps: &Path, app: &str, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let act = || Problem::new(format!("cannot hear a delivery for `{app}`"));
    let in_force = InForce::of(apps, app).map_err(|why| act().cause(why))?;
    let input = io::stdin().as_fd().try_clone_to_owned();
    let mut stream = UnixStream::from(input.map_err(|error| act().cause(because(&error)))?);
    let _ = stream.set_read_timeout(Some(SENDS));
    let _ = stream.set_write_timeout(Some(SENDS));
    let (heard, said) = hear(&mut stream, &in_force, now());
    let _ = stream.shutdown(Shutdown::Both);
    drop(stream);
    terminal.err(&format!("a delivery was answered {said}\n"));
    match heard {
        Heard::Nothing => Ok(ExitCode::SUCCESS),
        Heard::Deploy => deploy(app, &in_force, terminal),
    }
}

/// One at a time, and one that waits: whatever comes meanwhile asks for what that one will do.
fn deploy(app: &str, in_force: &InForce, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let act = || Problem::new(format!("cannot deploy `{app}`"));
    let failed = |error: io::Error| act().cause(because(&error));
    let open = |name: &str| {
        File::options()
            .create(true)
            .append(true)
            .open(in_force.dir.join(name))
    };
    let waits = open("webhook.waits").map_err(failed)?;
    if flock(&waits, FlockOperation::NonBlockingLockExclusive).is_err() {
        terminal.err("another delivery waits already, and pulls what this one is about\n");
        return Ok(ExitCode::SUCCESS);
    }
    let runs = open("webhook.runs").map_err(failed)?;
    flock(&runs, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let status = push::wait_until_free(app, PATIENCE, AGAIN)?;
    // From here on a delivery may be about something newer than what is pulled.
    drop(waits);
    let webhook = &in_force.webhook;
    let commit = pull(in_force).map_err(|why| {
        act()
            .cause(format!(
                "`{}` of `{}` cannot be pulled",
                webhook.branch, webhook.repository
            ))
            .cause(why)
    })?;
    let serving = status.and_then(|status| status.release);
    if let Some(release) = serving.filter(|release| {
        release.origin.commit.as_deref() == Some(commit.as_str()) && !release.origin.dirty
    }) {
        let number = release.number;
        terminal.err(&format!(
            "nothing is done: release {number} is of {commit} already\n"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let directory = in_force.dir.join(PULLED);
    let snapshot = Snapshot::pushed(
        &directory,
        &commit,
        &webhook.branch,
        &webhook.directory,
        "webhook".to_owned(),
    )?;
    push::deploy(app, &snapshot, &GiveUp::default(), terminal)
}

/// Fetch the branch. The commit that it is at.
fn pull(in_force: &InForce) -> Result<String, String> {
    let (webhook, to) = (&in_force.webhook, in_force.dir.join(PULLED));
    let to = to.to_string_lossy().into_owned();
    git(in_force, &["init", "--quiet", "--bare", "--template=", &to])?;
    let branch = format!("+refs/heads/{0}:refs/heads/{0}", webhook.branch);
    let fetch = [
        "-C",
        &to,
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "gc.autoDetach=false",
        "fetch",
        "--quiet",
        "--depth=1",
        "--no-tags",
        "--no-recurse-submodules",
        "--",
        &webhook.repository,
        &branch,
    ];
    git(in_force, &fetch)?;
    let name = format!("refs/heads/{}^{{commit}}", webhook.branch);
    git(
        in_force,
        &["-C", &to, "rev-parse", "--verify", "--quiet", &name],
    )
}

/// git with no configuration of anybody's, which may speak https and ssh and asks nobody. What it printed, or why it failed.
fn git(in_force: &InForce, words: &[&str]) -> Result<String, String> {
    let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let known = format!(
        "UserKnownHostsFile={}",
        file(in_force.dir.join("webhook.known_hosts"))
    );
    let mut ssh = vec![
        "ssh",
        "-F",
        "/dev/null",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=accept-new",
        "-o",
        &known,
    ];
    let key = in_force
        .webhook
        .key
        .as_ref()
        .map(|name| file(in_force.secret(name)));
    if let Some(key) = &key {
        ssh.extend(["-o", "IdentitiesOnly=yes", "-i", key]);
    }
    let output = Command::new("timeout")
        .args(["--kill-after=5", LONGEST_PULL, "git"])
        .args(words)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "https:ssh")
        .env("GIT_SSH_COMMAND", quote::line(ssh))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `git`: {}", because(&error)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(
            match said.lines().map(str::trim).rfind(|line| !line.is_empty()) {
                Some(line) => format!("git says: {line}"),
                None => format!("git ended with {}", output.status),
            },
        ),
    }
}
