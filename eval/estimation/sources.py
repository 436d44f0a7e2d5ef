"""Where triplets of pictures come from: recordings, plain folders, files and datasets, all read alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.estimation.config import EstimateConfig
from eval.laboratory.pictures import read_picture
from eval.laboratory.triplets import (
    FoundTriplets,
    named_triplets,
    picture_streams,
    pictures_beside_each_other,
    recorded_triplets,
    sample_pictures,
)
from eval.spacing import evenly_spaced
from vision.errors import DactylError
from vision.scene.scene import Scene, require_same
from vision.storage.datasets import TripletDataset
from vision.storage.folders import MANIFEST
from vision.storage.layout import sample_key


@dataclass(frozen=True)
class Shot:
    """Pictures of one moment.

    Attributes:
        key: what it is called, part of file names.
        pictures: (h, w, 3) uint8 RGB, one for each camera in rig order, of any size.
        where: each of them comes from, for messages.
        time_s: seconds; None where nobody knows.
    """

    key: str
    pictures: list[np.ndarray]
    where: list[str]
    time_s: float | None = None


@dataclass(frozen=True)
class Source:
    """Shots that can be read by number.

    Attributes:
        name: for messages.
        count: how many there are.
        read: one of them.
        remarks: what the user should know of them.
        files: that they are read from, where these are pictures of the user's own.
    """

    name: str
    count: int
    read: Callable[[int], Shot]
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def shots(self, limit: int | None) -> tuple[list[int], Iterator[Shot]]:
        """Numbers of at most ``limit`` shots, evenly spaced, and the shots, read as they are asked for."""
        numbers = evenly_spaced(self.count, self.count if limit is None else limit)
        return numbers, map(self.read, numbers)


def open_source(config: EstimateConfig, scene: Scene) -> Source:
    """What a configuration names; ``scene`` is the network's.

    Raises:
        DactylError: there are no pictures, or not of all cameras, or a dataset of something else.
    """
    rig = scene.rig
    if config.cameras:
        name = str(config.cameras.get(rig.names[0], "pictures"))
        paths = {name: Path(source) for name, source in config.cameras.items()}
        return _files(name, named_triplets(paths, rig), config)
    folder = config.pictures
    assert folder is not None
    if not folder.is_dir():
        raise DactylError(f"{folder}: no such folder of pictures; check the path, or name files with --cameras")
    if (folder / MANIFEST).exists():
        return _dataset(folder, scene)
    if any((folder / f"{name}.csv").exists() for name in rig.names):
        return _files(
            str(folder),
            recorded_triplets(picture_streams(folder, rig), config.tolerance_s),
            config,
            _calibrated(folder, config),
        )
    if any((folder / name).is_dir() for name in rig.names):
        return _files(str(folder), named_triplets({name: folder / name for name in rig.names}, rig), config)
    if (found := pictures_beside_each_other(folder, rig)) is not None:
        return _files(str(folder), found, config)
    first = rig.names[0]
    raise DactylError(
        f"{folder}: no pictures of the cameras {', '.join(rig.names)}; expected {first}.csv, a folder {first}, or "
        f"files like {first}.png or {first}-0001.png"
    )


def _dataset(folder: Path, scene: Scene) -> Source:
    dataset = TripletDataset(folder)
    require_same(scene, dataset.scene, f"{folder}: not what the network was trained on", to_a_network=True)

    def read(number: int) -> Shot:
        return Shot(sample_key(int(dataset.indices[number])), *sample_pictures(dataset, number))

    return Source(str(folder), len(dataset), read)


def _files(name: str, found: FoundTriplets, config: EstimateConfig, remarks: Sequence[str] = ()) -> Source:
    if not found.triplets:
        raise DactylError(
            f"{name}: no picture of the first camera has one of each other camera within tolerance_s "
            f"{config.tolerance_s:g} s; one clock for all, or raise it"
        )

    def read(number: int) -> Shot:
        triplet = found.triplets[number]
        pictures = [read_picture(path, config.picture_bits) for path in triplet.files]
        return Shot(triplet.key, pictures, [str(path) for path in triplet.files], triplet.time_s)

    alone = (f"{name}: {found.alone} pictures left out: no partners of the other cameras",) if found.alone else ()
    files = tuple(path for triplet in found.triplets for path in triplet.files)
    return Source(name, len(found.triplets), read, (*alone, *remarks), files)


def _calibrated(folder: Path, config: EstimateConfig) -> list[str]:
    """A remark where a recording has a calibration that nobody asked for."""
    path = folder / "calibration.json"
    if not path.exists() or config.calibration is not None or config.lenses:
        return []
    return [f"{path}: not used; --calibration {path} tells the network where the cameras are"]
