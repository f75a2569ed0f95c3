//! Where instances listen: unix sockets that the agent opens and keeps, and free loopback ports.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The longest path of a unix socket: `sun_path` holds 108 bytes with its NUL.
const LONGEST: usize = 107;
/// How the name of a short directory begins.
const SHORT: &str = "stead-";
/// Connections that may wait while an instance imports or restarts.
const BACKLOG: i32 = 1024;

/// The directory of sockets. It is removed with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// `<state>/run`, when it only says where the directory is.
    link: Option<PathBuf>,
}

impl RunDir {
    /// `<state>/run`, emptied; or, when paths in there would be too long for a socket, a short
    /// directory of mode 0700 below `$XDG_RUNTIME_DIR` or `/tmp`.
    pub(crate) fn create(state: &Path) -> io::Result<Self> {
        let path = state.join("run");
        // What an earlier run left there is nobody's: we hold the lock.
        if let Ok(elsewhere) = fs::read_link(&path) {
            if is_ours(&elsewhere) {
                let _ = fs::remove_dir_all(elsewhere);
            }
            fs::remove_file(&path)?;
        }
        let _ = fs::remove_dir_all(&path);
        if path.as_os_str().len() + 1 + "4294967295.a-process-name.1000.sock".len() <= LONGEST {
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&path)?;
            return Ok(Self { path, link: None });
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let parent = runtime
            .filter(|dir| dir.is_absolute() && dir.is_dir() && dir.as_os_str().len() < 60)
            .unwrap_or_else(|| "/tmp".into());
        let dir = tempfile::Builder::new()
            .prefix(SHORT)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let short = dir.keep();
        std::os::unix::fs::symlink(&short, &path)?;
        Ok(Self {
            path: short,
            link: Some(path),
        })
    }

    /// A path for an instance's socket: a readable one, unless that is too long for a socket or is taken.
    pub(crate) fn socket(&self, number: u64, process: &str, slot: u32) -> PathBuf {
        let path = self.path.join(format!("{number}.{process}.{slot}.sock"));
        if path.as_os_str().len() <= LONGEST && !path.exists() {
            return path;
        }
        (1u64..)
            .map(|n| self.path.join(format!("{n}.sock")))
            .find(|path| !path.exists())
            .unwrap_or(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        if let Some(link) = &self.link {
            let _ = fs::remove_file(link);
        }
    }
}

/// A short directory that a run has made.
fn is_ours(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(SHORT))
}

/// A listening unix socket. The agent's copy stays open while an instance is restarted, so that
/// connections made meanwhile wait; dropping it unlinks the path.
#[derive(Clone, Debug)]
pub(crate) struct Listener(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    fd: Arc<OwnedFd>,
}

impl Listener {
    /// Bind and listen.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&fd, BACKLOG)?;
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            fd: Arc::new(fd),
        })))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// To be passed down.
    pub(crate) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.0.fd)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A loopback port that nobody listens on, below the range that the kernel gives to outgoing connections.
/// `taken` are those given to instances that may not have bound theirs yet.
pub(crate) fn free_port(taken: &HashSet<u16>) -> io::Result<u16> {
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 12_000;
    let start = (random_u64()? % u64::from(SPAN)) as u16;
    for i in 0..SPAN {
        let port = FIRST + (start + i) % SPAN;
        if !taken.contains(&port)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        {
            return Ok(port);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "no port between 20000 and 32000 is free",
    ))
}

/// From the kernel.
pub(crate) fn random_u64() -> io::Result<u64> {
    random::<8>().map(u64::from_le_bytes)
}

/// From the kernel.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    use io::Read;
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
