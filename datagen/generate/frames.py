"""Check of every frame before it is written: drivers may return blank or stale ones, which must not enter a dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.workers.pool import TransientError
from vision.rigs.rig import Rig

# A frame whose levels have a smaller standard deviation is blank: real ones have 20 or more.
_MIN_FRAME_STD = 1.0


def is_blank(image: NDArray[np.uint8]) -> bool:
    """Return whether an image (H, W, 3) has only one colour, or nearly."""
    return float(image.std(axis=(0, 1)).max()) < _MIN_FRAME_STD


class FrameGuard:
    """Check that refuses frames that cannot show their samples. One guard for each sequence that a renderer draws."""

    def __init__(self, device: str, rig: Rig) -> None:
        self._device, self._rig = device, rig
        self._before: tuple[Sample, NDArray[np.uint8]] | None = None

    def check(self, sample: Sample, images: NDArray[np.uint8]) -> None:
        """Raise TransientError for a constant frame, or one that repeats the last although it should look different.

        Args:
            sample: the rendered sample.
            images: its images, (C, H, W, 3), padded to the largest camera's.
        """
        for camera, image in enumerate(self._rig.without_padding(images)):
            if is_blank(image):
                self._refuse(sample, camera, "came out blank")
        if self._before is not None:
            last, last_images = self._before
            same = [np.array_equal(new, old) for new, old in zip(images, last_images, strict=True)]
            # The object may be outside a camera's view, but another appearance is always visible.
            if (any(same) and not _same_look(sample, last)) or (all(same) and not _same_pose(sample, last)):
                self._refuse(sample, same.index(True), f"repeats sample {last.index}")
        self._before = sample, images.copy()

    def _refuse(self, sample: Sample, camera: int, what: str) -> None:
        raise TransientError(
            f"sample {sample.index}: camera {self._rig.names[camera]} {what} on {self._device}; "
            "check the graphics driver (dactyl doctor), then rerun"
        )


def _same_look(one: Sample, other: Sample) -> bool:
    return one.appearance.to_json() == other.appearance.to_json()


def _same_pose(one: Sample, other: Sample) -> bool:
    names = ("object_position", "object_quaternion", "joint_position")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
