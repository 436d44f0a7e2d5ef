"""The data contract: every key of every file, with dtype, shape, unit, frame and range.

There is a table for each kind of record that stages pass to each other:

==============  ============================================  ==========================================
table           file                                          one record is
==============  ============================================  ==========================================
``STATES``      ``part-*.parquet`` in a states folder         a hand-and-object state of the simulation
``LABEL``       ``<key>.label.json`` in a shard               the label of one image triplet
``IMAGES``      ``<key>.<camera>.jpg`` in a shard             one camera's image
``MASKS``       ``<key>.mask_<camera>.png``, optional         its pixels that show the object
``PREDICTIONS`` ``predictions/<set>-<condition>.parquet``     one estimate next to its truth
==============  ============================================  ==========================================

Lengths in metres, angles in radians, time in seconds; quaternions w x y z, unit, ``w >= 0``; poses in the world frame
of the scene unless a frame is named. Shape symbols: C cameras in rig order, J joints and F fingertips of the hand, K
keypoints of the object, H and W rows and columns of the largest image (smaller ones are padded right and below). Beside
the shards, ``<key>.appearance.json`` holds every drawn value (``datagen.appearance.draw``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision.errors import DactylError
from vision.geometry.rotations import is_rotation
from vision.published import STEP_SECONDS

SCHEMA_VERSION = 2
"""Version of the schema, raised whenever an old reader would misread a new file."""

UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True)
class Field:
    """Description of one key: NumPy dtype, shape (a number or a symbol for each dimension), unit, frame, closed range,
    meaning.

    A record may lack an optional key.
    """

    dtype: str
    shape: tuple[int | str, ...]
    unit: str
    frame: str
    range: tuple[float, float]
    doc: str
    optional: bool = False


_POSITION = ("float64", (3,), "m", "world", (-10.0, 10.0))
_QUATERNION = ("float64", (4,), "1", "world", (-1.0, 1.0))

STATES: dict[str, Field] = {
    "episode": Field("int64", (), "1", "", (0, np.inf), "number of the episode, unique within the folder"),
    "step": Field("int32", (), f"{1000 * STEP_SECONDS:.0f} ms", "", (0, np.inf), "environment step within the episode"),
    "joint_position": Field("float64", ("J",), "rad", "joint", (-7.0, 7.0), "hand joint angles"),
    "joint_velocity": Field("float64", ("J",), "rad/s", "joint", UNBOUNDED, "hand joint velocities"),
    "object_position": Field(*_POSITION, "object centre"),
    "object_quaternion": Field(*_QUATERNION, "object orientation, object to world"),
    "object_linear_velocity": Field("float64", (3,), "m/s", "world", UNBOUNDED, "velocity of the object centre"),
    "object_angular_velocity": Field("float64", (3,), "rad/s", "object", UNBOUNDED, "angular velocity"),
    "goal_quaternion": Field(*_QUATERNION, "orientation the policy was asked for"),
    "fingertip_position": Field(
        "float64", ("F", 3), "m", "world", (-10.0, 10.0), "in the order of the hand's fingertips"
    ),
}

LABEL: dict[str, Field] = {
    "index": Field("int64", (), "1", "", (0, np.inf), "sample number in the dataset; seeds every drawn value"),
    "state_index": Field("int64", (), "1", "", (0, np.inf), "row of the states folder it was made from"),
    "episode": Field("int64", (), "1", "", (0, np.inf), "episode of that state"),
    "augmentation": Field("str", (), "", "", UNBOUNDED, "none, rotated or jittered (appendix D.2)"),
    "object_position": Field(*_POSITION, "object centre, as rendered"),
    "object_quaternion": Field(*_QUATERNION, "object orientation, object to world, as rendered"),
    "joint_position": Field("float64", ("J",), "rad", "joint", (-7.0, 7.0), "hand joint angles"),
    "camera_intrinsics": Field("float64", ("C", 3, 3), "px", "image", UNBOUNDED, "OpenCV K of the true cameras"),
    "camera_extrinsics": Field("float64", ("C", 4, 4), "m", "world to camera", UNBOUNDED, "of the true cameras"),
    # What each camera sees of the object: a dataset has all of these and MASKS, or none. A pixel shows what its centre
    # sees, and anything beyond the image's border does not count.
    "visibility": Field("float64", ("C",), "1", "image", (0, 1), "share of the object that nothing hides", True),
    "box_2d": Field("float64", ("C", 4), "px", "image", (0, np.inf), "mask's left, top, right, bottom; or zeros", True),
    "keypoints_2d": Field("float64", ("C", "K", 2), "px", "image", UNBOUNDED, "keypoints projected, hidden too", True),
}

IMAGES = Field(
    "uint8",
    ("C", "H", "W", 3),
    "1",
    "image, row 0 at the top",
    (0, 255),
    "RGB, sRGB-encoded, JPEG in a shard",
)

MASKS = Field(
    "bool", ("C", "H", "W"), "1", "image, row 0 at the top", (0, 1), "shows the object, 1-bit PNG in a shard", True
)

PREDICTIONS: dict[str, Field] = {
    "index": LABEL["index"],
    "episode": LABEL["episode"],
    "true_position": Field(*_POSITION, "object centre"),
    "true_quaternion": Field(*_QUATERNION, "object orientation"),
    "predicted_position": Field("float64", (3,), "m", "world", UNBOUNDED, "estimated object centre"),
    "predicted_quaternion": Field(*_QUATERNION, "estimated object orientation"),
    "confidence": Field("float64", (), "1", "", (0.0, 1.0), "the estimator's own; higher is better"),
}

CONFIDENT_DEG = 2.0
"""A geometric confidence is the network's probability that the rotation error is below this angle: narrow enough that a
good network is sometimes unsure, or all its confidences would be one."""


def check_record(record: Mapping[str, Any], table: Mapping[str, Field], where: str) -> None:
    """Check a record against its table; ``where`` names it in the error (file and key).

    Raises:
        DactylError: a key is missing or unknown, or a value has another shape or dtype, is not finite, or leaves its
            range; or a quaternion is not unit with ``w >= 0``.
    """
    if missing := {key for key, field in table.items() if not field.optional} - record.keys():
        raise DactylError(f"{where}: key '{min(missing)}' is missing; make the file again with this version")
    if unknown := record.keys() - table.keys():
        raise DactylError(f"{where}: unknown key '{min(unknown)}'; make the file again with this version")
    symbols: dict[str, int] = {}
    for key, field in table.items():
        if key in record:
            _check_value(record[key], field, f"{where}: {key}", symbols)


def check_column(values: np.ndarray, field: Field, where: str) -> None:
    """Check one column of N records, shape (N, ...), as :func:`check_record` does."""
    if values.ndim == 0:
        raise DactylError(f"{where}: expected a column, got a single value")
    fits = len(field.shape) == values.ndim - 1 and all(
        isinstance(size, str) or size == there for size, there in zip(field.shape, values.shape[1:], strict=True)
    )
    if not fits:
        raise DactylError(f"{where}: expected shape {field.shape} a record, got {values.shape[1:]}")
    _check_numbers(values, field, where)


def _check_value(value: Any, field: Field, where: str, symbols: dict[str, int]) -> None:
    if field.dtype == "str":
        if not isinstance(value, str):
            raise DactylError(f"{where}: expected text, got {type(value).__name__}")
        return
    try:
        array = np.asarray(value)
    except ValueError:
        raise DactylError(f"{where}: expected numbers of shape {field.shape}, got a ragged list") from None
    if array.ndim != len(field.shape):
        raise DactylError(f"{where}: expected shape {field.shape}, got {array.shape}")
    for size, expected in zip(array.shape, field.shape, strict=True):
        if isinstance(expected, str):
            expected = symbols.setdefault(expected, size)
        if size != expected:
            raise DactylError(f"{where}: expected shape {field.shape}, got {array.shape}")
    _check_numbers(array, field, where)


def _check_numbers(array: np.ndarray, field: Field, where: str) -> None:
    # Unsigned is refused, too: JSON integers beyond int64 would arrive as such, and later wrap around.
    if array.dtype.kind not in "if" or (array.dtype.kind == "f" and np.dtype(field.dtype).kind in "iu"):
        raise DactylError(f"{where}: expected {field.dtype}, got {array.dtype}")
    if not np.isfinite(array).all():
        raise DactylError(f"{where}: not finite")
    low, high = field.range
    if array.size and (array.min() < low or array.max() > high):
        raise DactylError(f"{where}: outside [{low:g}, {high:g}] {field.unit}")
    if field.shape[-1:] == (4,) and field.range == (-1.0, 1.0):
        off = np.abs(np.linalg.norm(array, axis=-1) - 1.0)
        if array.size and (off.max() > 1e-6 or array[..., 0].min() < 0):
            raise DactylError(f"{where}: expected a unit quaternion w x y z with w >= 0")


def check_cameras(matrices: np.ndarray, transforms: np.ndarray, where: str) -> None:
    """Refuse matrices that are in range but describe no camera; ``where`` names the label in the error.

    Args:
        matrices: K, (C, 3, 3) pixels.
        transforms: world to camera, (C, 4, 4) metres.
    """
    focal = matrices[:, (0, 1), (0, 1)]
    if focal.min(initial=1.0) <= 0 or matrices[:, (0, 1), (1, 0)].any() or (matrices[:, 2] != (0, 0, 1)).any():
        raise DactylError(f"{where}: camera_intrinsics: expected rows fx 0 cx, 0 fy cy, 0 0 1 with positive fx, fy")
    if not is_rotation(transforms[:, :3, :3]) or (transforms[:, 3] != (0, 0, 0, 1)).any():
        raise DactylError(f"{where}: camera_extrinsics: expected a rotation and the last row 0 0 0 1")


def check_version(version: object, where: str, expected: int = SCHEMA_VERSION) -> None:
    """Refuse a file of another version of the schema (or of the format that ``expected`` counts)."""
    if type(version) is not int or version != expected:
        raise DactylError(f"{where}: schema version {version}, this program reads version {expected}; make it again")
