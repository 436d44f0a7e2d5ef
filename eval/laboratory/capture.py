"""Time-stamped streams of a recording: images and motion-captured poses, and their lookup by time.

Both are CSV files with a header. Images: ``time_s,file``. Poses: ``time_s,x,y,z,qw,qx,qy,qz``, metres and a unit
quaternion, body to capture; if the markers were not seen, the pose's fields are empty or the zeros that some trackers
write. Columns may come in any order. All streams share one clock.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from eval.laboratory.recording_limits import LONGEST_STEP_S
from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, rigid_transform, rotation_from_quaternion
from vision.io.files import MAX_TABLE_BYTES, read_file
from vision.rigs.calibration import MAX_POSITION_M

POSE_COLUMNS = ("time_s", "x", "y", "z", "qw", "qx", "qy", "qz")
PICTURE_COLUMNS = ("time_s", "file")
_STALE_COPIES = 3  # equal readings in a row, which neither a moving body nor a noisy sensor produces
_POSE_STEP_S = (1e-4, 1.0)  # median step of the motion capture; beyond a second nothing is interpolated
_PICTURE_STEP_S = (1e-4, LONGEST_STEP_S)  # median step of the images; a pause of two seconds begins another episode
_UNITS = {"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_LONGEST_NAME = 255  # bytes of a file name


@dataclass(frozen=True)
class PoseStream:
    """Poses of a body over time.

    Attributes:
        time: (N,) seconds, rising.
        position: (N, 3) metres, capture frame; NaN if the body was not seen.
        quaternion: (N, 4) w x y z, body to capture; NaN likewise.
        stale: (N,) bool, whether the reading repeats earlier ones because the tracker held its last value.
    """

    time: FloatArray
    position: FloatArray
    quaternion: FloatArray
    stale: np.ndarray

    def at(self, time: float, max_gap_s: float) -> FloatArray | str:
        """Return body to capture, (4, 4), interpolated between the readings around ``time``, or why there is none."""
        after = int(np.searchsorted(self.time, time, side="left"))
        if after < len(self.time) and self.time[after] == time:
            before = after
        elif after in (0, len(self.time)):
            return "outside of the motion capture's time"
        else:
            before = after - 1
        if self.time[after] - self.time[before] > max_gap_s:
            return "gap in the motion capture"
        pair = [before, after]
        if not np.isfinite(self.position[pair]).all():
            return "object not seen by the motion capture"
        if self.stale[pair].any():
            return "stale pose"
        if before == after:
            return rigid_transform(rotation_from_quaternion(self.quaternion[after]).as_matrix(), self.position[after])
        share = (time - self.time[before]) / (self.time[after] - self.time[before])
        position = (1 - share) * self.position[before] + share * self.position[after]
        turn: Rotation = Slerp([0.0, 1.0], rotation_from_quaternion(self.quaternion[pair]))([share])
        return rigid_transform(turn.as_matrix()[0], position)


@dataclass(frozen=True)
class PictureStream:
    """Image files of a camera over time, (N,) seconds, rising."""

    time: FloatArray
    files: tuple[Path, ...]

    def nearest(self, time: float) -> int:
        """Return the number of the image nearest in time."""
        after = int(np.clip(np.searchsorted(self.time, time), 1, max(len(self.time) - 1, 1)))
        candidates = [after - 1, min(after, len(self.time) - 1)]
        return min(candidates, key=lambda number: abs(self.time[number] - time))


def read_poses(path: Path) -> PoseStream:
    """Read a pose stream; a :class:`DactylError` names the wrong line."""
    lines = _read(path, POSE_COLUMNS)
    values = np.array([[_number(cell, path, line) for cell in row] for line, row in lines]).reshape(-1, 8)
    time, position, quaternion = values[:, 0], values[:, 1:4].copy(), values[:, 4:].copy()
    _check_time(time, path, lines, _POSE_STEP_S)
    lost = ~np.isfinite(values[:, 1:]).all(axis=1) | (quaternion == 0).all(axis=1)
    # A tracker that has lost its markers may also write the origin, which no measurement yields to the last digit.
    lost |= (position == 0).all(axis=1) & ((quaternion != 0).sum(axis=1) == 1)
    position[lost], quaternion[lost] = np.nan, np.nan
    if (off := np.abs(np.linalg.norm(quaternion, axis=1) - 1) > 1e-2).any():
        raise DactylError(f"{path}: line {_first(lines, off)}: the quaternion is not of length 1; expected qw,qx,qy,qz")
    if (far := np.abs(position).max(axis=1) > MAX_POSITION_M).any():
        raise DactylError(
            f"{path}: line {_first(lines, far)}: position {position[far][0].tolist()} m, expected at most "
            f"{MAX_POSITION_M:g}; are these millimetres?"
        )
    repeats = (np.diff(values[:, 1:], axis=0) == 0).all(axis=1)
    return PoseStream(time, position, quaternion, _runs(repeats))


def read_pictures(path: Path) -> PictureStream:
    """Read an image stream; files are relative to the CSV's folder and must lie in it."""
    lines = _read(path, PICTURE_COLUMNS)
    time = np.array([_number(row[0], path, line) for line, row in lines])
    _check_time(time, path, lines, _PICTURE_STEP_S)
    files: dict[Path, int] = {}
    for line, (_, name) in lines:
        file = Path(name)
        too_long = any(len(part.encode()) > _LONGEST_NAME for part in file.parts)
        if not name or "\0" in name or too_long or file.is_absolute() or ".." in file.parts:
            raise DactylError(f"{path}: line {line}: '{name[:80]}' is not a file below {path.parent}")
        if (first := files.setdefault(path.parent / file, line)) != line:
            raise DactylError(f"{path}: line {line}: '{name[:80]}' is the picture of line {first}, too; record again")
    return PictureStream(time, tuple(files))


