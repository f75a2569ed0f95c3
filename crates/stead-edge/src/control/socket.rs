//! The control socket: who may speak there, and what a client says first.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stead_model::control::{Answer, Hello, PROTOCOL, Wish};
use stead_model::handover::Pending;
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::wire::Wire;

/// A client that has not said what it wants after this time is disconnected.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients that have not said what they want yet. Others wait to be accepted.
const MOST: usize = 32;

/// Someone who may ask, and what for.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) wire: Wire,
    pub(super) wish: Wish,
}

/// Listen at `path`, for its owner alone. A socket that a dead edge left there is taken away.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another edge is running there",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        Err(_) => {}
    }
    // It gets its name when it has its mode: nobody can come in between.
    let mut draft = PathBuf::from(path).into_os_string();
    draft.push(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft)?;
    let named = std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&draft, path));
    if let Err(error) = named {
        let _ = std::fs::remove_file(&draft);
        return Err(error);
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Places for those who come.
#[derive(Clone, Debug)]
pub(super) struct Porch(Arc<Semaphore>);

impl Porch {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }

    /// Accept a client when there is a place.
    pub(super) async fn accept(
        &self,
        listener: &tokio::net::UnixListener,
    ) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.0).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, place))
    }
}

/// Hear what a client wants, and pass it on if it may ask.
pub(super) async fn greet(
    stream: UnixStream,
    clients: UnboundedSender<Client>,
    _place: OwnedSemaphorePermit,
) {
    let allowed = may_ask(&stream);
    let mut wire = Wire::new(stream, Pending::default(), false);
    let heard = tokio::time::timeout(PATIENCE, wire.receive::<Hello>()).await;
    let why = match heard {
        Err(_) => return,
        Ok(_) if !allowed => "only the user of the edge and root may ask it".to_owned(),
        Ok(Ok(hello)) if hello.protocol == PROTOCOL => {
            let wish = hello.wish;
            let _ = clients.send(Client { wire, wish });
            return;
        }
        Ok(Ok(hello)) => format!(
            "the edge speaks version {PROTOCOL} of the control protocol, not {}",
            hello.protocol
        ),
        Ok(Err(error)) => format!("that is no question: {error}"),
    };
    answer(wire, &Answer::Refused { causes: vec![why] }).await;
}

/// Say one thing, and let the client read it for a while.
pub(super) async fn answer(mut wire: Wire, answer: &Answer) {
    if wire.send(answer) {
        let _ = tokio::time::timeout(PATIENCE, wire.flush()).await;
    }
}

fn may_ask(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}
