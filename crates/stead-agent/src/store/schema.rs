//! The tables, by version. A version that was released is never edited: what changes is the next one.

use rusqlite::Connection;

/// The newest version that this program knows.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// From each version to the next.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE apps (
    name TEXT PRIMARY KEY,
    last_release INTEGER NOT NULL DEFAULT 0,
    -- The launch that visitors get, and what the edge was told of it, as JSON.
    serving INTEGER,
    part TEXT
) STRICT;
CREATE TABLE releases (
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    origin TEXT NOT NULL,
    tree TEXT NOT NULL,
    rollback_of INTEGER,
    changed TEXT,
    took INTEGER,
    failure TEXT,
    -- What was built, as JSON; NULL: nothing, or it was pruned.
    built TEXT,
    PRIMARY KEY (app, number)
) STRICT;
-- A release that was started; once more for each restart.
CREATE TABLE launches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    release INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    launch INTEGER NOT NULL,
    release INTEGER NOT NULL,
    process TEXT NOT NULL,
    slot INTEGER NOT NULL,
    address TEXT
) STRICT;
CREATE TABLE counts (
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    process TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (app, process)
) STRICT;
CREATE TABLE steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    release INTEGER NOT NULL,
    step TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER,
    failure TEXT
) STRICT;
CREATE INDEX instances_of_app ON instances (app);
"];

/// Of an open file; 0: it is new.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Each version in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    for (number, tables) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(tables)?;
        transaction.pragma_update(None, "user_version", number as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
