"""Pools of images that consecutive samples share, and the sources by which samples store them.

A source is "<kind>:<seed>:<number>" for a procedural image, or "picture:<absolute path>".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from datagen.pictures.texture_files import bytes_hash
from datagen.variation import generator
from vision.errors import DactylError


class Named(Protocol):
    """An image with a name that states its content by a hash."""

    @property
    def name(self) -> str: ...


Picture = TypeVar("Picture", bound=Named)

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


class ImagePool(Generic[Picture]):
    """Images of one purpose, procedural or from a folder, which a process remembers once they were made or read.

    Args:
        what: what an image is, in names of generators and in errors.
        kinds: kinds of procedural images.
        most: largest number of different images that 128 consecutive samples may share.
        draw: draws an image of a kind.
        read: reads the image in a file.
        files: finds the images in a folder.
        remembered: number of images that are remembered.
    """

    def __init__(
        self,
        what: str,
        kinds: Collection[str],
        most: int,
        draw: Callable[[np.random.Generator, str], Picture],
        read: Callable[[Path], Picture],
        files: Callable[[Path], Sequence[Path]],
        remembered: int,
    ) -> None:
        self._what, self._kinds, self._most = what, kinds, most
        self._draw, self._read = draw, read
        self._files = lru_cache(maxsize=4)(files)
        self._hashed = lru_cache(maxsize=4)(self._hash)
        self._opened = lru_cache(maxsize=remembered)(self._open)

    def check(self, config: PoolConfig) -> None:
        """Raise ValueError for no or unknown kinds, or a pool that is empty or too large."""
        if not config.kinds or (unknown := set(config.kinds) - set(self._kinds)):
            named = f"'{min(unknown)}'" if config.kinds else "none"
            raise ValueError(f"kinds: expected some of {', '.join(self._kinds)}, got {named}")
        if not 1 <= config.pool <= self._most:
            raise ValueError(f"pool: must lie between 1 and {self._most}, got {config.pool}")

    def number(self, config: PoolConfig, index: int, rng: np.random.Generator) -> int:
        """Draw the number, in the dataset, of the image that sample ``index`` uses."""
        return index // _SAMPLES_PER_POOL * config.pool + int(rng.integers(config.pool))

    def source(self, config: PoolConfig, seed: int, number: int) -> str:
        """Draw the source of image ``number`` of the dataset with ``seed``."""
        rng = generator(seed, number, f"{self._what}.source")
        from_folder, kind = rng.random() < config.folder_fraction, str(rng.choice(config.kinds))
        if config.folder is None or not from_folder:
            return f"{kind}:{seed}:{number}"
        paths = self._files(config.folder)
        return f"{_PICTURE}:{paths[int(rng.integers(len(paths)))].absolute()}"  # it may be read again from elsewhere

    def image(self, source: str, name: str | None = None) -> Picture:
        """Return the image of a source, read from its file or drawn again.

        Raises:
            DactylError: the source names no kind, a file that is no image, or an image of another name than the given.
        """
        found = self._opened(source)
        if name is not None and found.name != name:
            raise DactylError(
                f"{self._what} {source}: the image is now {found.name}, the sample was drawn with {name}; "
                "put the old picture back, or render the dataset again"
            )
        return found

    def folder_hash(self, folder: Path) -> str:
        """Return a hash of the names and sizes of the images that a folder had when it was first looked into."""
        return self._hashed(folder)

    def forget(self) -> None:
        """Forget the images and the content of folders, which are then looked up again."""
        self._files.cache_clear()
        self._hashed.cache_clear()
        self._opened.cache_clear()

    def _hash(self, folder: Path) -> str:
        files = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in self._files(folder)]
        return bytes_hash(repr(files).encode())

    def _open(self, source: str) -> Picture:
        kind, _, rest = source.partition(":")
        if kind == _PICTURE:
            return self._read(Path(rest))
        seed, _, number = rest.partition(":")
        if kind not in self._kinds or not (seed.isdecimal() and number.isdecimal()):
            raise DactylError(f"'{source[:80]}' names no {self._what}; make the dataset again with this version")
        return self._draw(generator(int(seed), int(number), f"{self._what}.{kind}"), kind)
