"""Samples for a player to draw, as records of numbers: the payload of a RENDER request (``wire.py``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Form(IntEnum):
    """Form of returned images: visual observations of the agents (PNG), or raw in the reply."""

    OBSERVATIONS = 0
    RGB = 1


def _record(*fields: tuple[str, int]) -> np.dtype[np.void]:
    return np.dtype([(name, "<f4", (size,)) if size > 1 else (name, "<f4") for name, size in fields])


CAMERA = _record(("position", 3), ("quaternion", 4), ("focal", 2), ("centre", 2), ("near", 1), ("far", 1))
"""Camera in MuJoCo's convention: it looks along its own -z, and +y is up in the image. Focal lengths along x and y, and
the principal point from the image's upper left corner, in pixels; the first pixel's centre is (0.5, 0.5). Clip
distances in metres."""
BODY = _record(("position", 3), ("quaternion", 4))
"""Pose of a body's frame in the world."""
MATERIAL = _record(
    ("color", 3), ("metallic", 1), ("smoothness", 1), ("texture", 1), ("texture_scale", 2), ("texture_offset", 2),
    ("visible", 1),
)  # fmt: skip
"""Material of Unity's Standard shader. ``texture`` is an index into the scene pack's textures followed by the batch's
pictures; -1 for none. Parts whose material is not ``visible`` (0) are left out."""
LIGHT = _record(
    ("type", 1), ("position", 3), ("direction", 3), ("color", 3), ("intensity", 1), ("range", 1), ("spot_deg", 1),
    ("shadow", 1),
)  # fmt: skip
"""Light: ``type`` is a :class:`LightType`; Unity's intensity; range in metres; full angle of the cone; strength of
shadows in [0, 1]."""
SOLID = _record(
    ("shape", 1), ("position", 3), ("quaternion", 4), ("size", 3), ("color", 3), ("metallic", 1), ("smoothness", 1),
)  # fmt: skip
"""Solid of clutter: ``shape`` is a :class:`SolidShape`; pose in the world; size in metres as in MuJoCo's geoms: half
sides of a box; radius and half the axis (z) of a capsule; radius of a sphere."""
FRAME = _record(("background", 3), ("ambient", 3), ("reflection", 1), ("surroundings", 1), ("radiance", 1))
"""Frame: colour where there is no geometry; flat ambient light; strength of the white surroundings that surfaces
reflect. If ``surroundings`` is an index into the batch's pictures (else -1), that picture is seen, lights and is
reflected instead: ``radiance`` (linear) is the brightness of its 1, ``reflection`` the strength of its reflections."""
SECTIONS = {
    "cameras": CAMERA, "bodies": BODY, "materials": MATERIAL, "lights": LIGHT, "solids": SOLID, "frames": FRAME,
}  # fmt: skip


class LightType(IntEnum):
    OFF = 0
    DIRECTIONAL = 1
    POINT = 2
    SPOT = 3


class SolidShape(IntEnum):
    NONE = 0
    BOX = 1
    CAPSULE = 2
    SPHERE = 3


_RENDER = struct.Struct("<18H")
_SIZE, _PICTURE = struct.Struct("<2H"), struct.Struct("<Q")


@dataclass(frozen=True, eq=False)
class RenderBatch:
    """Batch of samples to draw.

    Attributes:
        cameras, bodies, materials, lights, solids: records (B, C), (B, K), (B, M), (B, L), (B, S) of the dtypes above.
        frames: records (B,).
        sizes: width and height of each camera's images, pixels.
        pictures: hashes of the pictures that samples show besides the scene pack's.
        form: form of the returned images.
        msaa: samples per pixel, 1, 2, 4 or 8.
        shadow_size: width of a light's shadow map, pixels; 0 for the player's quality settings.
    """

    cameras: np.ndarray
    bodies: np.ndarray
    materials: np.ndarray
    lights: np.ndarray
    solids: np.ndarray
    frames: np.ndarray
    sizes: tuple[tuple[int, int], ...]
    pictures: tuple[int, ...] = ()
    form: Form = Form.RGB
    msaa: int = 8
    shadow_size: int = 0

    def __post_init__(self) -> None:
        for name, dtype in SECTIONS.items():
            records = getattr(self, name)
            dimensions = 1 if name == "frames" else 2
            if records.dtype != dtype or records.ndim != dimensions or len(records) != len(self):
                raise ValueError(f"{name}: expected records of {dtype.names} for {len(self)} samples")
        if len(self.sizes) != self.cameras.shape[1]:
            raise ValueError(f"sizes: {len(self.sizes)} of {self.cameras.shape[1]} cameras")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def image_shape(self) -> tuple[int, int, int, int, int]:
        """Shape (B, C, H, W, 3) of the array of all images; images smaller than the largest are padded."""
        width, height = (max((size[axis] for size in self.sizes), default=0) for axis in (0, 1))
        return len(self), len(self.sizes), height, width, 3

    @property
    def image_bytes(self) -> int:
        """Size of all images as sent, in bytes, without padding."""
        return 3 * len(self) * sum(width * height for width, height in self.sizes)

    def images(self, pixels: np.ndarray) -> np.ndarray:
        """Return images of ``image_shape``, padded with black on the right and below, from a reply's pixels (N,)."""
        if len(set(self.sizes)) == 1:
            return pixels.reshape(self.image_shape)
        padded, start = np.zeros(self.image_shape, np.uint8), 0
        of_sample = pixels.reshape(len(self), -1)
        for camera, (width, height) in enumerate(self.sizes):
            own = of_sample[:, start : start + 3 * width * height]
            padded[:, camera, :height, :width] = own.reshape(-1, height, width, 3)
            start += 3 * width * height
        return padded

    def encode(self) -> bytes:
        """Return the payload of a RENDER request."""
        sections = [getattr(self, name) for name in SECTIONS]
        counts = [len(self), *(section.shape[1] for section in sections[:-1]), len(self.pictures)]
        strides = [dtype.itemsize for dtype in SECTIONS.values()]
        block = _RENDER.pack(_RENDER.size, *counts, *strides, self.form, self.msaa, self.shadow_size, 0)
        sizes = [_SIZE.pack(*size) for size in self.sizes]
        pictures = [_PICTURE.pack(picture) for picture in self.pictures]
        return b"".join([block, *sizes, *pictures, *(section.tobytes() for section in sections)])
