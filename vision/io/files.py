"""Atomic writing of files, and guarded reading of files from outside, which may be neither files nor small.

A file is written under a temporary name in its own folder, flushed to the disk, then renamed: a reader never sees half
a file, and a kill at any moment leaves at most a temporary file behind, which the folder's next writer removes. Under a
URL it is written in one piece, which an object store shows completely or not at all.

Anything that somebody else may have made is opened by :func:`open_regular` and read by :func:`read_file` or
:func:`read_start`: a pipe, device or folder in a file's place is refused instead of waited for, and no more is read
than such a file may have.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import itertools
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from vision.errors import DactylError, with_causes
from vision.io import store
from vision.io.kept import note_opened
from vision.io.store import Location, is_remote

_TEMPORARY = ".tmp-"
_LOCK = ".lock"
_PIECE = 1 << 20  # bytes

MAX_RECORD_BYTES = 16 << 20
"""Size limit of a JSON record: one of a shard of 100,000 samples has 5 MB."""

MAX_MANIFEST_BYTES = 128 << 20
"""Size limit of a manifest: one of ten million triplets in shards of 128 has 30 MB."""

MAX_TABLE_BYTES = 64 << 20
"""Size limit of a recording's CSV or calibration: an hour of poses at 240 Hz has 60 MB."""


def atomic_write(path: Location, write: bytes | Callable[[IO[bytes]], None]) -> None:
    """Write ``path`` atomically: ``write`` is its content, or a function that writes it to a binary file object.

    Raises:
        DactylError: the disk is full or the folder cannot be written; ``path`` is then as it was before.
    """
    if is_remote(path):
        try:
            store.put(path, write if isinstance(write, bytes) else _written(write))
        except OSError as error:
            raise DactylError(f"{path}: cannot write: {error}; check the URL, credentials and network") from error
        return
    if not path.name:
        raise DactylError(f"{path}: cannot write: a folder; name a file")
    # Processes in other containers, or threads, may write the same file: their process numbers can be the same.
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_dir()):  # else it would be replaced, by root even in /dev
            raise DactylError(f"{path}: cannot write: a device or pipe; name a file")
        with temporary.open("wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except DactylError:  # of what ``write`` reads
        raise
    except Exception as error:
        # The operating system's error may be behind another: on a full disk, torch raises a RuntimeError about it.
        fault = next((each for each in with_causes(error) if isinstance(each, OSError)), None)
        if fault is None:
            raise
        raise DactylError(
            f"{path}: cannot write: {fault.strerror or fault}; free space or choose another folder"
        ) from error
    finally:
        # With an impossible folder or name, removing fails, too; the error above reports it.
        with contextlib.suppress(OSError):
            temporary.unlink()


def refuse_unwritable(path: Path, folder: bool = False) -> None:
    """Raise DactylError if a file, or a ``folder``, cannot be written at ``path``: before hours of work for it."""
    if path.exists() and not (path.is_dir() or path.is_file()):
        return  # a pipe or device, for those who write into it
    if path.exists() and path.is_dir() != folder:
        raise DactylError(f"{path}: cannot write: {'a file' if folder else 'a folder'}; choose another name")
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise DactylError(f"{path}: cannot write: {place} is not a folder that can be written to; choose another")


def refuse_other_content(path: Path, mark: bytes, what: str, within: int) -> None:
    """Raise DactylError if writing an output would replace a file of another kind than ``what``: one without ``mark``
    in its first ``within`` bytes. An empty file may be replaced."""
    if path.is_file() and path.stat().st_size and mark not in read_start(path, within):
        raise DactylError(f"output: {path} exists and holds no {what}; choose another file")


def _written(write: Callable[[IO[bytes]], None]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Location) -> None:
    """Remove a file, if it exists.

    Raises:
        DactylError: it cannot be removed.
    """
    try:
        store.remove(path)
    except OSError as error:
        raise DactylError(f"{path}: cannot remove: {error.strerror or error}; check that place") from error


def remove_temporaries(folder: Path) -> None:
    """Remove files that killed writers left in ``folder`` and the folders in it; only for the holder of its lock.

    A folder with its own lock belongs to another writer.
    """
    for path in (*folder.glob(f"{_TEMPORARY}*"), *folder.glob(f"*/{_TEMPORARY}*")):
        if path.parent == folder or not (path.parent / _LOCK).exists():
            remove(path)


def open_regular(path: Path) -> io.FileIO:
    """Open a file from outside for reading, unbuffered.

    Raises:
        OSError: it is missing, cannot be read, or is not a regular file but a pipe, a device or a folder.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError("not a file")
    note_opened(path, status)
    return io.FileIO(descriptor)


def read_start(path: Location, limit: int) -> bytes:
    """Read the first ``limit`` bytes of a file from outside, or all of it if it is shorter.

    Raises:
        OSError: it is missing, cannot be read, or is not a regular file.
    """
    if is_remote(path):
        return store.read(path, limit)
    with open_regular(path) as file:
        pieces = iter(lambda: file.read(_PIECE), b"")
        return b"".join(itertools.islice(pieces, limit // _PIECE + 1))[:limit]


def read_file(path: Location, limit: int, what: str) -> bytes:
    """Read a file from outside.

    Args:
        path: path of the file, or its URL.
        limit: maximum size of such a file in bytes.
        what: kind of file, for messages.

    Raises:
        DactylError: it is missing, not a regular file, larger, or cannot be read.
    """
    too_large = DactylError(f"{path}: more than {limit:,} bytes, which no {what} has; check the path")
    try:
        if not is_remote(path) and path.stat().st_size > limit:
            raise too_large
        content = read_start(path, limit + 1)
    except FileNotFoundError:
        raise DactylError(f"{path}: no such {what}; check the path") from None
    except NotADirectoryError:
        raise DactylError(f"{path.parent}: a file in a folder's place; give {path.parent.parent}") from None
    except OSError as error:
        mend = "check the URL, credentials and network" if is_remote(path) else "make it again"
        raise DactylError(f"{path}: not a readable {what} ({error.strerror or error}); {mend}") from error
    if len(content) > limit:
        raise too_large
    return content


def sha256(path: Location) -> str:
    """Return the hexadecimal SHA-256 of a file. OSError if it cannot be read."""
    if is_remote(path):
        return store.sha256(path)
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_unchanged(what: object, expected: str, found: str) -> None:
    """Refuse an input that was replaced while a command runs, whose output would then be of two inputs, or misnamed.

    Args:
        what: path or name of the input, for the message.
        expected: hash or label that the command recorded.
        found: hash or label of what was read.

    Raises:
        DactylError: they differ.
    """
    if found != expected:
        raise DactylError(
            f"{what}: was replaced while this command ran; put it back, or give a copy that nothing changes, and rerun"
        )


@contextlib.contextmanager
def exclusive_folder(folder: Location) -> Iterator[None]:
    """Hold ``folder`` for one writer; a second one gets a :class:`DactylError` that names the first.

    The lock is the kernel's and ends with the process, however that ends. A URL cannot be locked: there
    ``vision.storage.folders.reserve_output`` admits only one configuration, and writers of the same one write the same
    bytes.
    """
    if is_remote(folder):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DactylError(f"{folder}: cannot write here: {error.strerror}; choose another output folder") from error
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip() or "unknown"
            raise DactylError(f"{folder}: process {holder} is writing here; wait for it or stop it") from None
        except OSError as error:
            raise DactylError(
                f"{folder}: cannot be locked: {error.strerror}; choose a folder on a local disk"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        remove_temporaries(folder)
        yield
