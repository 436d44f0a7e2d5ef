"""File access in a folder, or under the URL of anything that fsspec reaches (``s3://``, ``gs://``, ``memory://``).

A :data:`Location` is a ``pathlib.Path`` or, for a URL, a ``UPath`` with the same methods. The functions here are those
that the rest of the code needs for both; any error of a remote file system becomes an OSError. ``vision.io.files`` adds
atomic writing, ``vision.storage.cache`` downloads remote files.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import fsspec
from typing_extensions import TypeIs
from upath import UPath

from vision.errors import DactylError
from vision.machine.extras import install

_PIECE = 1 << 20  # bytes
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")

Location = UPath | Path
"""Type of configuration keys that take a folder or a URL."""


def locate(where: str | Location) -> Location:
    """Return the location that a user names. ``file://`` URLs are folders like any other.

    Raises:
        DactylError: not a valid URL, or one that needs a missing package, which the message names.
    """
    if not isinstance(where, str):
        return where
    try:
        place = UPath(where)
        if place.protocol in ("", "file", "local"):
            return local_path(place.path)
        fsspec.get_filesystem_class(place.protocol)
        place.joinpath("manifest.json")  # refuses an invalid bucket name
    except ImportError as error:
        raise DactylError(f"{where}: {error} (for s3://, {install('s3')})") from None
    except ValueError as error:
        raise DactylError(f"{where}: {error}; give a folder, or a URL that fsspec knows") from None
    return place


def local_path(text: str) -> Path:
    """Return a path of this machine, with ``~`` replaced by the user's folder: in a YAML file no shell does so.

    Raises:
        ValueError: it contains a shell variable, which is not replaced here, or an unknown user: a folder of that very
            name would be made in the current one.
    """
    if (variable := _VARIABLE.search(text)) and not Path(text).exists():
        raise ValueError(f"expected a path, got {text}: {variable[0]} is not replaced here; write the path out")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"expected a path, got {text}: there is no such user") from None


def is_remote(path: Location) -> TypeIs[UPath]:
    """Return whether a location is not on this machine's file system."""
    return not isinstance(path, Path)


def read(url: UPath, limit: int) -> bytes:
    """Read the first ``limit`` bytes of a remote file, or all of it if it is shorter. FileNotFoundError if it does not
    exist."""
    with _reached(url):
        place = _here(url)
        assert is_remote(place)
        content: bytes = place.fs.cat_file(place.path, start=0, end=limit)
        return content


def sha256(url: UPath) -> str:
    """Return the hexadecimal SHA-256 of a remote file, read in pieces. FileNotFoundError if it does not exist."""
    digest = hashlib.sha256()
    with _reached(url), _here(url).open("rb") as file:
        for piece in iter(lambda: file.read(_PIECE), b""):
            digest.update(piece)
    return digest.hexdigest()


def size(path: Location) -> int | None:
    """Return the bytes of a file; None if it does not exist."""
    with _reached(path):
        _forget_listings(path)
        try:
            return _here(path).stat().st_size
        except FileNotFoundError:
            return None


def names(folder: Location, pattern: str) -> list[str]:
    """Return sorted names of the files in ``folder`` that match ``pattern``; none if a server does not list its
    files."""
    with _reached(folder):
        _forget_listings(folder)
        try:
            return sorted(path.name for path in _here(folder).glob(pattern))
        except FileNotFoundError:
            return []


def remove(path: Location) -> None:
    """Remove a file, if it exists."""
    with _reached(path):
        path.unlink(missing_ok=True)


def put(path: UPath, content: bytes) -> None:
    """Write a remote file in one piece: object stores show all of it or none."""
    with _reached(path):
        path.fs.pipe_file(path.path, content)


def create(path: UPath, content: bytes) -> bool:
    """Write as :func:`put` does, unless the file exists: then return False. Of two concurrent writers, one succeeds."""
    with _reached(path):
        try:
            path.fs.pipe_file(path.path, content, mode="create")
        except FileExistsError:
            return False
        return True


def _here(path: Location) -> Location:
    """Return the same location for this process: connections do not survive the fork that makes a DataLoader's
    workers."""
    return UPath(str(path), **path.storage_options) if is_remote(path) else path


def _forget_listings(path: Location) -> None:
    """Drop cached listings: other processes write, too."""
    if is_remote(path):
        path.fs.invalidate_cache()


@contextlib.contextmanager
def _reached(path: Location) -> Iterator[None]:
    """Turn the exceptions of any remote file system into OSError, which all callers expect anyway."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        raise OSError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
