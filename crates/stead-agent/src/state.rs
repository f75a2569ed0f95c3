//! The state directory: `.stead/`. One run at a time owns it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stead_model::release::Release;

use crate::environment;
use crate::listener;
use crate::processes::Belonging;
use crate::spawn::io_text;

/// Why something did not work: causes, outermost first, and at most one hint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Failure {
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(act: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            causes: vec![act.into(), cause.into()],
            hint: None,
        }
    }

    fn io(act: String, error: &io::Error) -> Self {
        Self::new(act, io_text(error))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The directory, locked for this run.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    /// Names this run.
    pub(crate) run: String,
    /// Holds the lock; the kernel lets go of it when this process ends, however that comes about.
    lock: fs::File,
}

impl State {
    /// Create and lock it, and end what an earlier run may have left running.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        let act = || format!("cannot use `{}`", dir.display());
        let create = |path: &Path| {
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(path)
                .map_err(|error| Failure::io(act(), &error))
        };
        create(dir)?;
        let dir = fs::canonicalize(dir).map_err(|error| Failure::io(act(), &error))?;
        let ignore = dir.join(".gitignore");
        if !ignore.exists() {
            let _ = fs::write(ignore, "*\n");
        }
        let mut lock = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|error| Failure::io(act(), &error))?;
        let mut earlier = String::new();
        let _ = Read::by_ref(&mut lock)
            .take(256)
            .read_to_string(&mut earlier);
        let (pid, run) = earlier
            .trim()
            .split_once(' ')
            .unwrap_or((earlier.trim(), ""));
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Failure::new(
                    act(),
                    format!("another `stead up` uses it: process {pid}"),
                )
                .hint(format!("kill {pid}")));
            }
            Err(error) => return Err(Failure::io(act(), &error.into())),
        }
        if !run.is_empty() {
            // Its keeper did this already, unless it was killed too.
            let belonging = Belonging {
                marker: format!("{}={run}", environment::RUN),
                ..Belonging::default()
            };
            belonging.end(Duration::from_secs(5));
        }
        for part in ["logs", "volumes", "secrets"] {
            create(&dir.join(part))?;
        }
        let random = listener::random::<16>().map_err(|error| Failure::io(act(), &error))?;
        let mut state = Self {
            dir,
            run: base64url(&random),
            lock,
        };
        state
            .sign(&format!("{} {}\n", std::process::id(), state.run))
            .map_err(|error| Failure::io(act(), &error))?;
        Ok(state)
    }

    fn sign(&mut self, text: &str) -> io::Result<()> {
        use std::io::Seek;
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(text.as_bytes())
    }

    /// Nothing of this run is left.
    pub(crate) fn close(mut self) {
        let _ = self.sign("");
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The values of a release's secrets: from `<state>/secrets/NAME`, else from Stead's own environment, else
    /// made, where the release says so.
    pub(crate) fn secrets(
        &self,
        release: &Release,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<BTreeMap<String, OsString>, Failure> {
        let mut values = BTreeMap::new();
        for (name, generate) in &release.secrets {
            let file = self.dir.join("secrets").join(name);
            let act = || format!("cannot read the secret `{name}`");
            if name.is_empty() || name.contains(['/', '\0', '=']) || name.starts_with('.') {
                return Err(Failure::new(
                    act(),
                    "this is not a name of an environment variable",
                ));
            }
            let stored = match fs::read(&file) {
                Ok(bytes) => Some(OsString::from_vec(without_line_end(bytes))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(Failure::io(act(), &error)),
            };
            let value = match stored.or_else(|| environment(name)) {
                Some(value) => value,
                None if *generate => generate_secret(&file).map_err(|error| {
                    Failure::io(format!("cannot make the secret `{name}`"), &error)
                })?,
                None => {
                    return Err(Failure::new(
                        format!("the secret `{name}` has no value"),
                        format!("neither `{}` nor the environment has one", file.display()),
                    )
                    .hint(format!("export {name}=…")));
                }
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }

    /// Link volumes into the code. Returns sentences for a person.
    ///
    /// Nothing is ever moved, copied or deleted: in `stead up` the code is the developer's own checkout. What is at the path
    /// already stays in use, be it data or a link of theirs; only where nothing is, a link to
    /// `<state>/volumes/NAME` is made. An empty directory is used as it is, too.
    pub(crate) fn link_volumes(&self, release: &Release) -> Result<Vec<String>, Failure> {
        let mut notes = Vec::new();
        for (name, path) in &release.volumes {
            let volume = self.dir.join("volumes").join(name);
            let act = || format!("cannot link the volume `{name}` to `{path}`");
            let relative = Path::new(path);
            let inside = relative.components().all(|part| {
                matches!(
                    part,
                    std::path::Component::Normal(_) | std::path::Component::CurDir
                )
            });
            if !inside || path.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(Failure::new(act(), "it is not a path inside of the code"));
            }
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&volume)
                .map_err(|error| Failure::io(act(), &error))?;
            let link = release.code.join(relative);
            match fs::symlink_metadata(&link) {
                Ok(found) if found.is_symlink() => {
                    let ours = fs::canonicalize(&link).ok() == fs::canonicalize(&volume).ok();
                    if !ours && !link.exists() {
                        return Err(Failure::new(
                            act(),
                            format!("`{path}` is a link to something that does not exist"),
                        )
                        .hint(format!("rm '{}'", link.display())));
                    }
                    if !ours {
                        notes.push(format!("`{path}` is a link of yours and is used as it is"));
                    }
                }
                Ok(_) => notes.push(format!(
                    "`{path}` is in your working tree already and is used in place, not linked to the volume"
                )),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if let Some(parent) = link.parent() {
                        fs::create_dir_all(parent).map_err(|error| Failure::io(act(), &error))?;
                    }
                    std::os::unix::fs::symlink(&volume, &link)
                        .map_err(|error| Failure::io(act(), &error))?;
                    notes.push(format!("`{path}` is now a link to `{}`", volume.display()));
                }
                Err(error) => return Err(Failure::io(act(), &error)),
            }
        }
        Ok(notes)
    }
}

/// Somebody made the file with an editor or `echo`.
pub(crate) fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// 32 random bytes, written whole or not at all.
pub(crate) fn generate_secret(file: &Path) -> io::Result<OsString> {
    let value = base64url(&listener::random::<32>()?);
    let dir = file.parent().unwrap_or(Path::new("/"));
    // Created with mode 0600.
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(value.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(value.into())
}

/// RFC 4648 section 5, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            let digit = (word >> (18 - 6 * i)) & 63;
            text.push(char::from(DIGITS[digit as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests;
