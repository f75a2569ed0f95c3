//! The table that was published last, on disk: an edge that is started without an agent serves it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stead_model::routing::RoutingTable;

/// The file's name within the state directory.
const NAME: &str = "table.json";

/// Raised when an older program would misunderstand the file.
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Kept {
    version: u32,
    table: RoutingTable,
}

#[derive(Serialize)]
struct Keep<'a> {
    version: u32,
    table: &'a RoutingTable,
}

/// The kept table, if there is one. An error: the file is there and is none.
pub(super) fn load(state: &Path) -> Result<Option<RoutingTable>, String> {
    let path = state.join(NAME);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read `{}`: {error}", path.display())),
    };
    match serde_json::from_slice::<Kept>(&text) {
        Ok(kept) if kept.version == VERSION => Ok(Some(kept.table)),
        Ok(kept) => Err(format!(
            "`{}` is of version {}, this program knows {VERSION}",
            path.display(),
            kept.version
        )),
        Err(error) => Err(format!("`{}` holds no table: {error}", path.display())),
    }
}

/// Keep a table. Whatever happens on the way, the file is the former one or this one.
pub(super) fn save(state: &Path, table: &RoutingTable) -> io::Result<()> {
    let draft = state.join("table.json.new");
    let text = serde_json::to_vec(&Keep {
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
    std::fs::rename(&draft, state.join(NAME))?;
    // Without this a power cut may bring the former one back, which is as good as it was.
    File::open(state)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_table_comes_back_and_a_broken_file_is_told() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(load(state.path()), Ok(None));
        let table = RoutingTable {
            generation: 7,
            ..RoutingTable::default()
        };
        save(state.path(), &table).unwrap();
        assert_eq!(load(state.path()), Ok(Some(table)));
        let path = state.path().join(NAME);
        let text = std::fs::read(&path).unwrap();
        for length in 0..text.len() {
            std::fs::write(&path, &text[..length]).unwrap();
            assert!(load(state.path()).is_err(), "{length}");
        }
        let later = String::from_utf8(text).unwrap();
        let later = later.replacen("\"version\":1", "\"version\":2", 1);
        std::fs::write(&path, later).unwrap();
        assert!(load(state.path()).unwrap_err().contains("version 2"));
    }
}
