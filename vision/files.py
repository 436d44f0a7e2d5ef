"""Files that are whole or absent.

A file is written under a temporary name in its own folder, flushed to the disk, then renamed: a reader never sees half
a file, and a kill at any moment leaves at most a temporary file behind, which the folder's next writer removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from vision.errors import DactylError

_TEMPORARY = ".tmp-"


def atomic_write(path: Path, write: bytes | Callable[[IO[bytes]], None]) -> None:
    """Write ``path`` whole: ``write`` is its content, or a function that writes it to a binary file object.

    Raises:
        DactylError: the disk is full or the folder cannot be written; ``path`` is then as it was before.
    """
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
    except OSError as error:
        raise DactylError(
            f"{path}: cannot write: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        # Where the folder or the name is impossible, so is removing: the error above says it.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in ``folder``; only for the holder of its lock."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with one line a key, in the given order, a final newline: equal values give equal bytes."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def fingerprint(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON value, for comparing configurations."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def read_json(path: Path, what: str) -> Any:
    """The JSON value in ``path``; :class:`DactylError` calls the file ``what`` when it is missing or unreadable."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DactylError(f"{path}: no such {what}; check the path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DactylError(f"{path}: not a readable {what} ({error}); make it again") from error


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one writer; a second one gets a :class:`DactylError` that names the first.

    The lock is the kernel's and goes with the process, however it ends.
    """
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