def _read(path: Path, columns: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """Read (line number, cells in the order of ``columns``) of every line."""
    content = read_file(path, MAX_TABLE_BYTES, "table of a recording (docs/recording.md)")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DactylError(f"{path}: expected UTF-8, got UTF-16; export it again as CSV in UTF-8")
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = [cell.strip() for cell in next(reader, [])]
        lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(reader, 2) if row]
    except (ValueError, csv.Error) as error:
        raise DactylError(f"{path}: not a readable CSV ({error}); export it again") from error
    if sorted(header) != sorted(columns):
        raise DactylError(f"{path}: expected the header {','.join(columns)}, {_header_fault(header, columns)}")
    order = [header.index(name) for name in columns]
    for number, row in lines:
        if len(row) != len(columns):
            hint = "; are there decimal commas?" if len(row) > len(columns) else ""
            raise DactylError(f"{path}: line {number}: expected {len(columns)} cells, got {len(row)}{hint}")
    if not lines:
        raise DactylError(f"{path}: no lines; record again")
    return [(number, [row[column] for column in order]) for number, row in lines]


def _header_fault(header: list[str], columns: tuple[str, ...]) -> str:
    text = ",".join(header)
    for separator, name in ((";", "semicolons"), ("\t", "tabulators")):
        if sorted(cell.strip(' "') for cell in text.split(separator)) == sorted(columns):
            return f"got its names between {name}; export it with commas"
    try:
        [float(cell) for cell in header]
    except ValueError:
        return f"got {text[:80]!r}"
    return "got numbers; write the header into the first line" if header else "got an empty file"


def _number(cell: str, path: Path, line: int) -> float:
    try:
        if "_" in cell:  # Python would accept 1_000
            raise ValueError
        return float(cell) if cell else math.nan
    except ValueError:
        raise DactylError(f"{path}: line {line}: '{cell[:80]}' is not a number") from None


def _check_time(time: FloatArray, path: Path, lines: list[tuple[int, list[str]]], steps: tuple[float, float]) -> None:
    """Refuse times that do not rise, or whose median step is outside ``steps`` seconds."""
    if (wrong := ~np.isfinite(time) | np.concatenate([[False], ~(np.diff(time) > 0)])).any():
        raise DactylError(f"{path}: line {_first(lines, wrong)}: time does not rise; sort it, one clock for all")
    if len(time) < 2 or steps[0] <= (step := float(np.median(np.diff(time)))) < steps[1]:
        return
    likely = [unit for unit, seconds in _UNITS.items() if steps[0] <= step * seconds < steps[1]]
    raise DactylError(
        f"{path}: time_s rises by {step:g} from line to line, expected {steps[0]:g} to {steps[1]:g} seconds; "
        + (f"are these {likely[0]}?" if likely else "which unit is it?")
    )


def _first(lines: list[tuple[int, list[str]]], wrong: np.ndarray) -> int:
    """Return the number of the first wrong line."""
    return lines[int(wrong.argmax())][0]


def _runs(repeats: np.ndarray) -> np.ndarray:
    """Mark readings (N,) in a run of at least ``_STALE_COPIES`` equal ones, except the first of the run."""
    stale = np.zeros(len(repeats) + 1, bool)
    start = 0
    for number in range(1, len(repeats) + 2):
        if number > len(repeats) or not repeats[number - 1]:
            if number - start >= _STALE_COPIES:
                stale[start + 1 : number] = True
            start = number
    return stale
