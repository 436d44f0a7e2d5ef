"""Everything else that is read: states, records, evaluations, recordings, the words of a Unity player.

Damaged at random, each is refused in one line, or gives what was written.
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datagen.states.collect import StatesConfig, collect
from datagen.states.files import committed_part, load_states, states_fingerprint
from datagen.unity import wire
from eval.laboratory.capture import read_pictures, read_poses
from eval.laboratory.pictures import read_picture
from tests.eval.lab import calibrated_rig, write_csv
from tests.faults.conftest import Trials
from tests.faults.harness import damaged, memory_bounded, misworded, outcome
from tests.unity import codec
from tests.unity.batches import random_batch
from vision.errors import DactylError
from vision.rigs.calibration import load_calibration, save_calibration
from vision.storage.schema import PREDICTIONS, STATES, Field
from vision.storage.tables import read_table, write_table

# ------------------------------------------------------------------------------------------------------- states


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states") / "states"
    collect(StatesConfig(folder, count=9, worlds=3, episode_steps=6, stride=3, threads=1))
    return folder


def test_damaged_states_are_refused(states: Path, tmp_path: Path, trials: Trials) -> None:
    folder = Path(shutil.copytree(states, tmp_path / "states"))
    expected = load_states(states)
    rng = np.random.default_rng(84)
    files = sorted(path.name for path in states.glob("[pm]*"))
    refused = 0
    for trial in trials(40, 1000):
        name = files[trial % len(files)]
        (folder / name).write_bytes(damaged((states / name).read_bytes(), rng)[1])
        with memory_bounded():
            found = outcome(lambda: load_states(folder), folder)
            outcome(lambda: [committed_part(folder, part) for part in range(3)], folder)
            outcome(lambda: states_fingerprint(folder), folder)
        refused += isinstance(found, str)
        if not isinstance(found, str):
            assert all(np.array_equal(getattr(expected, key), getattr(found, key)) for key in STATES)
        shutil.copy(states / name, folder / name)
    assert refused > trial // 3


@pytest.mark.parametrize("table", [STATES, PREDICTIONS])
def test_a_damaged_table_gives_no_other_numbers(table: dict[str, Any], tmp_path: Path, trials: Trials) -> None:
    """Without a manifest to compare with: Parquet's own checksums have to do."""
    path, rng = tmp_path / "table.parquet", np.random.default_rng(85)
    sizes = {"J": 24, "A": 20, "F": 5}
    columns = {
        key: np.zeros((300, *(sizes.get(str(size), size) for size in field.shape)), field.dtype)
        for key, field in table.items()
    }
    for key, field in table.items():
        if field.shape == (4,):
            columns[key][:, 0] = 1
        elif np.dtype(field.dtype).kind == "f":
            columns[key] += rng.uniform(0, 1, columns[key].shape)
    write_table(path, columns, table, {"note": 1})
    whole = path.read_bytes()
    for trial in trials(60, 2000):
        what, content = damaged(whole, rng)
        path.write_bytes(content)
        with memory_bounded():
            found = outcome(lambda: read_table(path, table), path)
        if not isinstance(found, str):
            assert all(np.array_equal(columns[key], found[0][key]) for key in table), f"trial {trial}: {what}"


def test_a_table_is_not_read_before_its_rows_are_counted(tmp_path: Path) -> None:
    """Found: four million equal rows are 0.7 MB of Parquet and gigabytes of memory."""
    table = {"value": Field("float64", (100,), "1", "", (0, 1), "")}
    path = tmp_path / "part.parquet"
    zeros = pa.table({"value": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(5_000_000)), 100)})
    with pq.ParquetWriter(path, zeros.schema, compression="zstd") as writer:
        for _ in range(28):
            writer.write_table(zeros)
    assert path.stat().st_size < 1 << 20
    with memory_bounded(256):
        assert "1,400,000 rows of 800 bytes, more than" in str(outcome(lambda: read_table(path, table), path))
        assert "1,400,000 rows, expected 7" in str(outcome(lambda: read_table(path, table, 7), path))
        assert "missing or unknown" in str(outcome(lambda: read_table(path, STATES), path))
        assert "expected fixed_size_list" in str(
            outcome(lambda: read_table(path, {"value": STATES["object_position"]}))
        )


