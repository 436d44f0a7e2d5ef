"""Files that are whole or absent.

A file is written under a temporary name in its own folder, flushed to the disk, then renamed: a reader never sees half
a file, and a kill at any moment leaves at most a temporary file behind, which the folder's next writer removes. Under a
URL it is put in one piece, which an object store shows whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from vision.errors import DactylError
from vision.storage import store
from vision.storage.store import Location, is_remote

_TEMPORARY = ".tmp-"


def atomic_write(path: Location, write: bytes | Callable[[IO[bytes]], None]) -> None:
    """Write ``path`` whole: ``write`` is its content, or a function that writes it to a binary file object.

    Raises:
        DactylError: the disk is full or the folder cannot be written; ``path`` is then as it was before.
    """
    if is_remote(path):
        try:
            store.put(path, write if isinstance(write, bytes) else _written(write))
        except OSError as error:
            raise DactylError(f"{path}: cannot write: {error}; check the URL, credentials and network") from error
        return
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except Exception as error:
        if (fault := _operating_system(error)) is None:
            raise
        raise DactylError(
            f"{path}: cannot write: {fault.strerror or fault}; free space or choose another folder"
        ) from error
    finally:
        # Where the folder or the name is impossible, so is removing: the error above says it.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _operating_system(error: BaseException | None) -> OSError | None:
    """The operating system's own error behind another: torch, on a full disk, raises a RuntimeError about it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


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
    """Remove a file, if it is there.

    Raises:
        DactylError: it stays.
    """
    try:
        store.remove(path)
    except OSError as error:
        raise DactylError(f"{path}: cannot remove: {error.strerror or error}; check that place") from error


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in ``folder``; only for the holder of its lock."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        remove(path)


def sha256(path: Location) -> str:
    """Hexadecimal SHA-256 of a file."""
    if is_remote(path):
        return hashlib.sha256(store.read(path)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with one line a key, in the given order, a final newline: equal values give equal bytes."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def fingerprint(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON value, for comparing configurations."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def read_json(path: Location, what: str) -> Any:
    """The JSON value in ``path``; :class:`DactylError` calls the file ``what`` when it is missing or unreadable."""
    try:
        return json.loads(store.read(path))
    except FileNotFoundError:
        raise DactylError(f"{path}: no such {what}; check the path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DactylError(f"{path}: not a readable {what} ({error}); make it again") from error


@contextlib.contextmanager
def exclusive_folder(folder: Location) -> Iterator[None]:
    """Hold ``folder`` for one writer; a second one gets a :class:`DactylError` that names the first.

    The lock is the kernel's and goes with the process, however it ends. A URL cannot be locked: there
    ``vision.storage.folders.reserve_output`` lets only one configuration in, and writers of the same one write the same
    bytes.
    """
    if is_remote(folder):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
