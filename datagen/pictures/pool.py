"""Pools of images that consecutive samples share, and the sources by which samples store them.

A source is "<kind>:<seed>:<number>" for a procedural image, or "picture:<absolute path>".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from datagen.pictures.texture_files import bytes_hash
from datagen.variation import generator

Picture = TypeVar("Picture")

_SAMPLES_PER_POOL = 128  # consecutive samples share a pool, so that a shard's renderer uploads few images
_PICTURE = "picture"


class PoolConfig(Protocol):
    """Part of a configuration that states the source of images.

    Attributes:
        kinds: kinds of procedural images to draw.
        folder: folder of images to use as well; None for procedural ones only.
        folder_fraction: fraction of draws that are images of the folder, if there is one.
        pool: number of different images that 128 consecutive samples share.
    """

    @property
    def kinds(self) -> tuple[str, ...]: ...
    @property
    def folder(self) -> Path | None: ...
    @property
    def folder_fraction(self) -> float: ...
    @property
    def pool(self) -> int: ...


def check_pool(config: PoolConfig, kinds: Collection[str], most: int) -> None:
    """Raise ValueError for no or unknown kinds, or a pool that is empty or has more than ``most`` images."""
    if not config.kinds or (unknown := set(config.kinds) - set(kinds)):
        named = f"'{min(unknown)}'" if config.kinds else "none"
        raise ValueError(f"kinds: expected some of {', '.join(kinds)}, got {named}")
    if not 1 <= config.pool <= most:
        raise ValueError(f"pool: must lie between 1 and {most}, got {config.pool}")


def draw_number(config: PoolConfig, index: int, rng: np.random.Generator) -> int:
    """Draw the number, in the dataset, of the image that sample ``index`` uses."""
    return index // _SAMPLES_PER_POOL * config.pool + int(rng.integers(config.pool))


def source_of(config: PoolConfig, what: str, seed: int, number: int, files_of: Callable[[Path], Sequence[Path]]) -> str:
    """Draw the source of image ``number`` of the dataset with ``seed``; ``what`` names its generator."""
    rng = generator(seed, number, f"{what}.source")
    from_folder, kind = rng.random() < config.folder_fraction, str(rng.choice(config.kinds))
    if config.folder is None or not from_folder:
        return f"{kind}:{seed}:{number}"
    paths = files_of(config.folder)
    return f"{_PICTURE}:{paths[int(rng.integers(len(paths)))].absolute()}"  # it may be read again from another folder


def opened(
    source: str,
    what: str,
    kinds: Collection[str],
    read: Callable[[Path], Picture],
    draw: Callable[[np.random.Generator, str], Picture],
) -> Picture | None:
    """Return the image of a source, read from its file or drawn again; None if it names no kind."""
    kind, _, rest = source.partition(":")
    if kind == _PICTURE:
        return read(Path(rest))
    seed, _, number = rest.partition(":")
    if kind not in kinds or not (seed.isdecimal() and number.isdecimal()):
        return None
    return draw(generator(int(seed), int(number), f"{what}.{kind}"), kind)


def files_hash(folder: Path, paths: Sequence[Path]) -> str:
    """Return a hash of the names and sizes of a folder's images."""
    files = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]
    return bytes_hash(repr(files).encode())
