"""Positions of a shard's members in its tar.

Reading the headers of a million samples takes a minute and a half. A shard's record therefore contains the positions of
its members, and opening a dataset reads no tar. The record need not be trusted: :func:`read_member` compares the
member's own header, and a shard without a matching layout is scanned.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vision.errors import DactylError
from vision.io.decode import Record, Text
from vision.io.files import open_regular
from vision.storage.integrity import REMAKE

_BLOCK = tarfile.BLOCKSIZE  # size of headers, to which contents are padded
# Fields of a header.
_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
_TYPE, _PREFIX = slice(156, 157), slice(345, 500)
_OCTAL = re.compile("[0-7]{1,11}")

_MAX_MEMBER_BYTES = 64 << 20  # an image of 4096 pixels has some 30 MB at most


class LayoutRecord(Record, frozen=True):
    """A layout in a shard's record file.

    Attributes:
        members: suffixes.
        samples: a line for each sample: its number, then the sizes of its members.
    """

    members: tuple[Text, ...]
    samples: tuple[Text, ...]


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
        """Return the layout of a tar as we write it, with alternating headers and contents: ``rows`` (n, 1 + m) are
        sample number and sizes."""
        sizes = rows[:, 1:]
        padded = -(-sizes // _BLOCK) * _BLOCK
        ends = np.cumsum(_BLOCK + padded).reshape(sizes.shape)
        return cls(tuple(members), rows[:, 0], ends - padded, sizes)

    def to_record(self) -> LayoutRecord:
        """Return the record of this layout for a shard's record file."""
        rows = np.column_stack([self.indices, self.sizes])
        return LayoutRecord(self.members, tuple(" ".join(map(str, row)) for row in rows.tolist()))

    @classmethod
    def from_record(cls, record: LayoutRecord, bytes_in_tar: int) -> ShardLayout | None:
        """Return the layout of a record; None if it does not describe a tar of that many bytes."""
        members = record.members
        try:
            rows = np.array([line.split() for line in record.samples], dtype=np.int64)
        except (OverflowError, ValueError):
            return None
        if rows.ndim != 2 or rows.shape[1] != 1 + len(members) or (rows < 0).any() or not rows[:, 1:].all():
            return None
        if (rows[:, 1:] > min(bytes_in_tar, _MAX_MEMBER_BYTES)).any():  # their sum could overflow and match
            return None
        layout = cls.of_sizes(members, rows)
        return layout if layout._tar_bytes() == bytes_in_tar else None

    def _tar_bytes(self) -> int:
        """Return the size with the two empty blocks that end a tar, in whole records."""
        content = int((_BLOCK + -(-self.sizes // _BLOCK) * _BLOCK).sum())
        return -(-(content + 2 * _BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def scan_tar(path: Path, samples: int, required: Collection[str], optional: Collection[str]) -> ShardLayout:
    """Read the layout from the tar's own headers. Only plain files with the names that we write are accepted.

    Args:
        path: path of the tar.
        samples: required number of samples.
        required: suffixes that every sample has.
        optional: suffixes that all samples or none have.

    Raises:
        DactylError: not a tar, a foreign member, an incomplete sample, or another number of samples.
    """
    try:
        with open_regular(path) as file:
            keys, rows = _gather(_walk_headers(file.fileno()), samples, {*required, *optional})
    except (OSError, ValueError) as error:
        raise DactylError(f"{path}: {error}; {REMAKE}") from None
    members = tuple(rows[0]) if rows else tuple(sorted(required))
    for key, row in zip(keys, rows, strict=True):
        if tuple(row) != members or not row.keys() >= set(required) or not all(size for _, size in row.values()):
            raise DactylError(f"{path}: sample '{key}' is incomplete; {REMAKE}")
    if len(keys) != samples:
        raise DactylError(f"{path}: {len(keys)} samples, the manifest says {samples}; {REMAKE}")
    places = np.array([list(row.values()) for row in rows], np.int64).reshape(len(rows), len(members), 2)
    return ShardLayout(members, np.array([int(key) for key in keys], np.int64), places[..., 0], places[..., 1])


def _gather(
    members: Iterable[tuple[str, int, int]], most: int, suffixes: set[str]
) -> tuple[list[str], list[dict[str, tuple[int, int]]]]:
    """Return the keys of at most ``most`` samples and the positions of each one's members, by suffix; ValueError for
    foreign members."""
    keys: list[str] = []
    rows: list[dict[str, tuple[int, int]]] = []
    for name, offset, size in members:
        key, _, suffix = name.partition(".")
        if suffix not in suffixes or not _is_key(key):
            raise ValueError(f"unexpected member '{name}'")
        if not keys or key != keys[-1] or suffix in rows[-1]:
            if len(keys) == most:
                raise ValueError(f"more samples than the {most} that the manifest says")
            keys.append(key)
            rows.append({})
        rows[-1][suffix] = (offset, size)
    return keys, rows


def _walk_headers(descriptor: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each member of a tar, in its order.

    Python's ``tarfile`` trusts headers: a negative size sends it back to an earlier position, forever, and a long name
    or an extended header is read completely. Shards use none of the format's extensions, so any is refused here: a size
    is eleven octal digits, every header is behind the one before, and only a header's own 512 bytes are read.

    Raises:
        ValueError: a header is invalid, damaged, or not a plain file's.
    """
    end, position = os.fstat(descriptor).st_size, 0
    while header := os.pread(descriptor, _BLOCK, position):
        if len(header) < _BLOCK:
            raise ValueError("not a whole tar: its last header is cut short")
        if not any(header):
            return
        name, size, kind, checksum = (
            header[field].rstrip(b"\0 ").decode("ascii", "backslashreplace")
            for field in (_NAME, _SIZE, _TYPE, _CHECKSUM)
        )
        # The sum is taken as if the checksum's own field held blanks.
        if not _OCTAL.fullmatch(checksum) or int(checksum, 8) != sum(header) - sum(header[_CHECKSUM]) + 8 * 32:
            raise ValueError(f"not a readable tar: no header at byte {position:,}")
        if kind not in ("", "0") or any(header[_PREFIX]):
            raise ValueError(f"unexpected member '{name}', which is no plain file")
        if not _OCTAL.fullmatch(size) or position + _BLOCK + int(size, 8) > end:
            raise ValueError(f"member '{name}' does not say its size, or is cut short")
        if int(size, 8) > _MAX_MEMBER_BYTES:
            raise ValueError(f"member '{name}' has {int(size, 8):,} bytes, more than any of ours")
        yield name, position + _BLOCK, int(size, 8)
        position += _BLOCK + -(-int(size, 8) // _BLOCK) * _BLOCK
    raise ValueError("not a whole tar: its end is missing")


def read_member(path: Path, name: str, offset: int, size: int) -> bytes:
    """Read the content of a member, after checking the header before it.

    Raises:
        DactylError: the tar cannot be read, or has something else at this position.
    """
    try:
        with open_regular(path) as file:
            data = os.pread(file.fileno(), _BLOCK + size, offset - _BLOCK)
    except OSError as error:
        raise DactylError(
            f"{path}: cannot read: {error.strerror or error}; was the dataset moved or deleted?"
        ) from error
    header, content = data[:_BLOCK], data[_BLOCK:]
    expected = (name.encode(), b"%011o" % size, tarfile.REGTYPE)
    if tuple(header[field].rstrip(b"\0 ") for field in (_NAME, _SIZE, _TYPE)) != expected or len(content) != size:
        raise DactylError(f"{path}: {name} is not where it was; run dactyl check, or make the dataset again")
    return content


def sample_key(index: int) -> str:
    """Return the key of a sample in its tar: without dots, because WebDataset splits at the first one."""
    return f"{index:09d}"


def _is_key(key: str) -> bool:
    return key.isdecimal() and key.isascii() and key == sample_key(int(key))
