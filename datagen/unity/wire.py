"""Wire protocol between Python and the Unity player; the C# side is ``unity_project/Assets/Scripts/Protocol``.

Messages use an ML-Agents side channel, with one request and one reply for each environment step. Everything is
little-endian. A request identifies its scene or picture by a hash, and has a CRC; a reply repeats the request's id.
Positions and directions are in MuJoCo's world frame (metres, z up), quaternions are w x y z; the player converts them.
Colours are sRGB-encoded, as an artist picks them: in linear colour space, Unity itself converts the colours of
materials, lights and backgrounds, and encodes the image again.

A player of another major version is refused. A minor version may append fields to headers and records: both sides read
the fields they know and skip the rest by the sizes that the message states.

Request: header of 32 bytes, payload.
    magic "UVRQ", u16 major, u16 minor, u16 header bytes, u16 kind, u32 id, u64 hash (of the scene pack that is loaded
    or drawn, or of the picture that is sent), u32 payload bytes, u32 CRC-32 of everything else
Payload of DESCRIBE: empty. The reply's text describes the player, one "key: value" per line.
Payload of LOAD: u32 bytes of the whole scene pack, u32 offset of this piece, the piece. The last piece loads it.
Payload of PICTURE: the same, for a picture that samples show besides those of the scene pack: a PNG file, or
    surroundings (``environment.py``). The player keeps it until a FORGET request, whatever scene is loaded.
Payload of FORGET: empty. The player forgets all pictures.
Payload of RENDER: u16 bytes of this block (36), u16 samples, cameras, bodies, materials, lights, solids, pictures, u16
    bytes of a record of camera, body, material, light, solid, frame, u16 image form, samples per pixel, width of a
    shadow map in pixels, reserved; for each camera u16 width, u16 height of its images; for each picture u64 hash; then
    the records (``records.py``), float32, each section as [sample][count].
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
MAX_REQUEST = 4_000_000  # bytes; the C# client accepts 4 MiB per message
MAX_PICTURES, MAX_PICTURE_BYTES = 512, 2**27  # number and total size of pictures that a player keeps


class WireError(Exception):
    """Bytes that are not a message of this protocol, or are inconsistent."""


class VersionError(WireError):
    """Message of another major version."""


class Kind(IntEnum):
    """Kind of a request."""

    DESCRIBE = 0
    LOAD = 1
    RENDER = 2
    PICTURE = 3
    FORGET = 4


class Status(IntEnum):
    """Outcome of a request."""

    OK = 0
    MALFORMED = 1  # the request's bytes
    VERSION = 2  # of the request
    SCENE = 3  # not the loaded one; or a missing picture; or one of them cannot be loaded
    MISMATCH = 4  # counts or sizes that differ from the scene's or the agents'
    FAILED = 5  # an exception in the player


_REQUEST = struct.Struct("<4sHHHHIQII")
_REPLY = struct.Struct("<4sHHHHI6HI")
_PIECE = struct.Struct("<II")
_REQUEST_MAGIC, _REPLY_MAGIC = b"UVRQ", b"UVRP"
_NO_PAYLOAD, _RGB, _TEXT = 0, 1, 2


@dataclass(frozen=True)
class Request:
    """Message to the player; the content of ``payload`` depends on ``kind``."""

    kind: Kind
    id: int
    hash: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        header = (_REQUEST_MAGIC, MAJOR, MINOR, _REQUEST.size, self.kind, self.id, self.hash, len(self.payload))
        unsigned = _REQUEST.pack(*header, 0) + self.payload
        return _REQUEST.pack(*header, _checksum(unsigned)) + self.payload


def _checksum(request: bytes) -> int:
    """Return the CRC-32 of a request without its last header field, which holds it."""
    return zlib.crc32(memoryview(request)[_REQUEST.size :], zlib.crc32(request[: _REQUEST.size - 4]))


def content_hash(content: bytes) -> int:
    """Return the hash of a scene pack or a picture in requests: the first 64 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def pieces(content: bytes, piece_size: int = 2**20) -> list[bytes]:
    """Return the payloads of the LOAD or PICTURE requests that send a scene pack or a picture, in order."""
    offsets = range(0, len(content), piece_size)
    return [_PIECE.pack(len(content), offset) + content[offset : offset + piece_size] for offset in offsets]


@dataclass(frozen=True, eq=False)
class Reply:
    """Message from the player.

    Attributes:
        id: id of the request that it answers.
        status: outcome of the request.
        shape: shape (B, C, H, W, 3) of the array of the drawn images, however they are sent; zeros if none were drawn.
        pixels: pixels of the images, without padding, uint8 (N,), if they are sent in this reply.
        text: a description, or an error message.
    """

    id: int
    status: Status
    shape: tuple[int, int, int, int, int] = (0, 0, 0, 0, 3)
    pixels: np.ndarray | None = None
    text: str = ""

    @classmethod
    def decode(cls, message: bytes) -> Reply:
        """Decode a reply; raise :class:`WireError` if it is none, :class:`VersionError` if it is of another version."""
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
    """Return the stated size of the header, and its fields after those common to all messages."""
    if len(message) < header.size or not message.startswith(magic):
        raise WireError(f"{len(message)} bytes that are no message of this protocol")
    _, major, minor, size, *fields = header.unpack_from(message)
    if major != MAJOR:
        raise VersionError(f"the other side speaks protocol {major}.{minor}, this one {MAJOR}.{MINOR}")
    if not header.size <= size <= len(message):
        raise WireError(f"header of {size} bytes")
    return size, tuple(fields)
