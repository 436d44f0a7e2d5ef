"""A trained network as one object: pictures and cameras in, poses out.

    >>> estimator = PoseEstimator.from_pretrained("block")                            # doctest: +SKIP
    >>> found = estimator.predict(images, intrinsics, extrinsics)                     # doctest: +SKIP
    >>> found["position"].shape, found["quaternion"].shape                            # doctest: +SKIP
    ((8, 3), (8, 4))

Reads a training checkpoint or the smaller file of exported weights (``vision.network_files``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.rotations import canonical_quaternion, quaternion_from_matrix
from vision.network_files import read_model, shipped_weights, weights_file
from vision.networks.folding import fold_norms
from vision.networks.pose_model import PoseModel
from vision.solvers.bundle_problem import PointObservations
from vision.solvers.self_calibration import RigSolution


class Observations(NamedTuple):
    """What a network sees in N triplets: pixels and expected errors in pixels of the object's corners, (N, C, K, 2) and
    (N, C, K), and of the hand's landmarks, (N, C, L, 2) and (N, C, L); float64."""

    corners: NDArray[np.float64]
    corner_scale: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    landmark_scale: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """Those of several calls, one after the other."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class PoseEstimator:
    """Estimates poses with a trained network.

    Attributes:
        scene: what it was trained on, whole: the object it knows, and the nominal cameras with the size of its images.
        object: of the scene.
        rig: of the scene, in the order of the images.
        head: name of the model, for example "regression" or "geometric".
        description: how that comes to a pose, after "a network that".
        uses_cameras: whether its answers depend on the intrinsics and extrinsics that it is given.
        finds_cameras: whether it can tell where nominal cameras really are.
        any_number_of_cameras: whether it takes images of any number of any cameras.
        nominal_fault: why it has no answer where only nominal cameras are known; None where it has.
    """

    def __init__(self, model: PoseModel, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
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
    def from_checkpoint(cls, path: str | Path, device: str | torch.device = "cpu") -> PoseEstimator:
        """Read a training checkpoint or exported weights.

        Raises:
            DactylError: the file is missing, damaged, of another schema version or architecture, or no checkpoint.
        """
        model = read_model(Path(path))
        fold_norms(model)
        return cls(model, device)

    @classmethod
    def from_pretrained(cls, name: str = "block", device: str | torch.device = "cpu") -> PoseEstimator:
        """A network that ships with this package; ``vision/weights/<name>.md`` says what it can and cannot do.

        Raises:
            DactylError: none is shipped by that name.
        """
        return cls.from_checkpoint(shipped_weights(name), device)

    @classmethod
    def load(cls, name: str, device: str | torch.device = "cpu") -> PoseEstimator:
        """:meth:`from_pretrained` for the name of shipped weights, else :meth:`from_checkpoint`."""
        return cls.from_checkpoint(weights_file(name), device)

    def predict(
        self,
        images: NDArray[np.uint8],
        intrinsics: NDArray[np.floating],
        extrinsics: NDArray[np.floating],
        batch_size: int = 64,
        nominal: bool = False,
    ) -> dict[str, NDArray[np.float64]]:
        """Poses of the object in the world.

        Args:
            images: (B, C, H, W, 3) uint8, RGB, row 0 at the top, undistorted, cameras in the order of ``rig``; smaller
                images are padded right and below. A geometric head takes any number of any cameras.
            intrinsics: (B, C, 3, 3) or (C, 3, 3), OpenCV K in pixels.
            extrinsics: (B, C, 4, 4) or (C, 4, 4), world to camera (OpenCV axes), metres. A regression without
                ``camera_input`` ignores both.
            batch_size: triplets that are computed at once.
            nominal: the cameras given are only where they should be; the true ones, displaced by up to 1.5 mm,
                3 degrees and 1 degree of their field of view (Table 9), are then found with the pose.

        Returns:
            ``position`` (B, 3) metres, world frame; ``quaternion`` (B, 4) w x y z, object to world, unit, w >= 0;
            ``confidence`` (B,) in [0, 1] (:class:`vision.networks.prediction.PosePrediction` says what of); from a
            geometric head ``covariance`` (B, 6, 6) of the error, radians about the world's axes then metres;
            ``keypoint_scale`` (B, C, K) pixels, by which the network expects to be off at each keypoint in each image,
            ``residual`` (B, C) pixels, by which keypoints are off the pose's (median), and ``spread`` (B,) pixels, both
            together; ``intrinsics`` (B, C, 3, 3) and ``extrinsics`` (B, C, 4, 4) of the cameras, found where only
            nominal ones were given.

        Raises:
            ValueError: an array has another shape or type.
            DactylError: nominal cameras, and a scene without landmarks to find out by where they really are.
        """
        if nominal and self.nominal_fault is not None:
            raise DactylError(self.nominal_fault)
        images = np.asarray(images)
        any_number = self.any_number_of_cameras and images.ndim == 5 and images.shape[1] > 0
        count, cameras = images.shape[0], images.shape[1] if any_number else len(self.rig)
        expected = (count, cameras, self.rig.height, self.rig.width, 3)
        if images.shape != expected or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 images {expected}, got {images.shape} {images.dtype}")
        for what, array, side in (("intrinsics", intrinsics, 3), ("extrinsics", extrinsics, 4)):
            one = (cameras, side, side)  # of another shape NumPy would take one camera for all of them
            if np.shape(array) not in (one, (count, *one)):
                raise ValueError(f"expected {what} {one} or {(count, *one)}, got {np.shape(array)}")
        matrices = np.broadcast_to(intrinsics, (count, cameras, 3, 3))
        transforms = np.broadcast_to(extrinsics, (count, cameras, 4, 4))
        parts: list[tuple[Tensor, ...]] = []
        for first in range(0, count, batch_size):
            batch = slice(first, first + batch_size)
            seen = Cameras(self._tensor(matrices[batch]).float(), self._tensor(transforms[batch]).float())
            found = self.model.predict(self._tensor(images[batch]).permute(0, 1, 4, 2, 3), seen, nominal)
            more: tuple[Tensor, ...] = ()
            if found.covariance is not None and (views := found.views) is not None:
                more = (found.covariance, views.scale, views.residual, views.spread, *views.cameras[:2])
            parts.append(tuple(part.cpu() for part in (found.position, found.rotation, found.confidence, *more)))
        keypoints = len(self.object.keypoints) if self.model.compares_views else None
        shapes = _answer_shapes(cameras, keypoints)
        if not parts:
            parts = [tuple(torch.zeros(0, *shape) for shape in shapes.values())]
        arrays = (torch.cat(tensors).double().numpy() for tensors in zip(*parts, strict=True))
        poses = dict(zip(shapes, arrays, strict=True))
        return poses | {"quaternion": canonical_quaternion(quaternion_from_matrix(poses.pop("rotation")))}

    @property
    def usual_spread(self) -> float | None:
        """Image pixels by which keypoints scatter (:attr:`vision.solvers.views.Views.spread`) in pictures like those it
        was validated on, the median; a hundredth of the window around the object where that was never measured. None
        where the model does not tell."""
        return self.model.typical_spread

    def observe(self, images: NDArray[np.uint8], batch_size: int = 64) -> Observations:
        """What the network sees in images (B, C, H, W, 3) uint8, before anything is known of the cameras.

        Raises:
            DactylError: it is no network that finds landmarks of the hand.
        """
        parts: list[Observations] = []
        for first in range(0, len(images), batch_size):
            batch = self._tensor(images[first : first + batch_size]).permute(0, 1, 4, 2, 3)
            points, landmarks = self.model.observe(batch)
            parts.append(Observations(*(tensor.cpu().double().numpy() for tensor in (*points, *landmarks))))
        return Observations(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def self_calibrate(
        self,
        seen: Observations,
        intrinsics: NDArray[np.floating],
        extrinsics: NDArray[np.floating],
        distortion: bool = False,
    ) -> RigSolution:
        """The cameras of a recording, found from the hand and the object it shows.

        Args:
            seen: in its triplets (:meth:`observe`).
            intrinsics, extrinsics: nominal cameras, (C, 3, 3) and (C, 4, 4) as in :meth:`predict`.
            distortion: also find each camera's radial distortion.

        Raises:
            DactylError: the recording leaves a camera open, or :meth:`observe`'s.
        """
        tensors = [torch.from_numpy(array) for array in seen]
        nominal = Cameras(*(torch.from_numpy(np.array(array, np.float64)) for array in (intrinsics, extrinsics)))
        points, landmarks = PointObservations(*tensors[:2]), PointObservations(*tensors[2:])
        return self.model.self_calibrate(points, landmarks, nominal, distortion)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)


def _answer_shapes(cameras: int, keypoints: int | None) -> dict[str, tuple[int, ...]]:
    """What a network answers for each triplet of so many cameras, and the shape of each part; ``keypoints`` is None for
    a regression."""
    shapes: dict[str, tuple[int, ...]] = {"position": (3,), "rotation": (3, 3), "confidence": ()}
    if keypoints is not None:
        shapes |= {"covariance": (6, 6), "keypoint_scale": (cameras, keypoints), "residual": (cameras,), "spread": ()}
        shapes |= {"intrinsics": (cameras, 3, 3), "extrinsics": (cameras, 4, 4)}
    return shapes
