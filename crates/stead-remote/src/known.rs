//! The hosts that were added, in a file of the user's: `$XDG_CONFIG_HOME/stead/hosts.toml`, else `~/.config/stead/hosts.toml`.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// What is remembered of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// As it was given to `stead host add`.
    pub target: String,
    /// What it calls itself.
    pub name: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub system: String,
    /// As `uname -m` says.
    pub architecture: String,
    /// Of the program that was installed there.
    pub version: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    host: Vec<Known>,
}

/// Where the list is.
pub fn path() -> Option<PathBuf> {
    let given = |name| {
        std::env::var_os(name)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    let above = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")))?;
    Some(above.join("stead/hosts.toml"))
}

/// All of them, in the order in which they were added. No file: none.
pub fn read(path: &Path) -> Result<Vec<Known>, Failure> {
    let act = format!("cannot read `{}`", path.display());
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| Failure::new(act.clone(), error.to_string()))?,
    };
    let file: File =
        toml::from_str(&text).map_err(|error| Failure::new(act, error.message().to_owned()))?;
    Ok(file.host)
}

/// Remember a host, in the place of what was remembered of the same target.
pub fn remember(path: &Path, host: Known) -> Result<(), Failure> {
    let mut hosts = read(path)?;
    match hosts.iter_mut().find(|known| known.target == host.target) {
        Some(known) => *known = host,
        None => hosts.push(host),
    }
    write(path, hosts)
}

/// Forget a host. One that is not there is no failure.
pub fn forget(path: &Path, target: &str) -> Result<(), Failure> {
    let mut hosts = read(path)?;
    hosts.retain(|known| known.target != target);
    write(path, hosts)
}

fn write(path: &Path, host: Vec<Known>) -> Result<(), Failure> {
    let written = (|| {
        let text = toml::to_string(&File { host }).map_err(io::Error::other)?;
        let text = format!(
            "# The hosts of `stead host ls`: written by `stead host add` and `stead host rm`.\n\n{text}"
        );
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // Aside, then renamed: the list is there whole or not at all.
        let mut aside = tempfile::NamedTempFile::new_in(dir)?;
        io::Write::write_all(&mut aside, text.as_bytes())?;
        aside.persist(path)?;
        Ok(())
    })();
    written.map_err(|error: io::Error| {
        Failure::new(
            format!("cannot write `{}`", path.display()),
            error.to_string(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(target: &str, version: &str) -> Known {
        Known {
            target: target.to_owned(),
            name: "h1".to_owned(),
            system: "Debian".to_owned(),
            architecture: "x86_64".to_owned(),
            version: version.to_owned(),
        }
    }

    #[test]
    fn hosts_are_remembered_once_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/hosts.toml");
        assert_eq!(read(&path), Ok(Vec::new()));
        remember(&path, host("root@h1", "1")).unwrap();
        remember(&path, host("root@h2", "1")).unwrap();
        remember(&path, host("root@h1", "2")).unwrap();
        assert_eq!(
            read(&path),
            Ok(vec![host("root@h1", "2"), host("root@h2", "1")])
        );
        forget(&path, "root@h1").unwrap();
        forget(&path, "root@h1").unwrap();
        assert_eq!(read(&path), Ok(vec![host("root@h2", "1")]));
    }

    #[test]
    fn a_list_that_is_broken_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.toml");
        fs::write(&path, "[[host]]\ntarget = 3\n").unwrap();
        assert!(remember(&path, host("root@h1", "1")).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[[host]]\ntarget = 3\n");
    }
}
