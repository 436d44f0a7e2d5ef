"""Samples to draw, each a state with an appearance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datagen.appearance.clutter_pieces import ClutterPiece
from datagen.pictures.surroundings_pool import SurroundingsUse
from datagen.pictures.texture_pool import TextureUse
from vision.camera_effects import CameraEffects
from vision.errors import DactylError
from vision.geometry.cameras import Cameras
from vision.geometry.poses import Pose
from vision.geometry.rotations import FloatArray


@dataclass(frozen=True, eq=False)
class Appearance:
    """Every value drawn for the appearance of one sample.

    M materials in the scene's order, L lights, C cameras in rig order.

    Attributes:
        material_rgb: sRGB-encoded, [0, 1], (M, 3).
        material_metallic: [0, 1], (M,), as in Unity's Standard shader.
        material_glossiness: [0, 1], (M,); 1 - roughness.
        light_position: metres, world frame, (L, 3).
        light_intensity: each light's part of the total, in the units of Unity's lights, (L,).
        camera_intrinsics: K of the true (displaced) cameras, pixels, (C, 3, 3).
        camera_extrinsics: T, world to camera, metres, (C, 4, 4).
        textures: textures of some of the materials; each multiplies its material's colour in linear light.
        clutter: pieces besides hand and object, metres, world frame.
        surroundings: light from all around, seen behind the scene; None for an even white sky that is not seen.
        camera_effects: effects that each camera applies to its rendered image; empty, or one for each camera.
    """

    material_rgb: FloatArray
    material_metallic: FloatArray
    material_glossiness: FloatArray
    light_position: FloatArray
    light_intensity: FloatArray
    camera_intrinsics: FloatArray
    camera_extrinsics: FloatArray
    textures: tuple[TextureUse, ...] = ()
    clutter: tuple[ClutterPiece, ...] = ()
    surroundings: SurroundingsUse | None = None
    camera_effects: tuple[CameraEffects, ...] = ()

    def __post_init__(self) -> None:
        for names, shapes in _SHAPES.items():
            arrays = [getattr(self, name) for name in names]
            if any(array.ndim < 1 or array.shape[1:] != shape for array, shape in zip(arrays, shapes, strict=True)):
                raise ValueError(f"{', '.join(names)}: shapes {[array.shape for array in arrays]}")
            if len({len(array) for array in arrays}) != 1:
                raise ValueError(f"{', '.join(names)}: lengths differ, {[len(array) for array in arrays]}")

    @property
    def cameras(self) -> Cameras:
        """True cameras, K (C, 3, 3) and T (C, 4, 4)."""
        return Cameras(self.camera_intrinsics, self.camera_extrinsics)

    def to_json(self) -> dict[str, Any]:
        """Return lists of numbers from which ``from_json`` restores the same values bit by bit."""
        values = {name: getattr(self, name).tolist() for names in _SHAPES for name in names}
        if self.textures:
            values["textures"] = [use.to_json() for use in self.textures]
        if self.clutter:
            values["clutter"] = [piece.to_json() for piece in self.clutter]
        if self.surroundings is not None:
            values["surroundings"] = asdict(self.surroundings)
        if self.camera_effects:
            values["camera_effects"] = [effects.to_json() for effects in self.camera_effects]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> Appearance:
        """Restore an appearance; raise DactylError, which names ``where``, if the values are not one."""
        try:
            textures = tuple(TextureUse.from_json(use) for use in values.get("textures", ()))
            clutter = tuple(ClutterPiece.from_json(piece, where) for piece in values.get("clutter", ()))
            around = SurroundingsUse.from_json(values["surroundings"]) if "surroundings" in values else None
            effects = tuple(CameraEffects.from_json(one) for one in values.get("camera_effects", ()))
            arrays = {key: np.asarray(value, np.float64) for key, value in values.items() if key not in _NO_ARRAYS}
            return cls(**arrays, textures=textures, clutter=clutter, surroundings=around, camera_effects=effects)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DactylError(f"{where}: not an appearance ({error}); make the dataset again") from None


_NO_ARRAYS = ("textures", "clutter", "surroundings", "camera_effects")
_SHAPES: dict[tuple[str, ...], tuple[tuple[int, ...], ...]] = {
    ("material_rgb", "material_metallic", "material_glossiness"): ((3,), (), ()),
    ("light_position", "light_intensity"): ((3,), ()),
    ("camera_intrinsics", "camera_extrinsics"): ((3, 3), (4, 4)),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """State with an appearance: everything that an image depends on.

    Attributes:
        index: sample number in the dataset.
        joint_position: hand joints in the scene's order, radians, (J,).
        object_position: metres, world frame, (3,).
        object_quaternion: w x y z, object to world, (4,).
        appearance: all other values.
    """

    index: int
    joint_position: FloatArray
    object_position: FloatArray
    object_quaternion: FloatArray
    appearance: Appearance

    @property
    def pose(self) -> Pose:
        """Pose of the object in the world."""
        return Pose.from_quaternion(self.object_position, self.object_quaternion)
