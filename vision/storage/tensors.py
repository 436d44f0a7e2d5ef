"""Files written by ``torch.save``: read completely or refused, without running code or trusting their sizes.

Such a file is a zip archive. Ours are stored without compression, so that their content is never larger than they are.
``torch.load`` itself checks no checksum.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vision.errors import DactylError, shortened
from vision.io.files import open_regular

Module = TypeVar("Module", bound=nn.Module)

_MAX_BYTES = 4 << 30  # largest file
_MAX_MEMBERS = 100_000  # tensors of a network, its optimiser and its average
_MAX_PICKLE_BYTES = 4 << 20  # largest pickle, which names the tensors; some 100 bytes each
_TAIL = 22 + 20 + 56  # bytes: the records that end an archive, without a comment


def load_tensors(path: Path, what: str, again: str) -> Any:
    """Load the content of a ``torch.save`` file: tensors and plain values only, and only if every checksum matches.

    Args:
        what: kind of file, for messages.
        again: advice if it is damaged, for messages.

    Raises:
        DactylError: the file is missing, not a regular file, damaged, too large, or not of plain values.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            _check_members(size, os.pread(file.fileno(), _TAIL, max(0, size - _TAIL)))
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                    raise ValueError("a compressed archive, which torch does not write")
                if sum(member.file_size for member in members) > size:
                    raise ValueError("its members claim more bytes than it has")
                if any(member.file_size > _MAX_PICKLE_BYTES for member in members if member.filename.endswith(".pkl")):
                    raise ValueError("names more tensors than any network has")
                if (damaged := archive.testzip()) is not None:
                    raise DactylError(f"{path}: damaged at '{shortened(damaged, 60)}'; {again}")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DactylError(f"{path}: no such {what}; check the path") from None
    except (DactylError, MemoryError):
        raise
    except Exception as error:  # a hostile or damaged file may raise anything
        reason = shortened((str(error).splitlines() or [""])[0] or type(error).__name__, 120)
        raise DactylError(f"{path}: not a readable {what} ({reason}); {again}") from error


def _check_members(size: int, tail: bytes) -> None:
    """Raise a ValueError for an archive that is too large, or has too many members."""
    if size > _MAX_BYTES:
        raise ValueError(f"{size:,} bytes, more than {_MAX_BYTES:,}")
    end = tail.rfind(b"PK\5\6")
    members = int.from_bytes(tail[end + 10 : end + 12], "little")
    if members == 0xFFFF and (end := tail.rfind(b"PK\6\6")) >= 0:  # its maximum: the longer record has the number
        members = int.from_bytes(tail[end + 32 : end + 40], "little")
    if end < 0 or members > _MAX_MEMBERS:
        raise ValueError("not a zip archive as torch writes it")


def checked_tensors(values: Any, where: str) -> dict[str, Tensor]:
    """Return tensors by name, as a network loads them.

    Raises:
        DactylError: there are no names, or a value is not a dense tensor of finite numbers.
    """
    if not isinstance(values, Mapping):
        raise DactylError(f"{where}: expected tensors by name, got {type(values).__name__}; train again")
    for name, value in values.items():
        if not isinstance(name, str):
            raise DactylError(f"{where}: expected a tensor's name, got {shortened(repr(name), 60)}; train again")
        if (fault := tensor_fault(value)) is not None:
            raise DactylError(f"{where}: tensor '{shortened(name, 100)}' {fault}; train again")
    return dict(values)


def tensor_fault(value: Any) -> str | None:
    """Return what is wrong with a tensor from a file; None if nothing is."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
        return "is none, or is not a dense one"
    if value.is_quantized or value.dtype.is_complex or value.is_nested:
        return f"is of a kind that no network of ours has ({value.dtype})"
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        return "claims more numbers than the file holds"  # one number, expanded to gigabytes
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        return "has numbers that are not finite (NaN or infinity): it has learnt nothing that can be used"
    return None


def first_mismatched_tensor(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """Return the first tensor by name that only one of them has, or whose shape or type differs; None if all match."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            return name
        if expected[name].shape != found[name].shape or expected[name].dtype != found[name].dtype:
            return name
    return None


def fitted(build: Callable[[], Module], tensors: Mapping[str, Tensor], where: str) -> Module:
    """Build a network with ``build`` and load the tensors of a file into it.

    It is first built without memory for its numbers: no file makes a network larger than its content.

    Raises:
        DactylError: a tensor does not fit it.
    """
    with torch.device("meta"):
        outline = build().state_dict()
    if (name := first_mismatched_tensor(outline, tensors)) is not None:
        raise DactylError(
            f"{where}: its tensor '{shortened(name, 100)}' does not fit the network it names; train again"
        )
    network = build()
    network.load_state_dict(tensors)
    return network
