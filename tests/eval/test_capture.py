"""Tables of a recording as others write them: read, or refused with the likely mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.laboratory.capture import read_pictures, read_poses
from eval.laboratory.triplets import picture_streams
from tests.scenes import scene
from vision.errors import DactylError

HEADER = "time_s,x,y,z,qw,qx,qy,qz"


def pose_lines(scale: float = 1.0, start: float = 0.0) -> list[str]:
    return [f"{start + scale * 0.01 * n:.6f},{0.1 + 0.001 * n:.4f},0.2,0.3,0.6,0,0.8,0" for n in range(20)]


def write(path: Path, lines: list[str], header: str = HEADER, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join([header, *lines, ""]), encoding)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "object.csv"


def refusal(path: Path) -> str:
    with pytest.raises(DactylError) as caught:
        (read_pictures if path.name == "left.csv" else read_poses)(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_a_byte_order_mark_windows_lines_and_another_order_of_columns_are_read(table: Path) -> None:
    expected = read_poses(write(table, pose_lines()))
    for path in (
        write(table, pose_lines(), encoding="utf-8-sig"),
        write(table, [f" {line} \r" for line in pose_lines()]),
        write(table, [",".join(np.roll(line.split(","), -1)) for line in pose_lines()], "x,y,z,qw,qx,qy,qz,time_s"),
    ):
        found = read_poses(path)
        for key in ("time", "position", "quaternion"):
            np.testing.assert_array_equal(getattr(found, key), getattr(expected, key))
    pictures = write(table.with_name("left.csv"), ["0.0,a.png", "0.1,b.png"], "time_s,file", "utf-8-sig")
    assert [file.name for file in read_pictures(pictures).files] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "cells", [",,,,,,", "0,0,0,0,0,0,0", "0,0,0,1,0,0,0", "0,0,0,0,0,0,1", "0.1,0.2,0.3,0,0,0,0", "nan,0,0,1,0,0,0"]
)
def test_lost_markers_are_lost_however_they_are_written(cells: str, table: Path) -> None:
    lines = pose_lines()
    lines[5] = lines[5].split(",")[0] + "," + cells
    stream = read_poses(write(table, lines))
    assert np.flatnonzero(np.isnan(stream.position[:, 0])).tolist() == [5]
    assert stream.at(0.05, 0.05) == "object not seen by the motion capture"


def test_a_picture_is_of_one_moment_and_one_camera(table: Path) -> None:
    """A logger that repeats itself, and a table that was copied for another camera, made poses of old pictures."""
    lines = ["0.0,left/a.png", "0.1,left/b.png", "0.2,left/a.png"]
    assert "line 4: 'left/a.png' is the picture of line 2, too" in refusal(
        write(table.with_name("left.csv"), lines, "time_s,file")
    )
    for name in ("left", "top", "right"):
        write(table.with_name(f"{name}.csv"), lines[:2], "time_s,file")
    with pytest.raises(DactylError, match=r"top\.csv: left/a\.png is a picture of camera 'left', too"):
        picture_streams(table.parent, scene("block").rig)


@pytest.mark.parametrize(("scale", "unit"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")])
def test_other_units_of_time_are_named(scale: float, unit: str, table: Path) -> None:
    assert f"are these {unit}?" in refusal(write(table, pose_lines(scale, 1.7e9 * scale)))
    lines = [f"{scale * 0.1 * n:.9g},{n}.png" for n in range(9)]
    assert f"are these {unit}?" in refusal(write(table.with_name("left.csv"), lines, "time_s,file"))


def test_times_that_are_none_are_refused(table: Path) -> None:
    assert "time_s rises by 1e-05 from line to line" in refusal(write(table, pose_lines(1e-3)))
    assert "which unit is it?" in refusal(write(table, pose_lines(1e-3)))


@pytest.mark.parametrize(
    ("lines", "header", "text"),
    [
        ([line.replace(",", ";") for line in pose_lines()], HEADER.replace(",", ";"), "between semicolons; export"),
        ([line.replace(",", "\t") for line in pose_lines()], HEADER.replace(",", "\t"), "between tabulators"),
        (pose_lines(), pose_lines()[0], "got numbers; write the header"),
        (pose_lines(), HEADER.replace("time_s", "time"), "expected the header time_s,x,y,z,qw,qx,qy,qz, got 'time,x"),
        (pose_lines(), HEADER.replace("qw", "x"), "expected the header"),
        ([line.replace(".", ",") for line in pose_lines()], HEADER, "line 2: expected 8 cells, got 1"),
        (["0.0,1_0,0,0,1,0,0,0"], HEADER, "line 2: '1_0' is not a number"),
        (["0.0,101.5,-222.1,30,1,0,0,0"], HEADER, "position [101.5, -222.1, 30.0] m, expected at most 20; are these"),
        (["0.0,0.1,0,0,90,0,0,0"], HEADER, "line 2: the quaternion is not of length 1"),
        ([], "", "got an empty file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(lines: list[str], header: str, text: str, table: Path) -> None:
    assert text in refusal(write(table, lines, header))


def test_utf_16_is_named(table: Path) -> None:
    assert "expected UTF-8, got UTF-16" in refusal(write(table, pose_lines(), encoding="utf-16"))


def test_names_that_no_file_can_have_are_refused(table: Path) -> None:
    assert "line 2: 'aaaa" in refusal(write(table.with_name("left.csv"), ["0.0," + "a" * 300], "time_s,file"))
