"""The player's half of the protocol, as ``unity_project/Assets/Scripts/Protocol`` has it: requests are decoded, replies
are encoded."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from datagen.unity.environment import _HEADER as _PICTURE_HEADER
from datagen.unity.environment import MAGIC as PICTURE_MAGIC
from datagen.unity.environment import EnvironmentPicture
from datagen.unity.records import _PICTURE, _RENDER, _SIZE, SECTIONS, Form, RenderBatch
from datagen.unity.scene_pack import _HEADER as _PACK_HEADER
from datagen.unity.scene_pack import _MAGIC as _PACK_MAGIC
from datagen.unity.scene_pack import MAJOR as PACK_MAJOR
from datagen.unity.scene_pack import PackBody, PackMaterial, PackPart, ScenePack
from datagen.unity.wire import (
    _NO_PAYLOAD,
    _PIECE,
    _REPLY,
    _REPLY_MAGIC,
    _REQUEST,
    _REQUEST_MAGIC,
    _RGB,
    _TEXT,
    MAJOR,
    MINOR,
    Kind,
    Reply,
    Request,
    VersionError,
    WireError,
    _checksum,
    _open,
)


def decode_request(message: bytes) -> Request:
    """Decode as a player does; raise :class:`WireError` for anything else."""
    size, (kind, request_id, hash_, length, checksum) = _open(message, _REQUEST, _REQUEST_MAGIC)
    payload = message[size:]
    if len(payload) != length or _checksum(message) != checksum:
        raise WireError("request is damaged")
    if kind not in iter(Kind):
        raise WireError(f"unknown kind {kind}")
    return Request(Kind(kind), request_id, hash_, payload)


def open_piece(payload: bytes) -> tuple[int, int, bytes]:
    """Return (total bytes, offset, piece) of a LOAD or PICTURE request's payload."""
    if len(payload) < _PIECE.size:
        raise WireError("piece is short")
    whole, offset = _PIECE.unpack_from(payload)
    return whole, offset, payload[_PIECE.size :]


def encode_reply(reply: Reply) -> bytes:
    """Encode as a player does."""
    payload: bytes | memoryview = reply.text.encode()
    form = _TEXT if payload else _NO_PAYLOAD
    if reply.pixels is not None:
        payload, form = np.ascontiguousarray(reply.pixels).data, _RGB
    header = (_REPLY_MAGIC, MAJOR, MINOR, _REPLY.size, reply.status, reply.id, *reply.shape[:4], form, 0)
    return b"".join((_REPLY.pack(*header, len(payload)), payload))


def pixels_of(batch: RenderBatch, images: np.ndarray) -> np.ndarray:
    """Return a reply's pixels (N,) of images, as a player does."""
    parts = [images[:, camera, :height, :width] for camera, (width, height) in enumerate(batch.sizes)]
    return np.concatenate([part.reshape(len(batch), -1) for part in parts], axis=1).reshape(-1)


def decode_batch(payload: bytes) -> RenderBatch:
    """Decode as a player does; raise :class:`WireError` if sizes do not add up."""
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
    return RenderBatch(
        **sections, sizes=sizes, pictures=hashes, form=Form(form), msaa=msaa, shadow_size=shadow_size
    )  # fmt: skip


def decode_pack(data: bytes) -> ScenePack:
    """Decode as a player does; raise :class:`WireError` for anything else."""
    if len(data) < _PACK_HEADER.size or not data.startswith(_PACK_MAGIC):
        raise WireError("this is no scene pack")
    _, major, _, length, checksum = _PACK_HEADER.unpack_from(data)
    if major != PACK_MAJOR:
        raise VersionError(f"scene pack of version {major}, this side reads {PACK_MAJOR}")
    payload = data[_PACK_HEADER.size :]
    if len(payload) != length or zlib.crc32(payload) != checksum:
        raise WireError("scene pack is damaged")
    reader = _Reader(payload)
    bodies = tuple(PackBody(reader.string(), reader.numbers("7f")) for _ in range(reader.number("H")))
    textures = tuple((reader.string(), reader.take(reader.number("I"))) for _ in range(reader.number("H")))
    materials = tuple(
        PackMaterial(reader.string(), reader.numbers("3f"), reader.number("h"), reader.numbers("2f"))
        for _ in range(reader.number("H"))
    )
    parts = tuple(reader.part(len(bodies), len(materials)) for _ in range(reader.number("H")))
    if any(not -1 <= material.texture < len(textures) for material in materials):
        raise WireError("a material's texture is not in the pack")
    return ScenePack(bodies, textures, materials, parts)


class _Reader:
    """Parser of a pack's payload that never reads beyond its end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, size: int) -> bytes:
        if self.position + size > len(self.data):
            raise WireError("scene pack ends early")
        self.position += size
        return self.data[self.position - size : self.position]

    def numbers(self, codes: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{codes}", self.take(struct.calcsize(f"<{codes}")))

    def number(self, code: str) -> int:
        number: int = self.numbers(code)[0]
        return number

    def string(self) -> str:
        return self.take(self.number("H")).decode("utf-8", "replace")

    def array(self, dtype: str, rows: int, columns: int) -> np.ndarray:
        return np.frombuffer(self.take(4 * rows * columns), dtype).reshape(rows, columns)

    def part(self, bodies: int, materials: int) -> PackPart:
        name = self.string()
        body, material, casts_shadow, vertices, triangles = self.numbers("HHHII")
        positions, normals, uv = (self.array("<f4", vertices, columns) for columns in (3, 3, 2))
        corners = self.array("<u4", triangles, 3)
        if body >= bodies or material >= materials or (triangles and corners.max() >= vertices):
            raise WireError(f"part {name} refers to what is not there")
        return PackPart(name, body, material, positions, normals, uv, corners, bool(casts_shadow))


def decode_picture(data: bytes) -> EnvironmentPicture:
    """Decode as a player does; raise :class:`WireError` for anything else."""
    if len(data) < _PICTURE_HEADER.size or not data.startswith(PICTURE_MAGIC):
        raise WireError("this is no picture of surroundings")
    _, size, count = _PICTURE_HEADER.unpack_from(data)
    sides = [size >> level for level in range(count)]
    if not sides or size & (size - 1) or sides[-1] != 1:
        raise WireError(f"surroundings of {size} pixels and {count} levels: expected all levels of a power of two")
    if len(data) != _PICTURE_HEADER.size + 9 * 3 * 4 + sum(6 * side * side * 4 * 2 for side in sides):
        raise WireError("surroundings do not have the stated size")
    harmonics = np.frombuffer(data, "<f4", 27, _PICTURE_HEADER.size).reshape(9, 3).astype(np.float64)
    start, levels = _PICTURE_HEADER.size + 27 * 4, []
    for side in sides:
        levels.append(np.frombuffer(data, "<f2", 24 * side * side, start).reshape(6, side, side, 4))
        start += levels[-1].nbytes
    return EnvironmentPicture(harmonics, tuple(levels))
