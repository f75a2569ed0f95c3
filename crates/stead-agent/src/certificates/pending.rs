//! Orders that are under way: where the authority has them, and the key that the certificate is to be for. They are kept
//! until the certificate is, so that an order whose answer was lost, or whose certificate could not be written, is taken up again instead of
//! made anew.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::store::{text, write_whole};

const FOLDER: &str = "orders";
/// Raised when an older program would misunderstand a file.
const VERSION: u32 = 1;
/// Authorities forget their orders, Let's Encrypt after a week.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An order that the authority has.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    version: u32,
    pub(crate) at: Timestamp,
    /// Of the authority's directory.
    directory: String,
    /// Sorted.
    hosts: Vec<String>,
    /// Where the authority has it.
    pub(crate) url: String,
    /// PEM.
    pub(crate) key: String,
}

impl Pending {
    pub(crate) fn new(
        directory: &str,
        hosts: &[String],
        url: &str,
        key: String,
        at: Timestamp,
    ) -> Self {
        Self {
            version: VERSION,
            at,
            directory: directory.to_owned(),
            hosts: hosts.to_vec(),
            url: url.to_owned(),
            key,
        }
    }
}

/// Those of one authority.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    folder: PathBuf,
    directory: String,
}

impl Orders {
    /// Those that are kept in the store's `place`.
    pub(crate) fn at(place: &Path, directory: &str) -> Self {
        Self {
            folder: place.join(FOLDER),
            directory: directory.to_owned(),
        }
    }

    /// The URL of the authority's directory.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// The one for exactly these hosts.
    pub(crate) fn find(&self, hosts: &[String], now: Timestamp) -> Option<Pending> {
        let text = text(&self.path(hosts)).ok()?;
        let pending: Pending = serde_json::from_str(&text).ok()?;
        let age = now.duration_since(pending.at);
        let fits = pending.version == VERSION
            && pending.directory == self.directory
            && pending.hosts == hosts
            && age.abs() < LASTS;
        fits.then_some(pending)
    }

    /// Keep it, for its owner alone, in place of another one for the same hosts.
    pub(crate) fn keep(&self, pending: &Pending) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.folder)?;
        write_whole(&self.path(&pending.hosts), &serde_json::to_vec(pending)?)
    }

    /// It is over. What cannot be removed is found to be over the next time.
    pub(crate) fn forget(&self, hosts: &[String]) {
        let _ = std::fs::remove_file(self.path(hosts));
    }

    /// Remove those that the authority has forgotten.
    pub(crate) fn sweep(place: &Path, now: Timestamp) {
        let found = std::fs::read_dir(place.join(FOLDER));
        for entry in found.into_iter().flatten().flatten() {
            let written = entry.metadata().and_then(|about| about.modified());
            let written = written.ok().and_then(|at| Timestamp::try_from(at).ok());
            if written.is_some_and(|at| now.duration_since(at) > LASTS) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, hosts: &[String]) -> PathBuf {
        let text = format!("{}\n{}", self.directory, hosts.join("\n"));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let name: String = hash.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_order_is_found_for_its_hosts_until_the_authority_has_forgotten_it() {
        let place = tempfile::tempdir().unwrap();
        let orders = Orders::at(place.path(), "https://ca");
        let hosts = ["a.example.com".to_owned(), "b.example.com".to_owned()];
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let pending = Pending::new(
            "https://ca",
            &hosts,
            "https://ca/order/1",
            "key".into(),
            now,
        );
        orders.keep(&pending).unwrap();
        assert!(orders.find(&hosts, now) == Some(pending.clone()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&orders.folder), 0o700);
        assert_eq!(mode(&orders.path(&hosts)), 0o600);
        assert!(orders.find(&hosts[..1], now).is_none());
        let other = Orders::at(place.path(), "https://other");
        assert!(other.find(&hosts, now).is_none());
        assert!(orders.find(&hosts, now + LASTS).is_none());
        // Half of a file is none.
        let path = orders.path(&hosts);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(orders.find(&hosts, now).is_none(), "{length}");
        }
        orders.keep(&pending).unwrap();
        Orders::sweep(place.path(), Timestamp::now());
        assert!(path.exists());
        Orders::sweep(place.path(), Timestamp::now() + LASTS * 2);
        assert!(!path.exists());
    }
}
