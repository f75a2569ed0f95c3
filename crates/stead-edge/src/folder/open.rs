//! Opening a file below a root, and never one outside.
//!
//! The kernel resolves the path with `openat2(RESOLVE_BENEATH)` in one call. Where that is missing
//! (Linux before 5.6, some container sandboxes) and for absolute symbolic links that lead back into the
//! root, which it refuses, the same is done component by component, each opened with `O_NOFOLLOW`
//! relative to the one before: renaming things meanwhile cannot lead it outside.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows.
const MOST_LINKS: usize = 40;

/// How often a resolution is begun again that raced with a rename.
const MOST_RACES: usize = 4;

/// Never blocks on a pipe, never takes a terminal.
const READING: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Open a root folder as a starting point. Links on the way to it are followed: they are the
/// operator's own.
pub(super) fn root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens files; remembers what the kernel can do.
#[derive(Debug, Default)]
pub(super) struct Opener {
    /// Set at the first refusal, or by a test.
    pub(super) openat2_missing: bool,
}

impl Opener {
    /// Open what `path` (relative, without a slash at its end) names below `root`. What comes back may
    /// also be a folder or a device: look before reading. `root_path` is where `root` was opened.
    pub(super) fn open(
        &mut self,
        root: &OwnedFd,
        root_path: &Path,
        path: &[u8],
    ) -> io::Result<File> {
        if !self.openat2_missing {
            match beneath(root, path) {
                Ok(file) => return Ok(file.into()),
                Err(Errno::NOSYS) => self.openat2_missing = true,
                // A sandbox's way to say no; an escape, or an absolute link that may lead back inside; a
                // resolution that raced with renames all the time.
                Err(Errno::PERM | Errno::XDEV | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(walk(root.as_fd(), root_path, path)?.into())
    }
}

fn beneath(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..MOST_RACES {
        match openat2(root, path, READING, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The same without `openat2`: the stack holds the folders between the root and the place reached.
fn walk(root: BorrowedFd<'_>, root_path: &Path, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut stack: Vec<OwnedFd> = Vec::new();
    let mut pending: Vec<Vec<u8>> = components(path);
    let mut links = 0;
    while let Some(name) = pending.pop() {
        let folder = stack.last().map_or(root, AsFd::as_fd);
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                stack.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = openat(folder, name.as_slice(), flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&place)?.st_mode) {
            FileType::Directory => stack.push(place),
            FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&place, c"", Vec::new())?.into_bytes();
                if target.first() == Some(&b'/') {
                    pending.extend(components(inside(root_path, &target).ok_or(Errno::XDEV)?));
                    stack.clear();
                } else {
                    pending.extend(components(&target));
                }
            }
            _ if pending.is_empty() => {
                return openat(
                    folder,
                    name.as_slice(),
                    READING | OFlags::NOFOLLOW,
                    Mode::empty(),
                );
            }
            _ => return Err(Errno::NOTDIR),
        }
    }
    let folder = stack.last().map_or(root, AsFd::as_fd);
    openat(folder, c".", READING | OFlags::DIRECTORY, Mode::empty())
}

/// Last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

/// What an absolute link's target is relative to the root, if it leads there by name.
fn inside<'t>(root_path: &Path, target: &'t [u8]) -> Option<&'t [u8]> {
    use std::os::unix::ffi::OsStrExt;
    let below = |root: &Path| {
        let root = root.as_os_str().as_bytes();
        let rest = target.strip_prefix(root.strip_suffix(b"/").unwrap_or(root))?;
        rest.strip_prefix(b"/").or(rest.is_empty().then_some(rest))
    };
    below(root_path).or_else(|| below(&root_path.canonicalize().ok()?))
}
