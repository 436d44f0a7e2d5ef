"""Grouping of a laboratory's images into triplets, by time stamps or by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.laboratory.capture import PictureStream, read_pictures
from eval.laboratory.pictures import list_pictures
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray
from vision.rigs.rig import Rig
from vision.storage.datasets import TripletDataset


@dataclass(frozen=True)
class TripletFiles:
    """Image files of one moment.

    Attributes:
        key: name of the triplet; part of file names.
        files: one image for each camera, in rig order.
        time_s: mean of the images' times; None if they have none.
    """

    key: str
    files: tuple[Path, ...]
    time_s: float | None = None


@dataclass(frozen=True)
class Triplet:
    """Image files of one moment, in rig order, with its time and the object's pose in the world, (4, 4)."""

    files: tuple[Path, ...]
    time: float
    pose: FloatArray


@dataclass(frozen=True)
class FoundTriplets:
    """Triplets of a folder in order, and the number ``alone`` of images or names without partners."""

    triplets: list[TripletFiles]
    alone: int

    def refuse_none(self, where: str, tolerance_s: float) -> None:
        """Raise DactylError if there are no triplets, as with clocks that differ by more than ``tolerance_s``."""
        if not self.triplets:
            raise DactylError(
                f"{where}: no picture of the first camera has one of each other camera within tolerance_s "
                f"{tolerance_s:g} s; one clock for all, or raise it"
            )


def picture_streams(recording: Path, rig: Rig) -> dict[str, PictureStream]:
    """Read the image stream of each camera of a recording (docs/recording.md), by name in rig order.

    Raises:
        DactylError: a camera's CSV is missing or wrong, or lists another camera's images.
    """
    streams = {name: read_pictures(recording / f"{name}.csv") for name in rig.names}
    owners: dict[Path, str] = {}
    for name, stream in streams.items():
        for file in stream.files:
            if (other := owners.setdefault(file, name)) != name:
                raise DactylError(
                    f"{recording / name}.csv: {file.relative_to(recording)} is a picture of camera '{other}', too; "
                    "each has pictures of its own"
                )
    return streams


def recorded_triplets(streams: Mapping[str, PictureStream], tolerance_s: float) -> FoundTriplets:
    """Combine each image of the first camera with the nearest of the others, at most ``tolerance_s`` seconds apart.

    Raises:
        DactylError: an image file is missing.
    """
    leading, *others = streams.values()
    found, alone = [], 0
    for first, time in enumerate(leading.time):
        pairs = [(leading, first), *((stream, stream.nearest(time)) for stream in others)]
        times = [stream.time[number] for stream, number in pairs]
        if np.ptp(times) > tolerance_s:
            alone += 1
            continue
        files = tuple(stream.files[number] for stream, number in pairs)
        if absent := [file for file in files if not file.exists()]:
            raise DactylError(f"{absent[0]}: no such picture, though its CSV lists it; copy the recording again")
        found.append(TripletFiles(f"{first:06d}", files, float(np.mean(times))))
    return FoundTriplets(found, alone)


def named_triplets(sources: Mapping[str, Path], rig: Rig) -> FoundTriplets:
    """Combine images without times: one file for each camera, or files of the same name in one folder for each camera.

    Args:
        sources: the file or folder of each camera.
        rig: the cameras' rig.

    Raises:
        DactylError: a camera is missing, a folder holds no images, or no name is in all folders.
    """
    sources = rig.in_order(sources, "cameras", "its pictures")
    files = [name for name in rig.names if sources[name].suffix and not sources[name].is_dir()]
    if files and len(files) < len(rig):
        folder = next(name for name in rig.names if name not in files)
        raise DactylError(
            f"camera '{files[0]}' is no folder and camera '{folder}' is one; name only files or only folders"
        )
    if files:
        first = sources[rig.names[0]]
        return FoundTriplets([TripletFiles(first.stem, tuple(sources[name] for name in rig.names))], 0)
    pictures = []
    for name in rig.names:
        listed, _ = list_pictures(sources[name])
        if not listed:
            raise DactylError(f"{sources[name]}: no PNG or JPEG in it; expected pictures of camera '{name}'")
        pictures.append(_by_key(name, ((path.stem, path) for path in listed)))
    return _matched(pictures, str(sources[rig.names[0]]), rig)


def pictures_beside_each_other(folder: Path, rig: Rig) -> FoundTriplets | None:
    """Combine files in one folder that are named after cameras: ``left.png``, ``left-0001.png``, ``0001_left.png``.

    Returns None if no camera has such a file.
    """
    listed, _ = list_pictures(folder)
    pictures: list[dict[str, Path]] = []
    for name in rig.names:
        called = re.compile(rf"(?:(.*)[-_. ])?{re.escape(name)}(?:[-_. ](.*))?")
        matches = ((path, called.fullmatch(path.stem)) for path in listed)
        keys = (("-".join(filter(None, match.groups())), path) for path, match in matches if match)
        pictures.append(_by_key(name, keys))
    if not any(pictures):
        return None
    return _matched(pictures, str(folder), rig)


def sample_pictures(dataset: TripletDataset, number: int) -> tuple[list[np.ndarray], list[str]]:
    """Return the images (H, W, 3) uint8 of a dataset's sample in rig order, each of its camera's size, and their
    origins."""
    pictures = dataset.rig.without_padding(dataset[number]["images"])
    return pictures, [dataset.where(number)] * len(pictures)


def _by_key(camera: str, keys: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Map keys to a camera's images; raise DactylError if two have the same key, because the choice is ambiguous."""
    found: dict[str, Path] = {}
    for key, path in keys:
        if key in found:
            raise DactylError(
                f"{path}: camera '{camera}' has {found[key].name} of the same moment; take one of them away"
            )
        found[key] = path
    return found


def _matched(pictures: list[dict[str, Path]], where: str, rig: Rig) -> FoundTriplets:
    """Combine the images that have the same key for all cameras; ``pictures`` has a mapping for each camera."""
    shared = set.intersection(*(set(each) for each in pictures))
    if not shared:
        counts = ", ".join(f"{name} {len(each)}" for name, each in zip(rig.names, pictures, strict=True))
        raise DactylError(
            f"{where}: no picture has the same name for all cameras of the network ({counts}); name those that belong "
            "together alike, or take a network of your cameras"
        )
    keys = sorted(shared, key=_natural)
    triplets = [TripletFiles(key or rig.names[0], tuple(each[key] for each in pictures)) for key in keys]
    return FoundTriplets(triplets, len(set.union(*(set(each) for each in pictures))) - len(shared))


def _natural(key: str) -> list[tuple[int, str]]:
    """Return a sort key that puts 2 before 10."""
    return [(int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", key)]
