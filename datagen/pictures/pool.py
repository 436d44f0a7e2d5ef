"""Pools of pictures that consecutive samples share, and the sources that samples store of them.

A source is "<kind>:<seed>:<number>" for what is drawn by our own code, or "picture:<file>".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from datagen.pictures.texture_files import bytes_hash
from datagen.variation import generator

Picture = TypeVar("Picture")

_SAMPLES_PER_POOL = 128  # consecutive ones share a pool, so that a renderer of one shard uploads few pictures
_PICTURE = "picture"


class PoolConfig(Protocol):
    """What a configuration says of where its pictures come from.

    Attributes:
        kinds: procedural ones to draw.
        folder: folder of pictures to use too; None for procedural ones only.
        folder_fraction: share of draws that are pictures of the folder, where there is one.
        pool: number of different ones that 128 consecutive samples share.
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
    """Raise ValueError for kinds that there are not, or a pool of more than ``most`` pictures."""
    if not config.kinds or (unknown := set(config.kinds) - set(kinds)):
        named = f"'{min(unknown)}'" if config.kinds else "none"
        raise ValueError(f"kinds: expected some of {', '.join(kinds)}, got {named}")
    if not 1 <= config.pool <= most:
        raise ValueError(f"pool: must lie between 1 and {most}, got {config.pool}")


def draw_number(config: PoolConfig, index: int, rng: np.random.Generator) -> int:
    """Which picture of all of a dataset's sample ``index`` has."""
    return index // _SAMPLES_PER_POOL * config.pool + int(rng.integers(config.pool))


def source_of(config: PoolConfig, what: str, seed: int, number: int, files_of: Callable[[Path], Sequence[Path]]) -> str:
    """The source of picture ``number`` of the dataset with ``seed``; ``what`` it is names its generator."""
    rng = generator(seed, number, f"{what}.source")
    from_folder, kind = rng.random() < config.folder_fraction, str(rng.choice(config.kinds))
    if config.folder is None or not from_folder:
        return f"{kind}:{seed}:{number}"
    paths = files_of(config.folder)
    return f"{_PICTURE}:{paths[int(rng.integers(len(paths)))]}"


def opened(
    source: str,
    what: str,
    kinds: Collection[str],
    read: Callable[[Path], Picture],
    draw: Callable[[np.random.Generator, str], Picture],
) -> Picture | None:
    """The picture of a source, read from its file or drawn again; None where it names no kind."""
    kind, _, rest = source.partition(":")
    if kind == _PICTURE:
        return read(Path(rest))
    seed, _, number = rest.partition(":")
    if kind not in kinds or not (seed.isdecimal() and number.isdecimal()):
        return None
    return draw(generator(int(seed), int(number), f"{what}.{kind}"), kind)


def files_hash(folder: Path, paths: Sequence[Path]) -> str:
    """Tells folders of pictures apart by the names and sizes in them."""
    files = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]
    return bytes_hash(repr(files).encode())
