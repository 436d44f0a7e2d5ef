"""A trained network as one object: images and cameras in, poses out.

    >>> estimator = PoseEstimator.from_pretrained("block")                            # doctest: +SKIP
    >>> found = estimator.predict(images, Cameras(intrinsics, extrinsics))            # doctest: +SKIP
    >>> found["position"].shape, found["quaternion"].shape                            # doctest: +SKIP
    ((8, 3), (8, 4))

Reads a training checkpoint or the smaller file of exported weights (``vision.network_files``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import canonical_quaternion, quaternion_from_matrix
from vision.machine.hardware import NumberFormat, Precision, reduces_precision
from vision.network_files import read_model, shipped_weights, weights_file
from vision.networks.folding import fold_norms
from vision.networks.pose_model import PoseModel
from vision.networks.reduced_precision import towers_in_bfloat16
from vision.solvers.given import PointObservations
from vision.solvers.self_calibration import RigSolution


class Observations(NamedTuple):
    """Observations of a network in N triplets: pixels and expected errors in pixels of the object's corners, (N, C, K,
    2) and (N, C, K), and of the hand's landmarks, (N, C, L, 2) and (N, C, L); float64."""

    corners: NDArray[np.float64]
    corner_scale: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    landmark_scale: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """Concatenate the observations of several calls."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class PoseEstimates(TypedDict):
    """Estimated poses of the object in B triplets of C images; all arrays are float64.

    Attributes:
        position: (B, 3) metres, world frame.
        quaternion: (B, 4) w x y z, object to world, unit, w >= 0.
        confidence: (B,) in [0, 1] (defined in :class:`vision.networks.prediction.PosePrediction`).
        covariance: (B, 6, 6) of the error, radians about the world's axes, then metres. This key and the following ones
            are there only if a geometric head made the estimates.
        keypoint_scale: (B, C, K) pixels, the expected error of each keypoint in each image.
        residual: (B, C) pixels, the lower median (of eight the fourth smallest) of the keypoints' distances from
            those of the pose.
        spread: (B,) pixels, expected errors and residuals combined.
        intrinsics: (B, C, 3, 3) pixels, OpenCV K of the cameras, estimated if only nominal ones were given.
        extrinsics: (B, C, 4, 4) metres, world to camera, likewise.
    """

    position: NDArray[np.float64]
    quaternion: NDArray[np.float64]
    confidence: NDArray[np.float64]
    covariance: NotRequired[NDArray[np.float64]]
    keypoint_scale: NotRequired[NDArray[np.float64]]
    residual: NotRequired[NDArray[np.float64]]
    spread: NotRequired[NDArray[np.float64]]
    intrinsics: NotRequired[NDArray[np.float64]]
    extrinsics: NotRequired[NDArray[np.float64]]


class PoseEstimator:
    """Pose estimator with a trained network.

    Attributes:
        scene: the whole scene it was trained on: its object, and the nominal cameras with the size of its images.
        object: the scene's object.
        rig: the scene's rig, in the order of the images.
        head: name of the model, for example "regression" or "geometric".
        description: how the model finds a pose, after "a network that".
        uses_cameras: whether poses depend on the given intrinsics and extrinsics.
        finds_cameras: whether it can find the true poses of nominal cameras.
        any_number_of_cameras: whether it takes images of any number of any cameras; of a rig whose images differ in
            size it takes those of all cameras only.
        nominal_fault: why it cannot predict with nominal cameras only; None if it can.
        precision: number format of its towers.
    """

    def __init__(
        self,
        model: PoseModel,
        device: str | torch.device = "cpu",
        windows: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        """Take a model, which this estimator sets up for the other arguments (:meth:`from_checkpoint`)."""
        if windows is not None:
            model.use_windows(windows)
        self.device = torch.device(device)
        reduced = reduces_precision(precision, str(self.device)) and towers_in_bfloat16(model)
        self.precision: NumberFormat = "bfloat16" if reduced else "float32"
        self.model = model.to(self.device).to(memory_format=torch.channels_last).eval()
        self.scene = model.scene
        self.object, self.rig = model.scene.object, model.scene.rig
        self.head = model.config.head
        self.description = model.description
        self.uses_cameras = model.uses_cameras
        self.finds_cameras = model.finds_cameras
        self.any_number_of_cameras = model.any_number_of_cameras
        self.nominal_fault = model.nominal_fault

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        windows: int | None = None,
        precision: Precision = "float32",
    ) -> PoseEstimator:
        """Read a training checkpoint or exported weights.

        Args:
            path: the file.
            device: device on which the network runs.
            windows: number of windows around the object, rolled against each other, in which the network sees each
                image; the keypoints that it finds are averaged (test-time augmentation). Its time grows with it. None
                takes the network's own (``model.window.count``).
            precision: number format of its towers. The default gives the same poses on every machine; "auto" takes
                bfloat16 where that is faster, with the same errors to two digits (``docs/accuracy.md``).

        Raises:
            DactylError: the file is missing, damaged, of another schema version or architecture, or no checkpoint; or
                there are several windows, and the network has none.
        """
        model = read_model(Path(path))
        fold_norms(model)
        return cls(model, device, windows, precision)

    @classmethod
    def from_pretrained(
        cls,
        name: str = "block",
        device: str | torch.device = "cpu",
        windows: int | None = None,
        precision: Precision = "float32",
    ) -> PoseEstimator:
        """Load a network that ships with this package; ``vision/weights/<name>.md`` states what it can and cannot do.
        Arguments are those of :meth:`from_checkpoint`.

        Raises:
            DactylError: none is shipped by that name.
        """
        return cls.from_checkpoint(shipped_weights(name), device, windows, precision)

    @classmethod
    def load(
        cls,
        name: str,
        device: str | torch.device = "cpu",
        windows: int | None = None,
        precision: Precision = "float32",
    ) -> PoseEstimator:
        """Call :meth:`from_pretrained` for the name of shipped weights, else :meth:`from_checkpoint`."""
        return cls.from_checkpoint(weights_file(name), device, windows, precision)

    def predict(
        self,
        images: NDArray[np.uint8],
        cameras: Cameras,
        batch_size: int = 64,
        nominal: bool = False,
    ) -> PoseEstimates:
        """Predict poses of the object in the world, one for each triplet.

        Args:
            images: (B, C, H, W, 3) uint8, RGB, row 0 at the top, undistorted, cameras in the order of ``rig``; smaller
                images are padded right and below. A geometric head takes any number of any cameras, unless the images
                of the rig's cameras differ in size: then those of all, in their order.
            cameras: arrays (B, C, ...) or, of the same cameras for all triplets, (C, ...). A regression without
                ``camera_input`` ignores them.
            batch_size: number of triplets computed at once, in one window each; fewer in several.
            nominal: whether the given cameras are only nominal; the true ones, displaced by up to 1.5 mm, 3 degrees and
                1 degree of their field of view (Table 9), are then estimated with the pose.

        Raises:
            ValueError: an array has another shape or type.
            DactylError: the cameras are nominal, and the network or its scene has no landmarks to find the true ones
                with.
        """
        if nominal and self.nominal_fault is not None:
            raise DactylError(self.nominal_fault)
        images = self._checked(images)
        count, views = images.shape[:2]
        arrays = []
        for what, side in (("intrinsics", 3), ("extrinsics", 4)):
            array, one = getattr(cameras, what), (views, side, side)
            if np.shape(array) not in (one, (count, *one)):  # NumPy would broadcast any other shape to all cameras
                raise ValueError(f"expected {what} {one} or {(count, *one)}, got {np.shape(array)}")
            arrays.append(np.broadcast_to(array, (count, *one)))
        everywhere = Cameras(*arrays)
        parts: list[tuple[Tensor, ...]] = []
        at_once = max(1, batch_size // self.windows)
        for first in range(0, count, at_once):
            batch = slice(first, first + at_once)
            seen = Cameras(*(self._tensor(array).float() for array in everywhere.at(batch)[:2]))
            found = self.model.predict(self._tensor(images[batch]).permute(0, 1, 4, 2, 3), seen, nominal)
            more: tuple[Tensor, ...] = ()
            if found.covariance is not None and (seen_by := found.views) is not None:
                more = (found.covariance, seen_by.scale, seen_by.residual, seen_by.spread, *seen_by.cameras[:2])
            rotation, position = found.pose
            parts.append(tuple(part.cpu() for part in (position, rotation, found.confidence, *more)))
        keypoints = len(self.object.keypoints) if self.model.compares_views else None
        shapes = _estimate_shapes(views, keypoints)
        if not parts:
            parts = [tuple(torch.zeros(0, *shape) for shape in shapes.values())]
        columns = (torch.cat(tensors).double().numpy() for tensors in zip(*parts, strict=True))
        poses = dict(zip(shapes, columns, strict=True))
        poses["quaternion"] = canonical_quaternion(quaternion_from_matrix(poses.pop("rotation")))
        return cast(PoseEstimates, poses)

    @property
    def windows(self) -> int:
        """Number of windows in which it sees the object in each image."""
        return self.model.window_count

    def use_windows(self, count: int) -> None:
        """Change the number of windows (:meth:`from_checkpoint`).

        Raises:
            DactylError: the network has no windows, or the number is out of range.
        """
        self.model.use_windows(count)

    @property
    def usual_spread(self) -> float | None:
        """Median spread of keypoints, image pixels (:attr:`vision.solvers.views.ViewAgreement.spread`), in images like
        those the network was validated on; a hundredth of the window around the object if it was never measured. None
        if the model has none."""
        return self.model.typical_spread

    def observe(self, triplets: Iterable[NDArray[np.uint8]], batch_size: int = 64) -> Observations:
        """Find the object's corners and the hand's landmarks in images, before anything is known of the cameras.

        Args:
            triplets: one or more, (C, H, W, 3) uint8 each; of an iterator one call's are held at a time.
            batch_size: number of triplets in one call of the network, in one window each; fewer in several.

        Raises:
            ValueError: there are none, or one has another shape or type.
            DactylError: the network finds no landmarks of the hand.
        """
        coming, parts = iter(triplets), []
        while batch := list(itertools.islice(coming, max(1, batch_size // self.windows))):
            points, landmarks = self.model.observe(self._tensor(self._checked(np.stack(batch))).permute(0, 1, 4, 2, 3))
            parts.append(Observations(*(tensor.cpu().double().numpy() for tensor in (*points, *landmarks))))
        if not parts:
            raise ValueError("expected one triplet of images or more, got none")
        return Observations.joined(parts)

    def self_calibrate(self, seen: Observations, nominal: Cameras, distortion: bool = False) -> RigSolution:
        """Find the cameras of a recording from the hand and the object in it.

        Args:
            seen: observations in its triplets (:meth:`observe`).
            nominal: nominal cameras, arrays (C, 3, 3) and (C, 4, 4) as in :meth:`predict`.
            distortion: whether to find each camera's radial distortion, too.

        Raises:
            DactylError: the recording does not determine a camera, most triplets do not agree with the cameras found
                from them (a network that recognises nothing also yields cameras, with small standard deviations if
                there are many triplets), or as in :meth:`observe`.
            ValueError: the cameras are not those of the observations.
        """
        count = seen.corners.shape[1]
        for name, side in (("intrinsics", 3), ("extrinsics", 4)):
            if np.shape(array := getattr(nominal, name)) != (count, side, side):
                expected = f"expected {(count, side, side)}, for the {count} cameras of the observations"
                raise ValueError(f"{name}: {expected}, got {np.shape(array)}")
        tensors = [torch.from_numpy(array) for array in seen]
        given = Cameras(*(torch.from_numpy(np.array(array, np.float64)) for array in nominal[:2]))
        points, landmarks = PointObservations(*tensors[:2]), PointObservations(*tensors[2:])
        return self.model.self_calibrate(points, landmarks, given, distortion)

    def _checked(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return images (B, C, H, W, 3) uint8 of the rig's cameras, or of any number if the model allows it."""
        images = np.asarray(images)
        any_number = self.any_number_of_cameras and images.ndim == 5 and images.shape[1] > 0
        if any_number and self.rig.mixed_sizes and images.shape[1] != len(self.rig):
            raise ValueError(
                f"expected images of all {len(self.rig)} cameras ({', '.join(self.rig.names)}), got {images.shape[1]}: "
                "the cameras of this rig have images of different sizes, known only by their order"
            )
        cameras = images.shape[1] if any_number else len(self.rig)
        expected = (*images.shape[:1], cameras, self.rig.height, self.rig.width, 3)
        if images.shape != expected or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 images {expected}, got {images.shape} {images.dtype}")
        return images

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)


def _estimate_shapes(cameras: int, keypoints: int | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one triplet's :class:`PoseEstimates`, in the order of a prediction's tensors and with a
    rotation matrix for the quaternion; ``keypoints`` is None for a regression."""
    shapes: dict[str, tuple[int, ...]] = {"position": (3,), "rotation": (3, 3), "confidence": ()}
    if keypoints is not None:
        shapes |= {"covariance": (6, 6), "keypoint_scale": (cameras, keypoints), "residual": (cameras,), "spread": ()}
        shapes |= {"intrinsics": (cameras, 3, 3), "extrinsics": (cameras, 4, 4)}
    return shapes
