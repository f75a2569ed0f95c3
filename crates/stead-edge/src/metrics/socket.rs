//! Where metrics are asked for: HTTP over a unix socket, on a thread of its own, so that no visitor waits for
//! whoever asks.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::text::{CONTENT_TYPE, Snapshot, Sum};
use crate::Shared;

/// Longest head of a request, bytes.
const HEAD_LIMIT: usize = 8 * 1024;
/// For a request and its answer together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a unix socket, bytes, without the NUL at its end.
const LONGEST_ADDRESS: usize = 107;
/// Connections at a time; more wait.
const AT_ONCE: usize = 8;

/// The socket, removed when dropped unless another has taken its name.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    inode: u64,
    thread: Option<JoinHandle<()>>,
}

impl Socket {
    /// Answer at `path` until the edge stops. A socket that is there already is replaced.
    pub(crate) fn start(shared: &Arc<Shared>, path: &Path) -> io::Result<Self> {
        // Made aside and renamed: at no moment is there none, and whoever cannot connect is not told so
        // because of an edge that ended.
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = bind(&aside)?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&aside, path)?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("stead-metrics".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(&shared, listener) => {}
                        () = shared.stopped() => {}
                    }
                });
                runtime.shutdown_background();
            })?;
        Ok(Self {
            path: path.to_owned(),
            inode,
            thread: Some(thread),
        })
    }
}

impl Drop for Socket {
    /// The edge must have been told to stop.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// However deep the path is: the 107 bytes of a socket's address (unix(7)) are enough for a way that begins at
/// an open directory.
fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return UnixListener::bind(path);
    };
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return UnixListener::bind(path);
    }
    let folder = std::fs::File::open(folder)?;
    let through = format!("/proc/self/fd/{}", folder.as_raw_fd());
    UnixListener::bind(Path::new(&through).join(name))
}

async fn accept(shared: &Arc<Shared>, listener: std::os::unix::net::UnixListener) {
    let Ok(listener) = UnixListener::from_std(listener) else {
        return;
    };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    // Whoever asks and leaves is not told.
                    let _ = tokio::time::timeout(PATIENCE, answer(&shared, stream)).await;
                    drop(place);
                });
            }
            // No descriptors left, most likely; those who are served free some.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn answer(shared: &Shared, mut stream: UnixStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(&head);
    let path = request.path.map(|path| path.split('?').next());
    let (status, content_type, body) = match (parsed, request.method, path.flatten()) {
        (Err(_), ..) => ("400 Bad Request", "text/plain", String::new()),
        (Ok(_), Some("GET"), Some("/metrics")) => match snapshot(shared).write() {
            Ok(text) => ("200 OK", CONTENT_TYPE, text),
            Err(_) => ("500 Internal Server Error", "text/plain", String::new()),
        },
        (Ok(_), Some("GET"), _) => (
            "404 Not Found",
            "text/plain",
            "the metrics are at /metrics\n".to_owned(),
        ),
        _ => ("405 Method Not Allowed", "text/plain", String::new()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn snapshot(shared: &Shared) -> Snapshot {
    let metrics = &shared.metrics;
    let log = shared.log.lock().map_or(None, |handle| handle.clone());
    Snapshot {
        connections: shared.connections.load(Ordering::Relaxed) as u64,
        accepted: metrics.accepted.load(Ordering::Relaxed),
        accept_pauses: metrics.accept_pauses.load(Ordering::Relaxed),
        handshakes: shared.metrics.handshakes.now(),
        certificates: shared.certificates.ends(),
        crowded: metrics.crowded.load(Ordering::Relaxed),
        unintroduced: metrics.unintroduced.load(Ordering::Relaxed),
        limited: metrics.all_limited(),
        dropped_lines: log.map_or(0, |handle| handle.dropped_ever()),
        spooled: shared.spool.as_ref().map_or(0, |spool| spool.used()),
        own: Sum::from(&metrics.own),
        series: metrics
            .lock()
            .values()
            .filter(|series| series.is_shown())
            .map(|series| Sum::from(&**series))
            .collect(),
        upstreams: shared
            .tables
            .upstreams()
            .iter()
            .map(|upstream| upstream.situation())
            .collect(),
    }
}
