"""The bytes between Python and the Unity player; the C# side is `unity_project/Assets/Scripts/Protocol`.

Messages travel in an ML-Agents side channel, one request and one reply for each environment step. Everything is
little-endian. A request says by a hash which scene or picture it is for, and carries a CRC; a reply repeats the
request's id. Positions and directions are in MuJoCo's world frame (metres, z up), quaternions w x y z: the player
converts. Colours are sRGB-encoded, as an artist picks them: in linear colour space Unity itself converts the colours
of materials, lights and backgrounds, and encodes the picture again.

A player of another major version is refused. A minor version may append fields to headers and records: both sides
read what they know and step over the rest by the sizes that the message states.

Request: header of 32 bytes, payload.
    magic "UVRQ", u16 major, u16 minor, u16 header bytes, u16 kind, u32 id, u64 hash (of the scene pack that is loaded
    or drawn, or of the picture that is sent), u32 payload bytes, u32 CRC-32 of everything else
Payload of DESCRIBE: empty. The reply's text says what the player is, one "key: value" a line.
Payload of LOAD: u32 bytes of the whole scene pack, u32 offset of this piece, the piece. The last piece loads it.
Payload of PICTURE: the same, of a picture that samples show besides those of the scene pack: a PNG file, or
    surroundings (`environment.py`). The player keeps it, whatever scene is loaded, until it is told to forget.
Payload of FORGET: empty. The player forgets all pictures.
Payload of RENDER: u16 bytes of this block (36), u16 samples, cameras, bodies, materials, lights, solids, pictures, u16
    bytes of a record of camera, body, material, light, solid, frame, u16 picture form, samples per pixel, pixels across
    a shadow map, reserved; of each camera u16 width, u16 height of its images; of each picture u64 its hash; then the
    records, float32, each section as [sample][count].
Reply: header of 32 bytes, payload.
    magic "UVRP", u16 major, u16 minor, u16 header bytes, u16 status, u32 id, u16 samples, cameras, height and width of
    the largest images, form (0 none, 1 RGB, 2 text), u16 reserved, u32 payload bytes
Payload of a reply: RGB bytes [sample][camera][row from the top][column][3], each camera's images of its own size, or
    UTF-8 text.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

import numpy as np

CHANNEL = UUID("6f0b2c1e-8a54-4f0e-9d57-3c1a7e5b9d01")
MAJOR, MINOR = 2, 0
MAX_ID = 2**24 - 1  # ids also travel as float32 in an agent's observation
MAX_REQUEST = 4_000_000  # bytes; the C# client takes 4 MiB a message
MAX_PICTURES, MAX_PICTURE_BYTES = 512, 2**27  # that a player keeps, all together


class WireError(Exception):
    """Bytes that are no message of this protocol, or contradict themselves."""


class VersionError(WireError):
    """A message of another major version."""


class Kind(IntEnum):
    """What a request asks for."""

    DESCRIBE = 0
    LOAD = 1
    RENDER = 2
    PICTURE = 3
    FORGET = 4


class Form(IntEnum):
    """How images come back: as visual observations of the agents (PNG), or raw in the reply."""

    OBSERVATIONS = 0
    RGB = 1


class Status(IntEnum):
    """How the player fared."""

    OK = 0
    MALFORMED = 1  # the request's bytes
    VERSION = 2  # of the request
    SCENE = 3  # not the one that is loaded, a picture that is not there, or one of them that cannot be loaded
    MISMATCH = 4  # counts or sizes that the scene or the agents do not have
    FAILED = 5  # an exception in the player


def _record(*fields: tuple[str, int]) -> np.dtype[np.void]:
    return np.dtype([(name, "<f4", (size,)) if size > 1 else (name, "<f4") for name, size in fields])


CAMERA = _record(("position", 3), ("quaternion", 4), ("focal", 2), ("centre", 2), ("near", 1), ("far", 1))
"""MuJoCo's convention: looks along its own -z, +y is up in the image. Focal lengths along x and y, and the principal
point from the image's upper left corner, in pixels; the first one's centre is (0.5, 0.5). Clip distances in metres."""
BODY = _record(("position", 3), ("quaternion", 4))
"""Pose of a body's frame in the world."""
MATERIAL = _record(
    ("color", 3), ("metallic", 1), ("smoothness", 1), ("texture", 1), ("texture_scale", 2), ("texture_offset", 2),
    ("visible", 1),
)  # fmt: skip
"""Unity's Standard shader. `texture` counts the scene pack's textures, then the batch's pictures; -1 for none.
What has a material that is not `visible` (0) is left out."""
LIGHT = _record(
    ("type", 1), ("position", 3), ("direction", 3), ("color", 3), ("intensity", 1), ("range", 1), ("spot_deg", 1),
    ("shadow", 1),
)  # fmt: skip
"""`type` is a `LightType`; Unity's intensity; range in metres; the cone's whole angle; shadows' strength in [0, 1]."""
SOLID = _record(
    ("shape", 1), ("position", 3), ("quaternion", 4), ("size", 3), ("color", 3), ("metallic", 1), ("smoothness", 1),
)  # fmt: skip
"""Clutter. `shape` is a `SolidShape`; pose in the world; size in metres as MuJoCo's geoms have it: half sides of a box;
radius and half the axis (z) of a capsule; radius of a sphere."""
FRAME = _record(("background", 3), ("ambient", 3), ("reflection", 1), ("surroundings", 1), ("radiance", 1))
"""Colour where no geometry is; flat ambient light; strength of the white surroundings that surfaces reflect. Where
`surroundings` counts one of the batch's pictures (else -1), that is seen, lights and is reflected instead of all these:
`radiance` (linear) is how bright its 1 is, `reflection` the strength of what surfaces reflect of it."""

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


