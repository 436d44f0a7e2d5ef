"""The comparison of every shard with its hash, and the advice where a shard fails."""

from __future__ import annotations

from vision.errors import DactylError
from vision.io.store import Location

RERUN = "rerun dactyl render or dactyl import-recording, whichever made it"
REMAKE = f"delete it and {RERUN}"


def require_hash(path: Location, found: str, expected: str) -> None:
    """Raise DactylError unless the shard at ``path`` has the SHA-256 that its dataset's manifest states."""
    if found != expected:
        raise DactylError(f"{path}: content differs from the manifest; {REMAKE}")
