"""Uploaded pictures: kept under the hash of their content."""

import hashlib
from pathlib import Path

LARGEST = 5 * 1024 * 1024


class Refused(Exception):
    """Says to the visitor why a picture was not taken."""


def folder(app):
    return Path(app.instance_path) / "pictures"


def keep(app, upload):
    """Save an upload; returns its name, or `None` when there was none."""
    if upload is None or not upload.filename:
        return None
    content = upload.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Refused("That picture is larger than 5 MB.")
    name = hashlib.sha256(content).hexdigest()[:32] + extension(content)
    path = folder(app) / name
    if not path.exists():
        # Written aside and renamed, so that nobody is shown half a picture.
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.rename(path)
    return name


def extension(content):
    """By what the file is, not by what it is called."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if content.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return ".gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    raise Refused("Pictures may be PNG, JPEG, GIF or WebP.")
