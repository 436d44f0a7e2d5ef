"""Output folders: a configuration reserves them first, a manifest completes them last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vision.errors import DactylError
from vision.io import store
from vision.io.decode import Record
from vision.io.files import atomic_write
from vision.io.json_values import differences
from vision.io.store import Location, is_remote
from vision.storage.records import encode_record, read_record

CONFIG = "config.json"
"""Configuration of a folder, written before anything else; a rerun with another configuration is refused."""

MANIFEST = "manifest.json"
"""Manifest of a folder, written after everything else; a folder without it is unfinished."""

_PIECES = ("part-*", "shard-*", "*.ckpt", "blocks/*.json", "starts.npy")
"""Files that commands leave in the folders that they reserve: states, datasets, trainings, closed loops, policies."""


class Reservation(Record, frozen=True):
    """Content of ``config.json``.

    Attributes:
        config: the keys that determine the bytes of the folder's pieces.
    """

    config: dict[str, Any]


def has_manifest(folder: Path) -> bool:
    """Return whether a folder holds a finished output, such as a dataset, in place of a user's own files."""
    return (folder / MANIFEST).exists()


def read_reservation(folder: Location) -> dict[str, Any]:
    """Read the configuration with which a folder was begun."""
    return read_record(folder / CONFIG, Reservation, "configuration", "choose another output").config


def reserve_output(folder: Location, identity: dict[str, Any], pieces: str) -> None:
    """Record a configuration in a new folder, or compare it with the one with which the folder was begun.

    A URL cannot be locked. The first writer to create the record there reserves the place for good: a second one at the
    same time finds it, and continues only with the same configuration, that is, to write the same bytes.

    Args:
        folder: held by this process (``vision.io.files.exclusive_folder``), or a URL.
        identity: the keys that determine the bytes of its pieces, as JSON values.
        pieces: glob of the files that the configuration makes, for example ``shard-*``.

    Raises:
        DactylError: the folder was begun with another configuration (the message names the differing keys) or with
            none, or contains another command's output, whose record and manifest would be lost.
    """
    path, note = folder / CONFIG, encode_record(Reservation(identity))
    try:
        begun = bool(store.names(folder, pieces))
        if not begun:  # only then: listing a folder of half a million files takes time
            _refuse_others_pieces(folder, pieces)
            begun = is_remote(path) and not store.create(path, note)
    except OSError as error:
        raise DactylError(f"{folder}: cannot write here: {error}; check that place") from error
    if begun and store.size(path) is None:
        raise DactylError(f"{folder}: holds {pieces} but no {CONFIG}; choose another output")
    if begun:
        refuse_other_configuration(folder, identity)
    if not begun and not is_remote(path):
        _refuse_others_files(folder)
        atomic_write(path, note)


def refuse_other_configuration(folder: Location, identity: dict[str, Any]) -> None:
    """Raise DactylError, which names the differing keys, if a folder was begun with another configuration."""
    if changed := differences(read_reservation(folder), identity):
        raise DactylError(
            f"{folder}: was begun with another configuration ({'; '.join(changed)}); choose another output"
        )


def _refuse_others_pieces(folder: Location, pieces: str) -> None:
    """Raise DactylError for output of another command than the one that makes these pieces."""
    for others in _PIECES:
        if others != pieces and (found := store.names(folder, others)):
            raise DactylError(f"{folder}: holds {found[0]}, which another command made; choose another output")


def _refuse_others_files(folder: Location) -> None:
    """Raise DactylError for files with these common names that are not ours and would be lost."""
    lost = None if (folder / CONFIG).exists() else folder / MANIFEST
    try:
        if lost is None:
            read_reservation(folder)
    except DactylError:
        lost = folder / CONFIG
    if lost is not None and lost.exists():
        raise DactylError(f"{lost}: not made by this version, and would be lost; choose another output")
