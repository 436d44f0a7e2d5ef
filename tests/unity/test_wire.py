"""The wire format: what goes in comes out, and nothing damaged gets through."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.unity import records, wire
from tests.unity.batches import random_batch
from tests.unity.codec import decode_batch, decode_request, encode_reply, open_piece, pixels_of

SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


@given(st.integers(1, 3), SIZES, st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_a_batch_survives_the_wire(
    samples: int, sizes: list[tuple[int, int]], lights: int, pictures: int, seed: int
) -> None:
    hashes = tuple(2**64 - 1 - number for number in range(pictures))
    rng = np.random.default_rng(seed)
    batch = random_batch(rng, samples, sizes=tuple(sizes), lights=lights, solids=lights, pictures=hashes)
    again = decode_batch(batch.encode())
    for name in records.SECTIONS:
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))
    assert (again.sizes, again.pictures, again.form, again.msaa, again.shadow_size) == (
        batch.sizes, batch.pictures, batch.form, batch.msaa, batch.shadow_size,
    )  # fmt: skip


@given(st.integers(1, 3), SIZES)
def test_images_travel_without_padding(samples: int, sizes: list[tuple[int, int]]) -> None:
    batch = random_batch(np.random.default_rng(0), samples, sizes=tuple(sizes))
    pixels = np.random.default_rng(1).integers(1, 256, batch.image_bytes, dtype=np.uint8)
    images = batch.images(pixels)
    assert images.shape == batch.image_shape == (samples, len(sizes), *np.max(sizes, axis=0)[::-1], 3)
    assert (images > 0).sum() == len(pixels)
    np.testing.assert_array_equal(pixels_of(batch, images), pixels)
    start = 0
    for sample in range(samples):  # the definition: one image after another, row by row from the top
        for camera, (width, height) in enumerate(sizes):
            image = pixels[start : start + 3 * width * height].reshape(height, width, 3)
            np.testing.assert_array_equal(images[sample, camera, :height, :width], image)
            start += image.size


def test_a_request_survives_the_wire() -> None:
    request = wire.Request(wire.Kind.LOAD, 77, 2**63 + 5, b"payload")
    assert decode_request(request.encode()) == request


@given(st.data())
def test_a_request_with_one_flipped_bit_is_refused(data: st.DataObject) -> None:
    request = wire.Request(wire.Kind.RENDER, 5, 9, random_batch(np.random.default_rng(1), 1).encode())
    message = bytearray(request.encode())
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(wire.WireError):
        decode_request(bytes(message))


@given(st.integers(0, 200))
def test_a_cut_message_is_refused(length: int) -> None:
    request = wire.Request(wire.Kind.RENDER, 5, 9, random_batch(np.random.default_rng(1), 1).encode()).encode()
    with pytest.raises(wire.WireError):
        decode_request(request[:length])
    reply = encode_reply(wire.Reply(3, wire.Status.OK, (1, 1, 8, 8, 3), np.zeros(192, np.uint8)))
    with pytest.raises(wire.WireError):
        wire.Reply.decode(reply[:length])


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        (0, b"X", wire.WireError),  # magic
        (4, b"\1", wire.VersionError),  # major
        (8, b"\1", wire.WireError),  # header bytes
        (10, b"\x63", wire.WireError),  # status
        (16, b"\x00", wire.WireError),  # fewer samples than pixels
        (24, b"\x09", wire.WireError),  # form
        (28, b"\x01", wire.WireError),  # payload bytes
    ],
)
def test_a_wrong_reply_is_refused(place: int, value: bytes, error: type[Exception]) -> None:
    reply = encode_reply(wire.Reply(3, wire.Status.OK, (1, 2, 8, 8, 3), np.zeros(384, np.uint8)))
    with pytest.raises(error):
        wire.Reply.decode(reply[:place] + value + reply[place + 1 :])


def test_records_of_a_newer_minor_version_are_read_as_far_as_known() -> None:
    batch = random_batch(np.random.default_rng(2), 2, pictures=(7,))
    again = decode_batch(lengthened(batch))
    for name in records.SECTIONS:
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name))


def lengthened(batch: records.RenderBatch) -> bytes:
    """The payload as a newer minor version might send it: a longer block, and two more values in every record."""
    payload = batch.encode()
    block = np.frombuffer(payload[:36], "<u2").copy()
    block[0] += 6
    block[8:14] += 8  # bytes of records
    lists = payload[36 : 36 + 4 * len(batch.sizes) + 8 * len(batch.pictures)]
    sections = [
        np.pad(np.frombuffer(getattr(batch, name).tobytes(), "<f4").reshape(-1, dtype.itemsize // 4), ((0, 0), (0, 2)))
        for name, dtype in records.SECTIONS.items()
    ]
    return block.tobytes() + b"\0" * 6 + lists + b"".join(section.tobytes() for section in sections)


def test_pieces_of_a_pack_make_it_whole() -> None:
    pack = np.random.default_rng(0).bytes(2500)
    pieces = [open_piece(piece) for piece in wire.pieces(pack, piece_size=1000)]
    assert [(whole, offset) for whole, offset, _ in pieces] == [(2500, 0), (2500, 1000), (2500, 2000)]
    assert b"".join(piece for _, _, piece in pieces) == pack


def test_batches_of_unequal_length_are_refused() -> None:
    batch = random_batch(np.random.default_rng(0), 2)
    with pytest.raises(ValueError, match="lights"):
        dataclasses.replace(batch, lights=batch.lights[:1])
    with pytest.raises(ValueError, match="sizes: 2 of 3 cameras"):
        dataclasses.replace(batch, sizes=batch.sizes[:2])
