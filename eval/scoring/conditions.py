"""What an estimator knows about the cameras, and which cameras it sees through.

Every sample's cameras are randomly displaced from the rig (Table 9), hence three protocols:

nominal
    The estimator is given the nominal cameras, as in the paper's figures.
self-calibrated
    It is given the cameras that it found itself, from the images of a recording whose cameras were displaced once.
    Only for estimators that find cameras, and test sets that are recordings (:mod:`vision.storage.recordings`).
calibrated
    The estimator is given the true cameras, as in a laboratory that calibrates often. Only for estimators that use
    cameras.

Two studies vary the calibrated protocol: ``without-<camera>`` removes one camera and its images, and
``<what>-<amount>`` gives cameras that are wrong by exactly that amount, each in its own random direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from scipy.spatial.transform import Rotation

from vision.geometry.cameras import Cameras, change_field_of_view
from vision.io.decode import Name, Record
from vision.published import CAMERA_FOVY_DEG, CAMERA_POSITION_M, CAMERA_ROTATION_DEG
from vision.rigs.rig import Rig

ProtocolName = Literal["nominal", "self-calibrated", "calibrated"]
PROTOCOLS: tuple[ProtocolName, ...] = ("nominal", "self-calibrated", "calibrated")

Displaced = Literal["position", "rotation", "field-of-view"]
UNITS: dict[Displaced, str] = {"position": "mm", "rotation": "deg", "field-of-view": "deg"}
LARGEST_DISPLACEMENT: dict[Displaced, float] = {
    "position": 1000 * CAMERA_POSITION_M,
    "rotation": CAMERA_ROTATION_DEG,
    "field-of-view": CAMERA_FOVY_DEG,
}
"""Largest displacement of a camera in Table 9, in :data:`UNITS`: position along each axis, rotation about any axis."""

AMOUNTS: dict[Displaced, tuple[float, ...]] = {
    "position": (1.0, 3.0, 10.0, 30.0),
    "rotation": (0.1, 0.3, 1.0, 3.0),
    "field-of-view": (0.1, 0.3, 1.0, 3.0),
}
"""From the error of a careful calibration to beyond :data:`LARGEST_DISPLACEMENT`."""


class Condition(Record, frozen=True, omit_defaults=False):
    """One condition under which an estimator is evaluated.

    Attributes:
        camera_knowledge: which cameras it is given: those of the rig, those it found, or the sample's true ones.
        without: name of a camera that is removed.
        displaced: kind of error of the cameras it is given.
        amount: size of that error, in :data:`UNITS`.
    """

    camera_knowledge: ProtocolName
    without: Name | None = None
    displaced: Displaced | None = None
    amount: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0

    @property
    def name(self) -> str:
        """Unique name of the condition; part of file names."""
        if self.without:
            return f"without-{self.without}"
        return f"{self.displaced}-{self.amount:g}{UNITS[self.displaced]}" if self.displaced else self.camera_knowledge

    @property
    def study(self) -> Literal["protocol", "subset", "miscalibration"]:
        return "subset" if self.without else "miscalibration" if self.displaced else "protocol"


def camera_subsets(rig: Rig) -> list[Condition]:
    """Return a condition without each camera in turn; none if fewer than two cameras would be left."""
    return [Condition("calibrated", without=name) for name in rig.names] if len(rig) > 2 else []


def miscalibrations() -> list[Condition]:
    """Return a condition for each kind of error at each amount."""
    return [Condition("calibrated", None, kind, amount) for kind, amounts in AMOUNTS.items() for amount in amounts]


def estimator_inputs(
    condition: Condition, batch: Mapping[str, Any], rig: Rig, found: Cameras | None = None
) -> tuple[np.ndarray, Cameras]:
    """Return images (B, c, H, W, 3) and their cameras, K (B, c, 3, 3) and T (B, c, 4, 4), for the estimator.

    Args:
        condition: what the estimator is given.
        batch: ``images``, ``index`` and the true cameras as in a dataset, (B, ...).
        rig: the nominal cameras.
        found: K (B, C, 3, 3) and T (B, C, 4, 4) for the self-calibrated protocol.
    """
    images = batch["images"]
    if condition.camera_knowledge == "nominal":
        cameras = rig.nominal.repeated(len(images))
    elif condition.camera_knowledge == "self-calibrated":
        assert found is not None
        cameras = found
    else:
        cameras = Cameras.from_label(batch)
    if condition.displaced:
        moved = [
            _displaced(condition.displaced, condition.amount, int(index), cameras.at(row), rig.nominal.height)
            for row, index in enumerate(batch["index"])
        ]
        cameras = Cameras.stacked(moved)
    kept = [number for number, name in enumerate(rig.names) if name != condition.without]
    return images[:, kept], Cameras(cameras.intrinsics[:, kept], cameras.extrinsics[:, kept])


def _displaced(kind: Displaced, amount: float, index: int, cameras: Cameras, height: np.ndarray) -> Cameras:
    """Return a sample's cameras, each wrong by ``amount``.

    A camera's direction is the same at every amount, so that curves over the amount compare like with like.

    Args:
        kind: what is wrong.
        amount: by how much, in :data:`UNITS`.
        index: of the sample.
        cameras: K (C, 3, 3) and T (C, 4, 4).
        height: of the images, (C,) pixels.
    """
    generator = np.random.default_rng((index, sorted(UNITS).index(kind)))
    directions = generator.normal(size=(len(height), 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    matrices, transforms = cameras.intrinsics.copy(), cameras.extrinsics.copy()
    if kind == "field-of-view":
        matrices = change_field_of_view(matrices, height, amount * np.sign(directions[:, 0]))
    elif kind == "rotation":  # about the camera's centre: x' = R (R_T x + t)
        transforms[:, :3] = Rotation.from_rotvec(np.deg2rad(amount) * directions).as_matrix() @ transforms[:, :3]
    else:  # the centre moves by d: t' = t - R_T d
        transforms[:, :3, 3] -= np.einsum("cij,cj->ci", transforms[:, :3, :3], amount / 1000.0 * directions)
    return Cameras(matrices, transforms)
