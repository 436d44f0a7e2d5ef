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
    records (`records.py`), float32, each section as [sample][count].
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


class Status(IntEnum):
    """How the player fared."""

    OK = 0
    MALFORMED = 1  # the request's bytes
    VERSION = 2  # of the request
    SCENE = 3  # not the one that is loaded, a picture that is not there, or one of them that cannot be loaded
    MISMATCH = 4  # counts or sizes that the scene or the agents do not have
    FAILED = 5  # an exception in the player


_REQUEST = struct.Struct("<4sHHHHIQII")
_REPLY = struct.Struct("<4sHHHHI6HI")
_PIECE = struct.Struct("<II")
_REQUEST_MAGIC, _REPLY_MAGIC = b"UVRQ", b"UVRP"
_NO_PAYLOAD, _RGB, _TEXT = 0, 1, 2


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
