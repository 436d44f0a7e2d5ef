"""Local cache of remote shards, by content.

A file in the cache is named by its SHA-256, so the cache needs no bookkeeping: the same bytes are found whatever URL
they came from, and nothing can be out of date. To free the space, delete the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from vision.errors import DactylError
from vision.io.files import atomic_write, read_start
from vision.io.store import Location, is_remote
from vision.io.user_cache import cache_folder
from vision.storage.integrity import require_hash


def local_file(path: Location, size: int, sha256: str) -> Path:
    """Return the local path of the bytes of ``path``; downloaded and compared with their hash if they are not here yet.

    A local path is returned unchanged and unread. Several processes may ask for the same file at once.

    Args:
        path: path of the file, or its URL.
        size: expected size in bytes.
        sha256: expected hash, hexadecimal.

    Raises:
        DactylError: it cannot be read, or has another hash.
    """
    if not is_remote(path):
        return path
    place = cache_folder() / sha256[:2] / f"{sha256}{path.suffix}"
    if not place.exists():
        try:
            content = read_start(path, size + 1)  # one byte more gives a longer file another hash
        except OSError as error:
            raise DactylError(f"{path}: cannot be read ({error}); check the URL, credentials and network") from error
        require_hash(path, hashlib.sha256(content).hexdigest(), sha256)
        atomic_write(place, content)
    return place
