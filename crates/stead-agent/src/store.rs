//! What the agent of a host remembers: a SQLite file, `/var/lib/stead/state.db`.
//!
//! Every write is whole or not at all, also when power fails (`synchronous=FULL`). A file of a newer program is refused and not
//! touched; one that is damaged is named, and nothing is done to apps: what serves goes on without it.

mod launches;
mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use stead_model::agent::{Origin, ReleaseInfo, ReleaseState};
use stead_model::build::Built;

pub use launches::{Instance, Launch, LaunchState};

/// How long a write waits for another program that looks into the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many steps are remembered, the newest.
const STEPS: i64 = 10_000;

/// So many releases of an app are told of, the newest, and what is kept.
const RELEASES: i64 = 1000;

/// The open file.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

/// Why something could not be remembered or recalled.
#[derive(Debug)]
pub struct Failure {
    /// The act and its object.
    pub act: String,
    /// Why.
    pub cause: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.act, self.cause)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn new(act: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self {
            act: act.into(),
            cause: cause.to_string(),
        }
    }
}

type Outcome<T> = Result<T, Failure>;

/// What a release is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// For people.
    pub info: ReleaseInfo,
    /// What was built; `None`: nothing yet, or it was pruned.
    pub built: Option<Built>,
}

impl Store {
    /// Open the file, or make it, and bring it to this program's version.
    ///
    /// # Errors
    /// It cannot be written, is damaged, or is a newer program's.
    pub fn open(path: &Path) -> Outcome<Self> {
        let act = || format!("cannot use `{}`", path.display());
        // 0600 from the beginning: SQLite gives what it makes beside the file the same mode.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|file| {
                use std::os::unix::fs::PermissionsExt;
                file.set_permissions(std::fs::Permissions::from_mode(0o600))
            })
            .map_err(|error| Failure::new(act(), crate::spawn::io_text(&error)))?;
        let failed = |error: rusqlite::Error| Failure::new(act(), reason(&error, path));
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let sound: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if sound != "ok" {
            return Err(Failure::new(act(), format!("it is damaged: {sound}")));
        }
        let version = schema::version(&connection).map_err(failed)?;
        if version > schema::NEWEST {
            return Err(Failure::new(
                act(),
                format!(
                    "a newer Stead wrote it (version {version}, this one knows {}); it was not touched",
                    schema::NEWEST
                ),
            ));
        }
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
            )
            .map_err(failed)?;
        schema::migrate(&mut connection, version).map_err(failed)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Failure + use<> {
        let path = self.path.clone();
        let act = format!("cannot use `{}`", path.display());
        move |error| Failure::new(act.clone(), reason(&error, &path))
    }

    /// The names of all apps.
    ///
    /// # Errors
    /// As all of these: the file cannot be read or written.
    pub fn apps(&self) -> Outcome<Vec<String>> {
        let failed = self.failed();
        let mut query = self
            .connection
            .prepare("SELECT name FROM apps ORDER BY name")
            .map_err(&failed)?;
        let names = query.query_map([], |row| row.get(0)).map_err(&failed)?;
        names.collect::<Result<_, _>>().map_err(failed)
    }

    /// Make an app known, if it is not.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_app(&self, app: &str) -> Outcome<()> {
        self.connection
            .execute("INSERT OR IGNORE INTO apps (name) VALUES (?1)", [app])
            .map(drop)
            .map_err(self.failed())
    }

    /// Forget an app and everything of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove_app(&self, app: &str) -> Outcome<()> {
        self.connection
            .execute("DELETE FROM apps WHERE name = ?1", [app])
            .map(drop)
            .map_err(self.failed())
    }

    /// A release that is about to be made; its number was never given before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_release(
        &self,
        app: &str,
        tree: &str,
        origin: &Origin,
        at: i64,
        rollback_of: Option<u64>,
    ) -> Outcome<u64> {
        let failed = self.failed();
        let number: i64 = self
            .connection
            .query_row(
                "UPDATE apps SET last_release = last_release + 1 WHERE name = ?1 RETURNING last_release",
                [app],
                |row| row.get(0),
            )
            .map_err(&failed)?;
        self.connection
            .execute(
                "INSERT INTO releases (app, number, state, at, origin, tree, rollback_of) VALUES (?1, ?2, 'making', ?3, ?4, ?5, ?6)",
                params![app, number, at, json(origin), tree, rollback_of.map(u64::cast_signed)],
            )
            .map_err(&failed)?;
        Ok(number.cast_unsigned())
    }

    /// What was built of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn built(&self, app: &str, number: u64, built: &Built, changed: &[String]) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE releases SET built = ?3, changed = ?4 WHERE app = ?1 AND number = ?2",
                params![app, number.cast_signed(), json(built), json(&changed)],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// It never served, and why.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn release_failed(&self, app: &str, number: u64, why: &str) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE releases SET state = 'failed', failure = ?3, built = NULL WHERE app = ?1 AND number = ?2",
                params![app, number.cast_signed(), why],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// It served, and failed its visitors.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn blame(&self, app: &str, number: u64, why: &str) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE releases SET failure = ?3 WHERE app = ?1 AND number = ?2",
                params![app, number.cast_signed(), why],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// How long it took until it served.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn release_took(&self, app: &str, number: u64, took: Duration) -> Outcome<()> {
        let milliseconds = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        self.connection
            .execute(
                "UPDATE releases SET took = ?3 WHERE app = ?1 AND number = ?2",
                params![app, number.cast_signed(), milliseconds],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// What was built of it is gone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn pruned(&self, app: &str, number: u64) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE releases SET built = NULL WHERE app = ?1 AND number = ?2",
                params![app, number.cast_signed()],
            )
            .map(drop)
            .map_err(self.failed())
    }

    /// Forget launches that are over, and releases beyond the last thousand of which nothing is kept: what is remembered does not
    /// grow with every deploy. Numbers are not given again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&self, app: &str) -> Outcome<()> {
        self.connection
            .execute(
                "DELETE FROM launches WHERE app = ?1 AND state = 'over' \
                 AND id NOT IN (SELECT launch FROM instances WHERE app = ?1)",
                [app],
            )
            .and_then(|_| {
                self.connection.execute(
                    "DELETE FROM releases WHERE app = ?1 AND built IS NULL AND state IN ('retired', 'failed') \
                     AND number <= (SELECT last_release FROM apps WHERE name = ?1) - ?2",
                    params![app, RELEASES],
                )
            })
            .map(drop)
            .map_err(self.failed())
    }

    /// The releases of an app, the newest first; at most so many.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn releases(&self, app: &str, most: u32) -> Outcome<Vec<Record>> {
        let failed = self.failed();
        let mut query = self
            .connection
            .prepare(
                "SELECT number, state, at, origin, tree, rollback_of, changed, took, failure, built \
                 FROM releases WHERE app = ?1 ORDER BY number DESC LIMIT ?2",
            )
            .map_err(&failed)?;
        let rows = query
            .query_map(params![app, most], record)
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// One release.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn release(&self, app: &str, number: u64) -> Outcome<Option<Record>> {
        self.connection
            .query_row(
                "SELECT number, state, at, origin, tree, rollback_of, changed, took, failure, built \
                 FROM releases WHERE app = ?1 AND number = ?2",
                params![app, number.cast_signed()],
                record,
            )
            .optional()
            .map_err(self.failed())
    }

    /// How many instances of its processes somebody asked for, whatever the releases say.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn counts(&self, app: &str) -> Outcome<BTreeMap<String, u32>> {
        let failed = self.failed();
        let mut query = self
            .connection
            .prepare("SELECT process, count FROM counts WHERE app = ?1")
            .map_err(&failed)?;
        let rows = query
            .query_map([app], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// So many from now on; `None`: as the release says.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_count(&self, app: &str, process: &str, count: Option<u32>) -> Outcome<()> {
        let done = match count {
            Some(count) => self.connection.execute(
                "INSERT INTO counts (app, process, count) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (app, process) DO UPDATE SET count = excluded.count",
                params![app, process, count],
            ),
            None => self.connection.execute(
                "DELETE FROM counts WHERE app = ?1 AND process = ?2",
                params![app, process],
            ),
        };
        done.map(drop).map_err(self.failed())
    }

    /// A step is about to be done. Returns what [`Store::end_step`] takes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_step(&self, app: &str, number: u64, step: &str, at: i64) -> Outcome<i64> {
        self.connection
            .execute(
                "INSERT INTO steps (app, release, step, began) VALUES (?1, ?2, ?3, ?4)",
                params![app, number.cast_signed(), step, at],
            )
            .map_err(self.failed())?;
        Ok(self.connection.last_insert_rowid())
    }

    /// A step was done; `why`: it was not.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end_step(&self, step: i64, at: i64, why: Option<&str>) -> Outcome<()> {
        self.connection
            .execute(
                "UPDATE steps SET ended = ?2, failure = ?3 WHERE id = ?1",
                params![step, at, why],
            )
            .and_then(|_| {
                self.connection
                    .execute("DELETE FROM steps WHERE id <= ?1", [step - STEPS])
            })
            .map(drop)
            .map_err(self.failed())
    }
}

fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    let text = |i: usize| row.get::<_, Option<String>>(i);
    let built: Option<Built> = text(9)?.and_then(|text| serde_json::from_str(&text).ok());
    let state: String = row.get(1)?;
    Ok(Record {
        info: ReleaseInfo {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            state: match state.as_str() {
                "serving" => ReleaseState::Serving,
                "retired" => ReleaseState::Retired,
                "failed" => ReleaseState::Failed,
                _ => ReleaseState::Making,
            },
            at: row.get(2)?,
            origin: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
            tree: row.get(4)?,
            rollback_of: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
            changed: text(6)?
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            took: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
            failure: text(8)?,
            kept: built.is_some(),
        },
        built,
    })
}

/// Values of our own types always have a form in JSON.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn reason(error: &rusqlite::Error, path: &Path) -> String {
    match error.sqlite_error_code() {
        // What the kernel has made read-only under an open file is an error of reading and writing to SQLite.
        Some(ErrorCode::SystemIoFailure) => match is_read_only(path) {
            true => "its file system is read-only".to_owned(),
            false => "its disk failed to read or to write".to_owned(),
        },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "it is damaged, or no file of Stead".to_owned()
        }
        Some(ErrorCode::DiskFull) => "no space is left on its disk".to_owned(),
        Some(ErrorCode::ReadOnly) => "its file system is read-only".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program holds it".to_owned()
        }
        _ => error.to_string(),
    }
}

fn is_read_only(path: &Path) -> bool {
    use rustix::fs::{StatVfsMountFlags, statvfs};
    statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests;
