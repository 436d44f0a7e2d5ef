"""Check of every frame before it is written: drivers may return blank or stale ones, which must not enter a dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.appearance.sample import Sample
from datagen.workers.pool import TransientError
from vision.geometry.cameras import in_image, project
from vision.geometry.rotations import FloatArray
from vision.rigs.rig import Rig
from vision.scene.scene import Scene

# A frame whose levels have a smaller standard deviation is blank: those that show anything have 20 or more.
_MIN_FRAME_STD = 1.0


def is_blank(image: NDArray[np.uint8]) -> bool:
    """Return whether an image (H, W, 3) has only one colour, or nearly."""
    return float(image.std(axis=(0, 1)).max()) < _MIN_FRAME_STD


def cameras_that_see(rig: Rig, pixels: FloatArray) -> NDArray[np.bool_]:
    """Return for each camera (C,) whether a keypoint of the object, at ``pixels`` (C, K, 2), lies in its image: it then
    cannot be blank. Elsewhere, without a background, it may be."""
    return np.asarray(in_image(pixels, rig.nominal.width, rig.nominal.height).any(axis=-1))


class FrameGuard:
    """Check that refuses frames that cannot show their samples. One guard for each sequence that a renderer draws."""

    def __init__(self, device: str, scene: Scene) -> None:
        self._device, self._object, self._rig = device, scene.object, scene.rig
        self._before: tuple[Sample, NDArray[np.uint8]] | None = None

    def check(self, sample: Sample, images: NDArray[np.uint8]) -> None:
        """Raise TransientError for a constant frame where the object should be seen, or one that repeats the last
        although it should look different.

        Args:
            sample: the rendered sample.
            images: its images, (C, H, W, 3), padded to the largest camera's.
        """
        blank = np.array([is_blank(image) for image in self._rig.without_padding(images)])
        if blank.any():
            pixels = project(sample.pose.transform(self._object.keypoints), sample.appearance.cameras)
            wrong = blank & (cameras_that_see(self._rig, pixels) | blank.all())
            if wrong.any():
                self._refuse(sample, int(wrong.argmax()), "came out blank")
        if self._before is not None:
            last, last_images = self._before
            same = np.array([np.array_equal(new, old) for new, old in zip(images, last_images, strict=True)])
            # The object may be outside a camera's view, but another appearance is visible unless nothing is.
            shown = same[~blank]
            if (shown.any() and not _same_look(sample, last)) or (shown.all() and not _same_pose(sample, last)):
                self._refuse(sample, int((same & ~blank).argmax()), f"repeats sample {last.index}")
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
