"""What runs beside the pages: `flask --app guestbook migrate` and `… refresh`."""

import time

import click
from flask import current_app
from flask.cli import with_appcontext

from . import pictures, store

# A picture is saved before the entry that names it: a young one may still get its entry.
YOUNG = 3600


@click.command()
@with_appcontext
def migrate():
    """Bring the database up to date."""
    connection = store.database()
    click.echo("the database is at version %d" % store.version(connection))


@click.command()
@with_appcontext
def refresh():
    """Count the entries, and remove pictures that no entry shows."""
    stats = store.save_stats()
    removed = 0
    in_use = store.pictures_in_use()
    for path in pictures.folder(current_app).iterdir():
        if path.name not in in_use and path.stat().st_mtime < time.time() - YOUNG:
            path.unlink()
            removed += 1
    click.echo(
        "%d entries, %d pictures; removed %d without an entry"
        % (stats["entries"], stats["pictures"], removed)
    )
