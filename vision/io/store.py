"""Where files live: in a folder, or under the URL of anything that fsspec reaches (``s3://``, ``gs://``, ``memory://``).

A :data:`Location` is a ``pathlib.Path`` or, for a URL, a ``UPath`` with the same methods. The functions here are what
the rest needs of either; whatever a remote file system raises comes out of them as OSError. ``vision.io.files``
adds what makes a file whole or absent, ``vision.storage.cache`` brings remote files here.
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
from vision.extras import install

_PIECE = 1 << 20  # bytes
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")

Location = UPath | Path
"""Type of configuration keys that take a folder or a URL."""


def locate(where: str | Location) -> Location:
    """The location that a user names. ``file://`` URLs are folders like any other.

    Raises:
        DactylError: no URL, or one that needs a package that is not installed; it is named.
    """
    if not isinstance(where, str):
        return where
    try:
        place = UPath(where)
        if place.protocol in ("", "file", "local"):
            return local_path(place.path)
        fsspec.get_filesystem_class(place.protocol)
        place.joinpath("manifest.json")  # refuses a bucket's name that is none
    except ImportError as error:
        raise DactylError(f"{where}: {error} (for s3://, {install('s3')})") from None
    except ValueError as error:
        raise DactylError(f"{where}: {error}; give a folder, or a URL that fsspec knows") from None
    return place


def local_path(text: str) -> Path:
    """A path of this machine, ``~`` being the user's folder as in a shell, which replaces it in no YAML file.

    Raises:
        ValueError: it names a shell's variable, which nobody replaces here, or a user that is none: a folder of that
            very name would be made in the current one.
    """
    if (variable := _VARIABLE.search(text)) and not Path(text).exists():
        raise ValueError(f"expected a path, got {text}: {variable[0]} is not replaced here; write the path out")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"expected a path, got {text}: there is no such user") from None


def is_remote(path: Location) -> TypeIs[UPath]:
    """Not a folder of this machine."""
    return not isinstance(path, Path)


def read(url: UPath, limit: int) -> bytes:
    """The first ``limit`` bytes of a remote file, all of it where it has no more. FileNotFoundError without one."""
    with _reached(url):
        place = _here(url)
        assert is_remote(place)
        content: bytes = place.fs.cat_file(place.path, start=0, end=limit)
        return content


def sha256(url: UPath) -> str:
    """Hexadecimal SHA-256 of a remote file, read in pieces. FileNotFoundError where there is none."""
    digest = hashlib.sha256()
    with _reached(url), _here(url).open("rb") as file:
        for piece in iter(lambda: file.read(_PIECE), b""):
            digest.update(piece)
    return digest.hexdigest()


def size(path: Location) -> int | None:
    """Bytes of a file; None where there is none."""
    with _reached(path):
        _forget_listings(path)
        try:
            return _here(path).stat().st_size
        except FileNotFoundError:
            return None


def names(folder: Location, pattern: str) -> list[str]:
    """Sorted names of the files in ``folder`` that fit ``pattern``; none where a server does not list its files."""
    with _reached(folder):
        _forget_listings(folder)
        try:
            return sorted(path.name for path in _here(folder).glob(pattern))
        except FileNotFoundError:
            return []


def remove(path: Location) -> None:
    """Remove a file, if it is there."""
    with _reached(path):
        path.unlink(missing_ok=True)


def put(path: UPath, content: bytes) -> None:
    """Write a remote file in one piece: object stores show all of it or none."""
    with _reached(path):
        path.fs.pipe_file(path.path, content)


def create(path: UPath, content: bytes) -> bool:
    """As :func:`put`, unless the file is there already: then False. Of two who try at once, one succeeds."""
    with _reached(path):
        try:
            path.fs.pipe_file(path.path, content, mode="create")
        except FileExistsError:
            return False
        return True


def _here(path: Location) -> Location:
    """The same location for this process: connections do not survive the fork that makes a DataLoader's workers."""
    return UPath(str(path), **path.storage_options) if is_remote(path) else path


def _forget_listings(path: Location) -> None:
    """Other processes write too, and file systems remember what they have listed."""
    if is_remote(path):
        path.fs.invalidate_cache()


@contextlib.contextmanager
def _reached(path: Location) -> Iterator[None]:
    """Every remote file system has exceptions of its own: turn them into OSError, which all callers expect anyway."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        raise OSError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
