"""Cache of slow computations on this machine, keyed by everything that a result depends on.

A file begins with the SHA-256 of the rest: one that is damaged, cut short or foreign counts as missing and is made
again. Files are written under another name first, so any number of processes may read and write at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from vision.errors import DactylError
from vision.io.files import atomic_write, read_file

_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Return ``$DACTYL_CACHE``, or ``~/.cache/dactyl``."""
    named = os.environ.get("DACTYL_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dactyl"


def recall(group: str, key: str, limit: int) -> bytes | None:
    """Return what :func:`keep` stored; None if there is no intact content of up to ``limit`` bytes."""
    path = cache_folder() / group / key
    try:
        content = read_file(path, limit + _DIGEST, "cached file")
    except DactylError:
        return None
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    with contextlib.suppress(OSError):  # the least recently used are dropped first
        os.utime(path)
    return content[_DIGEST:]


def keep(group: str, key: str, content: bytes, most: int) -> None:
    """Store a content for :func:`recall`, and drop the least recently used of the group beyond ``most`` bytes in all.

    If nothing can be written, nothing is stored: it is computed again next time.
    """
    folder = cache_folder() / group
    with contextlib.suppress(DactylError):
        atomic_write(folder / key, hashlib.sha256(content).digest() + content)
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):  # another process has dropped it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
    room = most
    for _, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0 and path.name != key:
            with contextlib.suppress(OSError):
                path.unlink()
