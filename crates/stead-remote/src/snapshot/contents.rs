//! Where the contents of a tree are, until they are sent.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Refused;
use super::ask_git::Repository;

/// Each content by its digest.
#[derive(Debug, Default)]
pub struct Contents {
    places: HashMap<String, Place>,
}

/// Where a content is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A file.
    File(PathBuf),
    /// An object of git.
    Object {
        /// Whose it is.
        repository: Arc<Repository>,
        /// Its name.
        id: String,
    },
}

impl Contents {
    pub(super) fn add(&mut self, digest: &str, place: Place) {
        self.places.entry(digest.to_owned()).or_insert(place);
    }

    /// Write these contents, one behind the other. Each is as long as it was, or that is an error: a file may have been changed since.
    ///
    /// # Errors
    /// One cannot be read, or `to` takes no more.
    pub fn write(
        &self,
        wanted: &[(&str, u64)],
        to: &mut dyn Write,
        sent: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let mut readers: HashMap<PathBuf, Objects> = HashMap::new();
        for (digest, size) in wanted {
            let changed = |what: &str| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{what} was changed while it was sent"),
                )
            };
            let place = self.places.get(*digest).ok_or(io::ErrorKind::NotFound)?;
            let mut hash = Sha256::new();
            let mut each = |piece: &[u8]| {
                hash.update(piece);
                sent(piece.len() as u64);
                to.write_all(piece)
            };
            let what = match place {
                Place::File(path) => {
                    let mut file = File::open(path)?.take(*size);
                    copy(&mut file, &mut each)?;
                    format!("`{}`", path.display())
                }
                Place::Object { repository, id } => {
                    let objects = match readers.entry(repository.dir.clone()) {
                        std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
                        std::collections::hash_map::Entry::Vacant(free) => {
                            free.insert(Objects::open(repository)?)
                        }
                    };
                    objects.read(id, &mut each)?;
                    format!("the object {id} of git")
                }
            };
            if hexadecimal(&hash.finalize()) != *digest {
                return Err(changed(&what));
            }
        }
        Ok(())
    }
}

fn copy(from: &mut dyn Read, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `git cat-file --batch`: objects by their names.
#[derive(Debug)]
pub(super) struct Objects {
    child: Child,
    asked: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Objects {
    pub(super) fn open(repository: &Repository) -> io::Result<Self> {
        let mut child = repository
            .command(&["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            asked: child.stdin.take(),
            said: BufReader::with_capacity(64 << 10, said),
            child,
        })
    }

    /// Read one, piece by piece. Its length.
    pub(super) fn read(
        &mut self,
        id: &str,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let asked = self.asked.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        asked.write_all(format!("{id}\n").as_bytes())?;
        asked.flush()?;
        let mut head = String::new();
        self.said.read_line(&mut head)?;
        // `<name> <kind> <size>`, or `<name> missing`.
        let size = head.trim_end().rsplit(' ').next();
        let size: u64 = size.and_then(|size| size.parse().ok()).ok_or_else(|| {
            io::Error::other(format!(
                "git has no object {id} (is this a partial or a damaged repository?)"
            ))
        })?;
        copy(&mut (&mut self.said).take(size), each)?;
        // A line end follows each.
        self.said.read_exact(&mut [0])?;
        Ok(size)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        drop(self.asked.take());
        let _ = self.child.wait();
    }
}

/// A file's digest and size.
pub(super) fn measure(path: &Path) -> Result<(String, u64), Refused> {
    let failed = |error: io::Error| Refused::io(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    copy(&mut file, &mut |piece| {
        hash.update(piece);
        size += piece.len() as u64;
        Ok(())
    })
    .map_err(failed)?;
    Ok((hexadecimal(&hash.finalize()), size))
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