def test_a_changed_record_is_not_believed(states: Path, tmp_path: Path) -> None:
    """Found: a part whose record was flipped to complete gave other states."""
    folder = Path(shutil.copytree(states, tmp_path / "states"))
    last = sorted(folder.glob("part-*.json"))[-1]
    last.write_text(last.read_text().replace('"complete": false', '"complete": true'))
    with pytest.raises(DactylError, match=f"{last}: this part record was changed after it was written"):
        collect(StatesConfig(folder, count=12, worlds=3, episode_steps=6, stride=3, threads=1))


# --------------------------------------------------------------------------------------------------- recordings


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Its tables and one picture; ``tests/eval/test_recordings.py`` imports whole ones."""
    rng = np.random.default_rng(0)
    lines = [[f"{0.01 * n:.4f}", *rng.normal(0, 1, 3), 1, 0, 0, 0] for n in range(30)]
    write_csv(tmp_path / "object.csv", "time_s,x,y,z,qw,qx,qy,qz", lines)
    write_csv(tmp_path / "left.csv", "time_s,file", [[f"{0.1 * n:.3f}", f"left/{n:04d}.png"] for n in range(9)])
    save_calibration(tmp_path / "calibration.json", calibrated_rig())
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "picture.png")
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "picture.jpg")
    return tmp_path


READERS: dict[str, Callable[[Path], Any]] = {
    "object.csv": read_poses,
    "left.csv": read_pictures,
    "calibration.json": load_calibration,
    "picture.png": read_picture,
    "picture.jpg": read_picture,
}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_recording_is_read_or_refused(name: str, recording: Path, trials: Trials) -> None:
    path, rng = recording / name, np.random.default_rng(86)
    whole = path.read_bytes()
    for trial in trials(60, 1000):
        if trial % 2 and not name.startswith("picture"):
            path.write_text(misworded(whole.decode(), rng))
        else:
            path.write_bytes(damaged(whole, rng)[1])
        with memory_bounded():
            found = outcome(lambda: READERS[name](path), path)
        if name == "left.csv" and not isinstance(found, str):
            assert all(file.resolve().is_relative_to(recording.resolve()) for file in found.files)


def test_a_picture_is_never_handed_to_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: Pillow tells formats by content, and draws PostScript by running Ghostscript on it."""
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/sung\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=os.pathsep)
    path = tmp_path / "0000.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n")
    assert "not a readable picture" in str(outcome(lambda: read_picture(path), path))
    assert not (tmp_path / "sung").exists()


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (12_000, 12_000)])
def test_a_picture_that_claims_a_huge_size_is_refused(width: int, height: int, tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 16))) + chunk(b"IEND", b"")
    path = tmp_path / "0000.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with memory_bounded(256):
        assert "not a readable picture" in str(outcome(lambda: read_picture(path), path))


# --------------------------------------------------------------------------------------------------------- wire


def messages(seed: int) -> dict[str, tuple[bytes, Callable[[bytes], Any]]]:
    rng = np.random.default_rng(seed)
    batch = random_batch(rng, 2, pictures=(1, 2))
    pictures = rng.integers(0, 255, (2, 3, 4, 5, 3), dtype=np.uint8)
    return {
        "request": (wire.Request(wire.Kind.RENDER, 5, 9, batch.encode()).encode(), codec.decode_request),
        "batch": (batch.encode(), codec.decode_batch),
        "reply": (
            codec.encode_reply(wire.Reply(3, wire.Status.OK, pictures.shape, pictures.ravel())),
            wire.Reply.decode,
        ),
        "words": (codec.encode_reply(wire.Reply(3, wire.Status.FAILED, text="out of memory")), wire.Reply.decode),
        "piece": (wire.pieces(rng.bytes(300), 100)[1], codec.open_piece),
    }


def read_or_refuse(decode: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return decode(message)
    except wire.WireError:
        return None


def test_a_damaged_message_is_read_or_refused(trials: Trials) -> None:
    rng = np.random.default_rng(87)
    wires = messages(1)
    for trial in trials(500, 20_000):
        whole, decode = wires[list(wires)[trial % len(wires)]]
        message = damaged(whole, rng)[1]
        with memory_bounded():
            found = read_or_refuse(decode, message)
        assert not isinstance(found, wire.Request), "a request carries a checksum"


@given(st.sampled_from(sorted(messages(1))), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(kind: str, message: bytes) -> None:
    whole, decode = messages(1)[kind]
    read_or_refuse(decode, message)
    read_or_refuse(decode, whole[:4] + message)
    read_or_refuse(decode, whole[:12] + message)
