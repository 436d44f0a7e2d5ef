"""Readers of encoded samples by number, wherever their files are.

Nothing in the files is ever run: labels are JSON that must fit the contract, images are JPEG whose header is checked
before they are decoded.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from vision.errors import DactylError
from vision.io.decode import parse_json
from vision.io.store import Location
from vision.rigs.rig import Camera, Rig
from vision.scene.scene import Scene
from vision.storage.layout import sample_key
from vision.storage.schema import LABEL, check_cameras, check_record, check_version
from vision.storage.shards import mask_suffix

_MAX_JSON_BYTES = 1 << 20
_MOST_DIGITS = 19  # of an int64


class Samples(ABC):
    """Samples of a scene: ``samples[i]`` has ``LABEL``'s keys and ``images`` (C, H, W, 3) uint8.

    Attributes:
        scene: the whole scene that the images show.
        rig: its nominal cameras, in the order of the images.
        indices: ``LABEL``'s index of every sample, (N,) int64, all different.

    Every reading method raises :class:`DactylError`, which names file and sample, for a file that does not fit.
    """

    scene: Scene
    rig: Rig
    indices: NDArray[np.int64]

    @abstractmethod
    def member(self, number: int, suffix: str) -> bytes:
        """Return a file of sample ``number``, for example ``left.jpg``."""

    @abstractmethod
    def members(self, number: int) -> Collection[str]:
        """Return the names of the files of sample ``number``."""

    @abstractmethod
    def where(self, number: int) -> str:
        """Return file and key of sample ``number``, for messages."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return ``LABEL`` of sample ``number`` as NumPy values, and its ``images``."""
        record = self.label(number)
        where = self.where(number)
        names = [f"{name}.jpg" for name in self.rig.names]
        record["images"] = self.rig.padded(
            [
                _decode_jpeg(self.member(number, name), camera, f"{where}.{name}")
                for name, camera in zip(names, self.rig.cameras, strict=True)
            ]
        )
        return record

    def label(self, number: int) -> dict[str, Any]:
        """Return ``LABEL`` of sample ``number``, without decoding its images."""
        where = f"{self.where(number)}.label.json"
        record = _decode_json(self.member(number, "label.json"), where)
        check_version(record.pop("schema_version", None), where)
        check_record(record, LABEL, where)
        if record["index"] != self.indices[number] or len(record["camera_intrinsics"]) != len(self.rig):
            raise DactylError(f"{where}: label of another sample or rig; make the dataset again")
        found = {
            key: record[key] if spec.dtype == "str" else np.asarray(record[key], spec.dtype)
            for key, spec in LABEL.items()
            if key in record
        }
        check_cameras(found["camera_intrinsics"], found["camera_extrinsics"], where)
        joints = self.scene.joints
        if len(found["joint_position"]) != joints:
            raise DactylError(
                f"{where}: joint_position: {len(found['joint_position'])} numbers, the scene's hand has {joints} joints"
            )
        return found

    def masks(self, number: int) -> np.ndarray | None:
        """Return masks of the object in each image of sample ``number``, (C, H, W) bool; None if it has none."""
        names = [mask_suffix(name) for name in self.rig.names]
        if not set(names) <= set(self.members(number)):
            return None
        where = self.where(number)
        return self.rig.padded(
            [
                _decode_mask(self.member(number, name), camera, f"{where}.{name}")
                for name, camera in zip(names, self.rig.cameras, strict=True)
            ]
        )

    def appearance(self, number: int) -> dict[str, Any]:
        """Return every value drawn for sample ``number``."""
        return _decode_json(self.member(number, "appearance.json"), f"{self.where(number)}.appearance.json")


class SamplesInMemory(Samples):
    """Samples whose files are in memory.

    Args:
        scene: the whole scene that the images show.
        samples: the files of each sample by name, and its key as ``__key__``, as
            :func:`vision.storage.shards.encode_sample` returns them.
        place: where they come from, for messages.

    Raises:
        DactylError: a key is no sample's.
    """

    def __init__(self, scene: Scene, samples: Sequence[Mapping[str, Any]], place: str) -> None:
        self.scene, self.rig = scene, scene.rig
        self._samples, self._place = samples, place
        keys = [sample["__key__"] for sample in samples]
        numbers = [int(key) if key.isdecimal() and len(key) < _MOST_DIGITS else -1 for key in keys]
        self.indices = np.array(numbers, np.int64)
        for key, index in zip(keys, self.indices, strict=True):
            if sample_key(int(index)) != key:
                raise DactylError(f"{place}: '{key}' is no sample; make the dataset again")

    def member(self, number: int, suffix: str) -> bytes:
        content: bytes = self._samples[number][suffix]
        return content

    def members(self, number: int) -> Collection[str]:
        return [name for name in self._samples[number] if not name.startswith("__")]

    def where(self, number: int) -> str:
        return f"{self._place}: {sample_key(int(self.indices[number]))}"


def require_distinct(indices: NDArray[np.int64], where: Location) -> None:
    """Raise DactylError, which names the shard or dataset ``where``, if a sample number of ``indices`` (N,) is there
    twice."""
    ordered = np.sort(indices)
    if (twice := ordered[:-1][ordered[:-1] == ordered[1:]]).size:
        raise DactylError(f"{where}: sample {sample_key(int(twice[0]))} is there twice; make the dataset again")


def _decode_json(data: bytes, where: str) -> dict[str, Any]:
    if len(data) > _MAX_JSON_BYTES:
        raise DactylError(f"{where}: {len(data)} bytes of JSON, more than {_MAX_JSON_BYTES}; make the dataset again")
    value = parse_json(data, where)
    if not isinstance(value, dict):
        raise DactylError(f"{where}: not a record; make the dataset again")
    return value


def _decode_jpeg(data: bytes, camera: Camera, where: str) -> np.ndarray:
    """Decode an image (H, W, 3) uint8. The header is checked before anything of its claimed size is allocated."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != (camera.height, camera.width):
            expected = f"{camera.width}x{camera.height}"
            raise DactylError(f"{where}: {width}x{height} pixels, expected {expected}; make the dataset again")
        picture: np.ndarray = simplejpeg.decode_jpeg(data, "RGB")
        return picture
    except ValueError as error:
        raise DactylError(f"{where}: not a readable JPEG ({error}); make the dataset again") from error


def _decode_mask(data: bytes, camera: Camera, where: str) -> np.ndarray:
    """Decode a mask (H, W) bool; as with JPEG, nothing of a merely claimed size is allocated."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (camera.width, camera.height) or picture.mode != "1":
                raise DactylError(
                    f"{where}: not a mask of {camera.width}x{camera.height} pixels; make the dataset again"
                )
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DactylError(f"{where}: not a readable PNG ({error}); make the dataset again") from error