_REQUEST = struct.Struct("<4sHHHHIQII")
_REPLY = struct.Struct("<4sHHHHI6HI")
_RENDER = struct.Struct("<18H")
_SIZE, _PICTURE = struct.Struct("<2H"), struct.Struct("<Q")
_PIECE = struct.Struct("<II")
_REQUEST_MAGIC, _REPLY_MAGIC = b"UVRQ", b"UVRP"
_NO_PAYLOAD, _RGB, _TEXT = 0, 1, 2


@dataclass(frozen=True, eq=False)
class RenderBatch:
    """Samples to draw.

    Attributes:
        cameras, bodies, materials, lights, solids: records (B, C), (B, K), (B, M), (B, L), (B, S) of the dtypes above.
        frames: records (B,).
        sizes: width and height of each camera's images, pixels.
        pictures: hashes of those that materials show besides the scene pack's.
        form: how the images come back.
        msaa: samples per pixel, 1, 2, 4 or 8.
        shadow_size: pixels across a light's shadow map; 0 leaves it to the player's quality settings.
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
        """(B, C, H, W, 3) of the array that holds all images; smaller ones than the largest are padded."""
        width, height = (max((size[axis] for size in self.sizes), default=0) for axis in (0, 1))
        return len(self), len(self.sizes), height, width, 3

    @property
    def image_bytes(self) -> int:
        """Of all images as they travel, without padding."""
        return 3 * len(self) * sum(width * height for width, height in self.sizes)

    def images(self, pixels: np.ndarray) -> np.ndarray:
        """Images of ``image_shape``, padded with black right and below, of a reply's pixels (N,)."""
        if len(set(self.sizes)) == 1:
            return pixels.reshape(self.image_shape)
        padded, start = np.zeros(self.image_shape, np.uint8), 0
        of_sample = pixels.reshape(len(self), -1)
        for camera, (width, height) in enumerate(self.sizes):
            own = of_sample[:, start : start + 3 * width * height]
            padded[:, camera, :height, :width] = own.reshape(-1, height, width, 3)
            start += 3 * width * height
        return padded

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """The inverse, as a player does it."""
        parts = [images[:, camera, :height, :width] for camera, (width, height) in enumerate(self.sizes)]
        return np.concatenate([part.reshape(len(self), -1) for part in parts], axis=1).reshape(-1)

    def encode(self) -> bytes:
        """The payload of a RENDER request."""
        sections = [getattr(self, name) for name in SECTIONS]
        counts = [len(self), *(section.shape[1] for section in sections[:-1]), len(self.pictures)]
        strides = [dtype.itemsize for dtype in SECTIONS.values()]
        block = _RENDER.pack(_RENDER.size, *counts, *strides, self.form, self.msaa, self.shadow_size, 0)
        sizes = [_SIZE.pack(*size) for size in self.sizes]
        pictures = [_PICTURE.pack(picture) for picture in self.pictures]
        return b"".join([block, *sizes, *pictures, *(section.tobytes() for section in sections)])

    @classmethod
    def decode(cls, payload: bytes) -> RenderBatch:
        """The inverse, as a player does it; :class:`WireError` where sizes do not add up."""
        if len(payload) < _RENDER.size:
            raise WireError("render block is short")
        start, samples, *numbers = _RENDER.unpack_from(payload)
        counts, strides, pictures = [*numbers[:5], 1], numbers[6:12], numbers[5]
        form, msaa, shadow_size = numbers[12:15]
        if form not in iter(Form):
            raise WireError(f"unknown form {form} of images")
        if start < _RENDER.size or any(s < d.itemsize for s, d in zip(strides, SECTIONS.values(), strict=True)):
            raise WireError("record sizes are too small")
        lists = start + counts[0] * _SIZE.size, counts[0] * _SIZE.size + pictures * _PICTURE.size
        if start + lists[1] + samples * sum(c * s for c, s in zip(counts, strides, strict=True)) != len(payload):
            raise WireError("payload does not have the stated size")
        sizes = tuple(_SIZE.iter_unpack(payload[start : lists[0]]))
        hashes = tuple(number for (number,) in _PICTURE.iter_unpack(payload[lists[0] : start + lists[1]]))
        start += lists[1]
        sections: dict[str, np.ndarray] = {}
        for (name, dtype), count, stride in zip(SECTIONS.items(), counts, strides, strict=True):
            shape = (samples,) if name == "frames" else (samples, count)
            padded = np.frombuffer(payload, np.uint8, samples * count * stride, start).reshape(-1, stride)
            known = np.ascontiguousarray(padded[:, : dtype.itemsize])
            sections[name] = known.view(dtype).reshape(shape)
            start += samples * count * stride
        return cls(
            **sections, sizes=sizes, pictures=hashes, form=Form(form), msaa=msaa, shadow_size=shadow_size
        )  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One message to the player; `payload` is what its kind needs."""

    kind: Kind
    id: int
    hash: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        header = (_REQUEST_MAGIC, MAJOR, MINOR, _REQUEST.size, self.kind, self.id, self.hash, len(self.payload))
        unsigned = _REQUEST.pack(*header, 0) + self.payload
        return _REQUEST.pack(*header, _checksum(unsigned)) + self.payload

    @classmethod
    def decode(cls, message: bytes) -> Request:
        """The inverse, as a player does it; :class:`WireError` for anything else."""
        size, (kind, request_id, hash_, length, checksum) = _open(message, _REQUEST, _REQUEST_MAGIC)
        payload = message[size:]
        if len(payload) != length or _checksum(message) != checksum:
            raise WireError("request is damaged")
        if kind not in iter(Kind):
            raise WireError(f"unknown kind {kind}")
        return cls(Kind(kind), request_id, hash_, payload)


def _checksum(request: bytes) -> int:
    """CRC-32 of a request but for its last header field, which holds it."""
    return zlib.crc32(memoryview(request)[_REQUEST.size :], zlib.crc32(request[: _REQUEST.size - 4]))


def content_hash(content: bytes) -> int:
    """What requests call a scene pack or a picture: the first 64 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def pieces(content: bytes, piece_size: int = 2**20) -> list[bytes]:
    """Payloads of the LOAD or PICTURE requests that bring a scene pack or a picture over, in order."""
    offsets = range(0, len(content), piece_size)
    return [_PIECE.pack(len(content), offset) + content[offset : offset + piece_size] for offset in offsets]


