//! A tree is written out.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use sha2::{Digest, Sha256};
use stead_model::tree::{Entry, Kind};

use super::{SourceError, hexadecimal, object, tree};

/// Write the tree `digest` of the app in `app_dir` to `to_dir`, which must not exist: directories 0755, files 0644 or 0755, owned by
/// who calls. It appears there whole and durable, or not at all.
///
/// # Errors
/// The tree or a content is not there or is not what it was, or the disk does not take it.
pub fn materialize(app_dir: &Path, digest: &str, to_dir: &Path) -> Result<(), SourceError> {
    let tree = tree(app_dir, digest)?;
    let failed = |error: io::Error| SourceError::io(to_dir, &error);
    if fs::symlink_metadata(to_dir).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let aside = aside(to_dir)?;
    // What a process that is gone had begun.
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let parent = aside.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
        .map_err(failed)?;
    let written = write_all(app_dir, tree.entries(), &aside).and_then(|()| {
        let dir = File::open(&aside).map_err(failed)?;
        rustix::fs::syncfs(&dir).map_err(|error| failed(error.into()))?;
        fs::rename(&aside, to_dir).map_err(failed)?;
        super::receive::sync_dir(parent).map_err(failed)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    written
}

fn aside(to_dir: &Path) -> Result<PathBuf, SourceError> {
    let name = to_dir.file_name().ok_or_else(|| {
        SourceError::new(format!("`{}` is no place for a tree", to_dir.display()))
    })?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(".new");
    Ok(to_dir.with_file_name(draft))
}

/// A listing has nothing below a file or a link, so no path that is made here leads through a link.
fn write_all(app_dir: &Path, entries: &[Entry], to: &Path) -> Result<(), SourceError> {
    make_dir(to).map_err(|error| SourceError::io(to, &error))?;
    let mut last = PathBuf::new();
    for entry in entries {
        let path = to.join(std::ffi::OsStr::from_bytes(&entry.path));
        let failed = |error: io::Error| SourceError::io(&path, &error);
        let dir = path.parent().unwrap_or(to);
        if dir != last {
            make_dirs(to, dir).map_err(failed)?;
            last = dir.to_owned();
        }
        match &entry.kind {
            Kind::Link { target } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &path)
                    .map_err(failed)?;
            }
            Kind::File {
                digest, executable, ..
            } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                copy(&object(app_dir, digest), digest, &path, mode)?;
            }
        }
    }
    Ok(())
}

fn make_dirs(top: &Path, dir: &Path) -> io::Result<()> {
    let Ok(inside) = dir.strip_prefix(top) else {
        return Ok(());
    };
    let mut path = top.to_owned();
    for part in inside {
        path.push(part);
        match make_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whatever mask the process has.
fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Copy a content while it is held against its SHA-256: a disk may have lost what it said it kept.
fn copy(from: &Path, digest: &str, to: &Path, mode: u32) -> Result<(), SourceError> {
    let failed = |error: io::Error| SourceError::io(to, &error);
    let mut source = File::open(from).map_err(|error| SourceError::io(from, &error))?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)
        .map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = source
            .read(&mut buffer)
            .map_err(|error| SourceError::io(from, &error))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(failed)?;
    }
    if hexadecimal(&hash.finalize()) != digest {
        // The next time that it is needed, it is sent anew.
        let _ = fs::remove_file(from);
        return Err(SourceError {
            causes: vec![
                "a content that the host kept was damaged".to_owned(),
                format!(
                    "`{}` is removed, and is sent again by the next deploy",
                    from.display()
                ),
            ],
        });
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed)
}

/// Give everything in `dir` to a user: the one that builds there.
///
/// # Errors
/// The first that could not be given.
pub fn hand_over(dir: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
    each(dir, &|at, name, _| {
        rustix::fs::chownat(
            at,
            name,
            Some(owner.0),
            Some(owner.1),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(Into::into)
    })?;
    rustix::fs::chown(dir, Some(owner.0), Some(owner.1)).map_err(Into::into)
}

/// Take back what [`hand_over`] gave, when nothing of that user runs any more: everything becomes the caller's (root's), nobody else may
/// write, no file is set-user-ID, and what is neither file, directory nor link is removed. Links are not followed.
///
/// # Errors
/// The first that could not be taken.
pub fn seal(dir: &Path) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // First the top: nobody gets in who is not in yet.
    rustix::fs::chown(dir, Some(uid), Some(gid))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    each(dir, &|at, name, found| {
        rustix::fs::chownat(at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(found.st_mode);
        let mode = match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => return Ok(()),
            FileType::Directory => Mode::from_raw_mode(0o755),
            FileType::RegularFile if mode.contains(Mode::XUSR) => Mode::from_raw_mode(0o755),
            FileType::RegularFile => Mode::from_raw_mode(0o644),
            _ => return rustix::fs::unlinkat(at, name, AtFlags::empty()).map_err(Into::into),
        };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(at, name, flags, Mode::empty())?;
        rustix::fs::fchmod(file, mode).map_err(Into::into)
    })
}

type Act<'a> =
    &'a dyn Fn(rustix::fd::BorrowedFd<'_>, &std::ffi::CStr, &rustix::fs::Stat) -> io::Result<()>;

/// Do it to everything below a directory; to a directory before what is in it. No link is followed.
fn each(dir: &Path, act: Act<'_>) -> io::Result<()> {
    each_in(&rustix::fs::open(dir, INTO, Mode::empty())?, act)
}

/// How a directory is opened.
const INTO: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// One descriptor is open for each directory above: a tree too deep for that is an error.
fn each_in(dir: &rustix::fd::OwnedFd, act: Act<'_>) -> io::Result<()> {
    use std::os::fd::AsFd;
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        act(dir.as_fd(), name, &found)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            each_in(&rustix::fs::openat(dir, name, INTO, Mode::empty())?, act)?;
        }
    }
    Ok(())
}
