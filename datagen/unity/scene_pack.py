"""Scene packs: the geometry that a Unity player shows.

The player contains no model: it receives the pack over the wire, so that a new object or another hand needs no new
build. Vertices are in the frame of their body, in metres, with MuJoCo's axes; triangles are counter-clockwise seen from
outside; texture coordinates have v = 0 at the bottom row of the image. Little-endian:

    magic "UVSP", u16 major, u16 minor, u32 payload bytes, u32 CRC-32 of the payload; then
    u16 bodies: each a string (u16 bytes, UTF-8), float32 pose (7)
    u16 textures: each a string, u32 bytes, a PNG file
    u16 materials: each a string, float32 colour (3), i16 texture or -1, float32 texture scale (2)
    u16 parts: each a string, u16 body, u16 material, u16 whether it casts shadows (0, 1), u32 vertices V,
        u32 triangles T, float32 positions (V, 3), normals (V, 3), texture coordinates (V, 2), u32 corners (T, 3)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sized
from dataclasses import dataclass

import numpy as np

MAJOR, MINOR = 2, 0

_HEADER = struct.Struct("<4sHHII")
_MAGIC = b"UVSP"


@dataclass(frozen=True, eq=False)
class PackPart:
    """Triangles of one body in one material.

    Attributes:
        name: name of the geom from which it was exported.
        body, material: indices into the pack's lists.
        positions, normals: float32 (V, 3), in the body's frame, metres.
        uv: texture coordinates, float32 (V, 2).
        triangles: indices of vertices, uint32 (T, 3).
        casts_shadow: whether it casts a shadow; a part that lies flat on another need not.
    """

    name: str
    body: int
    material: int
    positions: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    casts_shadow: bool = True


@dataclass(frozen=True)
class PackBody:
    """Body by name. ``pose`` (position, quaternion w x y z) is that of the model's initial state; samples set it."""

    name: str
    pose: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PackMaterial:
    """Material by name. ``color`` (sRGB) is that of the model; samples set it, and whether the texture (an index into
    the pack's textures, -1 for none) shows."""

    name: str
    color: tuple[float, ...] = (0.5, 0.5, 0.5)
    texture: int = -1
    texture_scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class ScenePack:
    """Geometry that a player shows; the module's docstring has frames and units. ``textures`` are (name, PNG file)."""

    bodies: tuple[PackBody, ...]
    textures: tuple[tuple[str, bytes], ...]
    materials: tuple[PackMaterial, ...]
    parts: tuple[PackPart, ...]

    def encode(self) -> bytes:
        chunks = [_count(self.bodies)]
        for body in self.bodies:
            chunks += [_string(body.name), struct.pack("<7f", *body.pose)]
        chunks.append(_count(self.textures))
        for name, png in self.textures:
            chunks += [_string(name), struct.pack("<I", len(png)), png]
        chunks.append(_count(self.materials))
        for material in self.materials:
            chunks += [_string(material.name), struct.pack("<3f", *material.color)]
            chunks.append(struct.pack("<hff", material.texture, *material.texture_scale))
        chunks.append(_count(self.parts))
        for part in self.parts:
            numbers = (part.body, part.material, part.casts_shadow, len(part.positions), len(part.triangles))
            chunks += [_string(part.name), struct.pack("<HHHII", *numbers)]
            chunks += [array.astype("<f4").tobytes() for array in (part.positions, part.normals, part.uv)]
            chunks.append(part.triangles.astype("<u4").tobytes())
        payload = b"".join(chunks)
        return _HEADER.pack(_MAGIC, MAJOR, MINOR, len(payload), zlib.crc32(payload)) + payload


def _count(items: Sized) -> bytes:
    return struct.pack("<H", len(items))


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<H", len(encoded)) + encoded