def open_piece(payload: bytes) -> tuple[int, int, bytes]:
    """(bytes of the whole, offset, piece) of a LOAD or PICTURE request's payload."""
    if len(payload) < _PIECE.size:
        raise WireError("piece is short")
    whole, offset = _PIECE.unpack_from(payload)
    return whole, offset, payload[_PIECE.size :]


@dataclass(frozen=True, eq=False)
class Reply:
    """One message from the player.

    Attributes:
        id: of the request that it answers.
        status: how it went.
        shape: (B, C, H, W, 3) of the array that holds what was drawn, wherever it travels; zeros where nothing was.
        pixels: uint8 (N,) of the images, without padding, if they travel in this reply.
        text: a description, or what went wrong.
    """

    id: int
    status: Status
    shape: tuple[int, int, int, int, int] = (0, 0, 0, 0, 3)
    pixels: np.ndarray | None = None
    text: str = ""

    def encode(self) -> bytes:
        payload: bytes | memoryview = self.text.encode()
        form = _TEXT if payload else _NO_PAYLOAD
        if self.pixels is not None:
            payload, form = np.ascontiguousarray(self.pixels).data, _RGB
        header = (_REPLY_MAGIC, MAJOR, MINOR, _REPLY.size, self.status, self.id, *self.shape[:4], form, 0)
        return b"".join((_REPLY.pack(*header, len(payload)), payload))

    @classmethod
    def decode(cls, message: bytes) -> Reply:
        """The inverse; :class:`WireError` for anything that is no reply, :class:`VersionError` for a foreign one."""
        size, (status, request_id, *shape, form, _, length) = _open(message, _REPLY, _REPLY_MAGIC)
        if len(message) - size != length or status not in iter(Status):
            raise WireError("reply does not have the stated size, or an unknown status")
        reply: dict[str, Any] = {"id": request_id, "status": Status(status), "shape": (*shape, 3)}
        if form == _RGB:
            if length > math.prod(reply["shape"]):
                raise WireError(f"{length} bytes are no images of shape {reply['shape']}")
            reply["pixels"] = np.frombuffer(message, np.uint8, offset=size)
        elif form == _TEXT:
            reply["text"] = message[size:].decode("utf-8", "replace")
        elif form != _NO_PAYLOAD or length:
            raise WireError(f"unknown form {form} of a reply")
        return cls(**reply)


def _open(message: bytes, header: struct.Struct, magic: bytes) -> tuple[int, tuple[Any, ...]]:
    """(header bytes as stated, the header's fields after those that every message begins with)."""
    if len(message) < header.size or not message.startswith(magic):
        raise WireError(f"{len(message)} bytes that are no message of this protocol")
    _, major, minor, size, *fields = header.unpack_from(message)
    if major != MAJOR:
        raise VersionError(f"the other side speaks protocol {major}.{minor}, this one {MAJOR}.{MINOR}")
    if not header.size <= size <= len(message):
        raise WireError(f"header of {size} bytes")
    return size, tuple(fields)
