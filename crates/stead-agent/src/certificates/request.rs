//! What `stead cert` asks of the program that keeps the certificates, over a unix socket beside them: one line of JSON, and
//! one back. Who may connect is who may enter the directory.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stead_model::certificates::Renewal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

const SOCKET: &str = "keeper.sock";
/// The longest request, bytes.
const LONGEST: usize = 256 * 1024;
/// For a request to come in.
const PATIENCE: Duration = Duration::from_secs(5);
/// For its answer: an authority may take minutes for each way in which it checks a host.
const ANSWER: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Certificates for these hosts anew, or for all.
    Renew(Vec<String>),
    /// Something was imported.
    Look,
}

/// Why nothing could be asked.
#[derive(Debug)]
pub enum Unasked {
    /// No program keeps the certificates of this state directory.
    NotRunning,
    /// It did not answer.
    Failed(io::Error),
}

/// Have certificates renewed, those for `hosts` or all, and wait for it. The program that keeps them does it.
pub fn renew(state: &Path, hosts: &[String]) -> Result<Vec<Renewal>, Unasked> {
    ask(state, &Request::Renew(hosts.to_vec()))
}

/// Tell the program that keeps the certificates, if there is one, that something is new.
pub(super) fn look(state: &Path) {
    let _ = ask(state, &Request::Look);
}

fn ask(state: &Path, request: &Request) -> Result<Vec<Renewal>, Unasked> {
    let mut stream = match reach(&state.join("certificates"), |path| {
        UnixStream::connect(path)
    }) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(Unasked::NotRunning);
        }
        Err(error) => return Err(Unasked::Failed(error)),
    };
    let mut talk = || {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(io::Error::other("it ended before it had answered"));
        }
        Ok(serde_json::from_str(&answer)?)
    };
    talk().map_err(Unasked::Failed)
}

/// However deep the directory is: the 107 bytes of a socket's address (unix(7)) are enough for a way that begins at
/// an open directory.
fn reach<T>(directory: &Path, open: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let directory = std::fs::File::open(directory)?;
    let through = format!("/proc/self/fd/{}", directory.as_raw_fd());
    open(&PathBuf::from(through).join(SOCKET))
}

/// Where requests come in.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
}

/// A request that was not answered yet.
#[derive(Debug)]
pub(super) struct Asking {
    request: Request,
    stream: tokio::net::UnixStream,
}

impl Listener {
    /// One program keeps the certificates of a directory: whose socket is there has ended.
    pub(super) fn bind(directory: &Path) -> io::Result<Self> {
        match std::fs::remove_file(directory.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = reach(directory, |path| {
            std::os::unix::net::UnixListener::bind(path)
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
        })
    }

    /// The next request that makes sense.
    pub(super) async fn next(&self) -> Asking {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Ok(Ok(asking)) = tokio::time::timeout(PATIENCE, read(stream)).await {
                        return asking;
                    }
                }
                // No descriptors are left.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

async fn read(mut stream: tokio::net::UnixStream) -> io::Result<Asking> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if line.len() > LONGEST || stream.read_buf(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let request = serde_json::from_slice(&line)?;
    Ok(Asking { request, stream })
}

impl Asking {
    /// Those of the wanted hosts that are meant.
    pub(super) fn hosts(&self, wanted: &[String]) -> Vec<String> {
        match &self.request {
            Request::Look => Vec::new(),
            Request::Renew(hosts) if hosts.is_empty() => wanted.to_vec(),
            Request::Renew(hosts) => hosts
                .iter()
                .filter(|host| wanted.contains(host))
                .cloned()
                .collect(),
        }
    }

    /// Nothing is to come anew.
    pub(super) fn is_look(&self) -> bool {
        matches!(self.request, Request::Look)
    }

    /// All that are meant, wanted or not.
    pub(super) fn all(&self, wanted: &[String]) -> Vec<String> {
        match &self.request {
            Request::Look => Vec::new(),
            Request::Renew(hosts) if hosts.is_empty() => wanted.to_vec(),
            Request::Renew(hosts) => hosts.clone(),
        }
    }

    /// Tell what came of it.
    pub(super) fn answer(self, renewals: Vec<Renewal>) {
        let Ok(mut line) = serde_json::to_vec(&renewals) else {
            return;
        };
        line.push(b'\n');
        let mut stream = self.stream;
        // Whoever asked and left is not told.
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&line)).await;
        });
    }
}
