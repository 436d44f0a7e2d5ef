"""Triplets of a laboratory: recordings, plain folders, files and datasets, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.pictures import read_picture
from eval.laboratory.triplets import (
    FoundTriplets,
    named_triplets,
    picture_streams,
    pictures_beside_each_other,
    recorded_triplets,
    sample_pictures,
)
from vision.errors import DactylError
from vision.rigs.rig import Rig
from vision.scene.scene import Scene, require_same
from vision.statistics.spacing import evenly_spaced
from vision.storage.datasets import TripletDataset
from vision.storage.folders import has_manifest
from vision.storage.layout import sample_key


@dataclass(frozen=True)
class Shot:
    """Images of one moment.

    Attributes:
        key: its name; part of file names.
        pictures: (h, w, 3) uint8 RGB, one for each camera in rig order, of any size.
        where: origin of each image, for messages.
        time_s: seconds; None if unknown.
        times_s: seconds, of each image of live cameras; empty otherwise.
    """

    key: str
    pictures: list[np.ndarray]
    where: list[str]
    time_s: float | None = None
    times_s: tuple[float, ...] = ()

    @property
    def spread_s(self) -> float:
        """Time between the first and the last image of live cameras, seconds."""
        return max(self.times_s) - min(self.times_s) if self.times_s else 0.0


@dataclass(frozen=True)
class Source:
    """Shots that can be read by number.

    Attributes:
        name: its name, for messages.
        count: number of shots.
        read: reads one shot.
        remarks: what the user should know about them.
        files: the user's image files that they are read from; empty for a dataset.
        dataset: the dataset that they are read from, if they are.
    """

    name: str
    count: int
    read: Callable[[int], Shot]
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    dataset: TripletDataset | None = None

    def shots(self, limit: int | None) -> tuple[list[int], Iterator[Shot]]:
        """Return the numbers of at most ``limit`` evenly spaced shots, and the shots, each read when it is needed."""
        numbers = evenly_spaced(self.count, self.count if limit is None else limit)
        return numbers, map(self.read, numbers)


def open_folder(folder: Path, scene: Scene, tolerance_s: float, picture_bits: int | None) -> Source:
    """Open a recording, a folder of images or a dataset.

    Args:
        folder: the folder.
        scene: the network's.
        tolerance_s: largest time between the images of a triplet of a recording.
        picture_bits: number of significant bits in 16-bit PNG images; None to tell them from the values.

    Raises:
        DactylError: images are missing, or not there for all cameras, or a dataset is of another scene.
    """
    rig = scene.rig
    if not folder.is_dir():
        raise DactylError(f"{folder}: no such folder of pictures; check the path")
    if has_manifest(folder):
        return _dataset(folder, scene)
    if _has_all(folder, rig, ".csv"):
        found = recorded_triplets(picture_streams(folder, rig), tolerance_s)
        found.refuse_none(str(folder), tolerance_s)
        return _files(str(folder), found, picture_bits)
    if _has_all(folder, rig):
        return _files(str(folder), named_triplets({name: folder / name for name in rig.names}, rig), picture_bits)
    if (beside := pictures_beside_each_other(folder, rig)) is not None:
        return _files(str(folder), beside, picture_bits)
    first = rig.names[0]
    raise DactylError(
        f"{folder}: no pictures of the cameras {', '.join(rig.names)}; expected {first}.csv, a folder {first}, or "
        f"files like {first}.png or {first}-0001.png"
    )


def open_files(sources: Mapping[str, str], rig: Rig, picture_bits: int | None) -> Source:
    """Open one file or folder of each camera, by its name.

    Raises:
        DactylError: a camera is missing, or the folders have no image names in common.
    """
    name = str(sources.get(rig.names[0], "pictures"))
    return _files(name, named_triplets({key: Path(each) for key, each in sources.items()}, rig), picture_bits)


def _has_all(folder: Path, rig: Rig, ending: str = "") -> bool:
    """Return whether a folder has an entry for each camera; raise DactylError if it has one for some of them only."""
    present = [(folder / f"{name}{ending}").exists() for name in rig.names]
    if any(present) and not all(present):
        raise DactylError(
            f"{folder}: has no {rig.names[present.index(False)]}{ending}; the network's cameras are "
            f"{', '.join(rig.names)} (another network: --checkpoint)"
        )
    return all(present)


def _dataset(folder: Path, scene: Scene) -> Source:
    dataset = TripletDataset(folder)
    require_same(scene, dataset.scene, f"{folder}: not what the network was trained on", to_a_network=True)

    timed = dataset.manifest.recording is not None  # an imported recording keeps its triplets' times

    def read(number: int) -> Shot:
        time_s = float(dataset.appearance(number)["time_s"]) if timed else None
        return Shot(sample_key(int(dataset.indices[number])), *sample_pictures(dataset, number), time_s)

    return Source(str(folder), len(dataset), read, dataset=dataset)


def _files(name: str, found: FoundTriplets, picture_bits: int | None) -> Source:
    def read(number: int) -> Shot:
        triplet = found.triplets[number]
        pictures = [read_picture(path, picture_bits) for path in triplet.files]
        return Shot(triplet.key, pictures, [str(path) for path in triplet.files], triplet.time_s)

    alone = (f"{name}: {found.alone} pictures left out: no partners of the other cameras",) if found.alone else ()
    files = tuple(path for triplet in found.triplets for path in triplet.files)
    return Source(name, len(found.triplets), read, alone, files)
