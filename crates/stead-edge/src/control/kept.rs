//! What an edge keeps on disk, so that one that is started without an agent serves: the table that was published last,
//! and the certificates.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stead_model::certificates::CertificateTable;
use stead_model::routing::RoutingTable;

/// Raised when an older program would misunderstand a file.
const VERSION: u32 = 1;

/// A value with a file of its own within the state directory.
pub(super) trait Kept: Serialize + DeserializeOwned {
    /// The file's name.
    const NAME: &'static str;
    /// What it is to hold, for a person.
    const NOUN: &'static str;
}

impl Kept for RoutingTable {
    const NAME: &'static str = "table.json";
    const NOUN: &'static str = "table";
}

impl Kept for CertificateTable {
    const NAME: &'static str = "certificates.json";
    const NOUN: &'static str = "table of certificates";
}

#[derive(Deserialize)]
struct Read<T> {
    version: u32,
    table: T,
}

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    table: &'a T,
}

/// The kept value, if there is one. An error: the file is there and is none.
pub(super) fn load<T: Kept>(state: &Path) -> Result<Option<T>, String> {
    let path = state.join(T::NAME);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
    };
    match serde_json::from_slice::<Read<T>>(&text) {
        Ok(kept) if kept.version == VERSION => Ok(Some(kept.table)),
        Ok(kept) => Err(format!(
            "`{}` is of version {}, this program knows {VERSION}",
            path.display(),
            kept.version
        )),
        Err(error) => Err(format!(
            "`{}` holds no {}: {error}",
            path.display(),
            T::NOUN
        )),
    }
}

/// Keep a value. Whatever happens on the way, the file is the former one or this one.
pub(super) fn save<T: Kept>(state: &Path, table: &T) -> io::Result<()> {
    let draft = state.join(format!("{}.new", T::NAME));
    let text = serde_json::to_vec(&Written {
        version: VERSION,
        table,
    })?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&draft, state.join(T::NAME))?;
    // Without this a power cut may bring the former one back, which is as good as it was.
    File::open(state)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_table_comes_back_and_a_broken_file_is_told() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(load::<RoutingTable>(state.path()), Ok(None));
        let table = RoutingTable {
            generation: 7,
            ..RoutingTable::default()
        };
        save(state.path(), &table).unwrap();
        assert_eq!(load(state.path()), Ok(Some(table)));
        let path = state.path().join(RoutingTable::NAME);
        let text = std::fs::read(&path).unwrap();
        for length in 0..text.len() {
            std::fs::write(&path, &text[..length]).unwrap();
            assert!(load::<RoutingTable>(state.path()).is_err(), "{length}");
        }
        let later = String::from_utf8(text).unwrap();
        let later = later.replacen("\"version\":1", "\"version\":2", 1);
        std::fs::write(&path, later).unwrap();
        assert!(
            load::<RoutingTable>(state.path())
                .unwrap_err()
                .contains("version 2")
        );
    }
}
