"""Where the members of a shard lie in its tar.

Walking the headers of a million samples takes a minute and a half; so a shard's record says where its members lie, and
opening a dataset reads no tar. The record need not be believed: :func:`read_member` compares the member's own header,
and a shard without a layout that fits it is walked.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.errors import DactylError

_BLOCK = tarfile.BLOCKSIZE  # of headers, and what contents are padded to
_NAME, _SIZE, _TYPE = slice(0, 100), slice(124, 136), slice(156, 157)  # fields of a header


@dataclass(frozen=True, eq=False)
class ShardLayout:
    """n samples of m members each.

    Attributes:
        members: suffixes that every sample has, in the tar's order, for example ``left.jpg``.
        indices: sample numbers in the tar's order, (n,) int64.
        offsets: of the contents, bytes, (n, m) int64.
        sizes: of the contents, bytes, (n, m) int64.
    """

    members: tuple[str, ...]
    indices: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ShardLayout)
            and self.members == other.members
            and all(np.array_equal(getattr(self, key), getattr(other, key)) for key in ("indices", "offsets", "sizes"))
        )

    @classmethod
    def of_sizes(cls, members: Sequence[str], rows: NDArray[np.int64]) -> ShardLayout:
        """Of a tar as we write it, header and content by turns: ``rows`` (n, 1 + m) are sample number and sizes."""
        sizes = rows[:, 1:]
        padded = -(-sizes // _BLOCK) * _BLOCK
        ends = np.cumsum(_BLOCK + padded).reshape(sizes.shape)
        return cls(tuple(members), rows[:, 0], ends - padded, sizes)

    def to_json(self) -> dict[str, Any]:
        """A line for each sample: its number, then the sizes of its members."""
        rows = np.column_stack([self.indices, self.sizes])
        return {"members": list(self.members), "samples": [" ".join(map(str, row)) for row in rows.tolist()]}

    @classmethod
    def from_json(cls, fields: Any, bytes_in_tar: int) -> ShardLayout | None:
        """None where the fields describe no tar of that many bytes."""
        try:
            members = [str(member) for member in fields["members"]]
            rows = np.array([line.split() for line in fields["samples"]], dtype=np.int64)
            if rows.ndim != 2 or rows.shape[1] != 1 + len(members) or (rows < 0).any() or not rows[:, 1:].all():
                return None
            if (rows[:, 1:] > bytes_in_tar).any():  # their sum could overflow, and fit
                return None
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None
        layout = cls.of_sizes(members, rows)
        return layout if layout._tar_bytes() == bytes_in_tar else None

    def _tar_bytes(self) -> int:
        """With the two empty blocks that end a tar, in whole records."""
        content = int((_BLOCK + -(-self.sizes // _BLOCK) * _BLOCK).sum())
        return -(-(content + 2 * _BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def scan_tar(path: Path, samples: int, required: Collection[str], optional: Collection[str]) -> ShardLayout:
    """The layout that the tar's own headers give. Only plain files with the names that we write pass.

    Args:
        path: of the tar.
        samples: that it has to hold.
        required: suffixes that every sample has.
        optional: suffixes that all samples or none have.

    Raises:
        DactylError: not a tar, a foreign member, an incomplete sample, or another number of samples.
    """
    again = "delete it and rerun dactyl render"
    keys: list[str] = []
    rows: list[dict[str, tuple[int, int]]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                known = suffix in required or suffix in optional
                if not member.isreg() or member.issparse() or not known or not _is_key(key):
                    raise DactylError(f"{path}: unexpected member '{member.name}'; {again}")
                if not keys or key != keys[-1] or suffix in rows[-1]:
                    keys.append(key)
                    rows.append({})
                rows[-1][suffix] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise DactylError(f"{path}: not a readable tar ({error}); {again}") from error
    members = tuple(rows[0]) if rows else tuple(sorted(required))
    for key, row in zip(keys, rows, strict=True):
        if tuple(row) != members or not row.keys() >= set(required) or not all(size for _, size in row.values()):
            raise DactylError(f"{path}: sample '{key}' is incomplete; {again}")
    if len(keys) != samples:
        raise DactylError(f"{path}: {len(keys)} samples, the manifest says {samples}; {again}")
    places = np.array([list(row.values()) for row in rows], np.int64).reshape(len(rows), len(members), 2)
    return ShardLayout(members, np.array([int(key) for key in keys], np.int64), places[..., 0], places[..., 1])


def read_member(path: Path, name: str, offset: int, size: int) -> bytes:
    """Content of a member, after comparing the header before it.

    Raises:
        DactylError: the tar cannot be read, or has something else in this place.
    """
    try:
        with path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), _BLOCK + size, offset - _BLOCK)
    except OSError as error:
        raise DactylError(f"{path}: cannot read: {error.strerror}; was the dataset moved or deleted?") from error
    header, content = data[:_BLOCK], data[_BLOCK:]
    expected = (name.encode(), b"%011o" % size, tarfile.REGTYPE)
    if tuple(header[field].rstrip(b"\0 ") for field in (_NAME, _SIZE, _TYPE)) != expected or len(content) != size:
        raise DactylError(f"{path}: {name} is not where it was; run dactyl check, or make the dataset again")
    return content


def sample_key(index: int) -> str:
    """Key of a sample in its tar: no dots, for WebDataset splits at the first one."""
    return f"{index:09d}"


def _is_key(key: str) -> bool:
    return key.isdecimal() and key.isascii() and key == sample_key(int(key))
