"""The database: one SQLite file in the instance folder."""

import sqlite3
from pathlib import Path

from flask import current_app, g

# Each entry brings the database one version further; `PRAGMA user_version` counts them.
MIGRATIONS = [
    """
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        message TEXT NOT NULL,
        picture TEXT,
        written TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    );
    """,
    """
    CREATE TABLE stats (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        entries INTEGER NOT NULL,
        pictures INTEGER NOT NULL,
        counted TEXT NOT NULL
    );
    """,
]


def database():
    """This request's connection."""
    if "database" not in g:
        folder = Path(current_app.instance_path)
        folder.mkdir(parents=True, exist_ok=True)
        g.database = sqlite3.connect(folder / "guestbook.db", timeout=10, isolation_level=None)
        g.database.row_factory = sqlite3.Row
        g.database.execute("PRAGMA synchronous = NORMAL")
        if version(g.database) < len(MIGRATIONS):
            migrate(g.database)
    return g.database


def close(_=None):
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()


def version(connection):
    return connection.execute("PRAGMA user_version").fetchone()[0]


def migrate(connection):
    """Bring the schema up to date; safe when several instances try at once."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(version(connection), len(MIGRATIONS)):
            # Not `executescript`: that would commit.
            connection.execute(MIGRATIONS[number])
            connection.execute("PRAGMA user_version = %d" % (number + 1))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def add(name, message, picture):
    database().execute(
        "INSERT INTO entry (name, message, picture) VALUES (?, ?, ?)",
        (name, message, picture),
    )


def newest(limit):
    return database().execute("SELECT * FROM entry ORDER BY id DESC LIMIT ?", (limit,)).fetchall()


def count():
    return database().execute("SELECT count(*) FROM entry").fetchone()[0]


def pictures_in_use():
    rows = database().execute("SELECT DISTINCT picture FROM entry WHERE picture IS NOT NULL")
    return {row["picture"] for row in rows}


def stats():
    """What the hourly job counted last; nothing before its first run."""
    return database().execute("SELECT * FROM stats").fetchone()


def save_stats():
    database().execute(
        "INSERT OR REPLACE INTO stats (id, entries, pictures, counted) "
        "SELECT 1, count(*), count(picture), CURRENT_TIMESTAMP FROM entry"
    )
    return stats()
