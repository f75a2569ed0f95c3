//! The old side of a replacement, until the new program is ready.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use stead_model::certificates::CertificateTable;
use stead_model::handover::{FromNew, FromOld, PROTOCOL, Pending};
use stead_model::routing::RoutingTable;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::wire::Wire;

/// The argument that tells a program to take over from its standard input.
pub const TAKE_OVER: &str = "--take-over";

/// A program that could serve. Unless it is [`Successor::keep`]t, it is killed.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) wire: Wire,
    pub(super) pid: u32,
    pub(super) version: String,
    child: Child,
}

impl Successor {
    /// It serves now, and lives on without this program.
    pub(super) fn keep(mut self) -> Wire {
        // Whoever waits for it keeps it from becoming a zombie for as long as this program drains.
        tokio::spawn(async move { self.child.wait().await });
        self.wire
    }

    /// End it.
    pub(super) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

/// What is to be started.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) binary: PathBuf,
    /// Of this program, so that the new one is set up alike.
    pub(super) arguments: Vec<OsString>,
    pub(super) version: String,
    pub(super) table: Option<RoutingTable>,
    pub(super) certificates: Option<CertificateTable>,
    /// It must be ready after this time.
    pub(super) within: Duration,
}

/// Start a program and wait until it could serve. An error, the causes of it outermost first: it has ended.
pub(super) async fn prepare(candidate: Candidate) -> Result<Successor, Vec<String>> {
    let within = candidate.within;
    let (mut child, mut wire) = begin(&candidate).map_err(|error| {
        vec![
            format!("cannot start `{}`", candidate.binary.display()),
            error.to_string(),
        ]
    })?;
    let ready = async {
        if !wire.send(&FromOld::Hello {
            protocol: PROTOCOL,
            version: candidate.version,
            table: candidate.table,
            certificates: candidate.certificates,
        }) {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // One that does not read to the end may have said why.
        let _ = wire.flush().await;
        wire.receive::<FromNew>().await
    };
    let ready = tokio::time::timeout(within, ready).await;
    let binary = candidate.binary.display();
    let why = match ready {
        Ok(Ok(FromNew::Ready {
            protocol: PROTOCOL,
            version,
            pid,
        })) if child.id() == Some(pid) => {
            return Ok(Successor {
                wire,
                pid,
                version,
                child,
            });
        }
        Ok(Ok(FromNew::Ready {
            protocol, version, ..
        })) => format!(
            "`{binary}` is stead {version}, which takes over in version {protocol}, not {PROTOCOL}"
        ),
        Ok(Ok(FromNew::Refused { why })) => why,
        Ok(Ok(_)) => format!("`{binary}` answered something else than asked"),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            // It closed its end; most likely it is ending.
            let ended = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
            match ended {
                Ok(Ok(status)) => format!("`{binary}` ended {} before it was ready", words(status)),
                _ => format!("`{binary}` does not know how to take over"),
            }
        }
        Ok(Err(error)) => format!("`{binary}` does not know how to take over: {error}"),
        Err(_) => format!("`{binary}` was not ready after {within:?}"),
    };
    let _ = child.kill().await;
    Err(vec![why])
}

fn begin(candidate: &Candidate) -> io::Result<(Child, Wire)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(&candidate.binary)
        .args(&candidate.arguments)
        .arg(TAKE_OVER)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_FDNAMES")
        .kill_on_drop(false)
        .spawn()?;
    let wire = Wire::new(UnixStream::from_std(ours)?, Pending::default(), false);
    Ok((child, wire))
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with exit status {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "without a status".to_owned(),
    }
}
