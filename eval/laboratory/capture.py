"""Time-stamped streams of a recording: pictures and motion-captured poses, and what they say at one moment.

Both are CSV files with a header. Pictures: ``time_s,file``. Poses: ``time_s,x,y,z,qw,qx,qy,qz``, metres and a unit
quaternion, body to capture; the pose's fields are empty where the markers were not seen. One clock for all.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from vision.errors import DactylError
from vision.geometry.rotations import FloatArray, rigid_transform, rotation_from_quaternion

POSE_COLUMNS = ("time_s", "x", "y", "z", "qw", "qx", "qy", "qz")
PICTURE_COLUMNS = ("time_s", "file")
_STALE_COPIES = 3  # equal readings in a row: a body that moves, or a sensor that measures, does not repeat itself


@dataclass(frozen=True)
class PoseStream:
    """Poses of a body over time.

    Attributes:
        time: (N,) seconds, rising.
        position: (N, 3) metres, capture frame; NaN where it was not seen.
        quaternion: (N, 4) w x y z, body to capture; NaN likewise.
        stale: (N,) the reading repeats the ones before it: the tracker held its last value.
    """

    time: FloatArray
    position: FloatArray
    quaternion: FloatArray
    stale: np.ndarray

    def at(self, time: float, max_gap_s: float) -> FloatArray | str:
        """Body to capture, (4, 4), interpolated between the two readings around ``time``; or why there is none."""
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
    """Picture files of a camera over time, (N,) seconds, rising."""

    time: FloatArray
    files: tuple[Path, ...]

    def nearest(self, time: float) -> int:
        """Number of the picture nearest in time."""
        after = int(np.clip(np.searchsorted(self.time, time), 1, max(len(self.time) - 1, 1)))
        candidates = [after - 1, min(after, len(self.time) - 1)]
        return min(candidates, key=lambda number: abs(self.time[number] - time))


def read_poses(path: Path) -> PoseStream:
    """A pose stream; :class:`DactylError` names the line that is wrong."""
    lines = _read(path, POSE_COLUMNS)
    values = np.array([[_number(cell, path, line) for cell in row] for line, row in lines]).reshape(-1, 8)
    time, position, quaternion = values[:, 0], values[:, 1:4], values[:, 4:]
    _refuse_disorder(time, path, lines)
    seen = np.isfinite(values[:, 1:]).all(axis=1)
    off = np.abs(np.linalg.norm(quaternion[seen], axis=1) - 1)
    if (off > 1e-2).any():
        line = lines[int(np.flatnonzero(seen)[int((off > 1e-2).argmax())])][0]
        raise DactylError(f"{path}: line {line}: the quaternion is not of length 1; expected qw,qx,qy,qz")
    position, quaternion = position.copy(), quaternion.copy()
    position[~seen], quaternion[~seen] = np.nan, np.nan
    repeats = (np.diff(values[:, 1:], axis=0) == 0).all(axis=1)
    return PoseStream(time, position, quaternion, _runs(repeats))


def read_pictures(path: Path) -> PictureStream:
    """A picture stream; files are relative to the CSV's folder and must lie in it."""
    lines = _read(path, PICTURE_COLUMNS)
    time = np.array([_number(row[0], path, line) for line, row in lines])
    _refuse_disorder(time, path, lines)
    files = []
    for line, (_, name) in lines:
        file = Path(name)
        if not name or "\0" in name or file.is_absolute() or ".." in file.parts:
            raise DactylError(f"{path}: line {line}: '{name}' is not a file below {path.parent}")
        files.append(path.parent / file)
    return PictureStream(time, tuple(files))


def _read(path: Path, columns: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(reader, 2) if row]
    except FileNotFoundError:
        raise DactylError(f"{path}: no such file; docs/recording.md lists what a recording holds") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DactylError(f"{path}: not a readable CSV ({error}); export it again") from error
    if tuple(cell.strip() for cell in header) != columns:
        raise DactylError(f"{path}: expected the header {','.join(columns)}, got {','.join(header)[:80]}")
    for number, row in lines:
        if len(row) != len(columns):
            raise DactylError(f"{path}: line {number}: expected {len(columns)} cells, got {len(row)}")
    if not lines:
        raise DactylError(f"{path}: no lines; record again")
    return lines


def _number(cell: str, path: Path, line: int) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise DactylError(f"{path}: line {line}: '{cell}' is not a number") from None


def _refuse_disorder(time: FloatArray, path: Path, lines: list[tuple[int, list[str]]]) -> None:
    wrong = ~np.isfinite(time) | np.concatenate([[False], ~(np.diff(time) > 0)])
    if wrong.any():
        raise DactylError(
            f"{path}: line {lines[int(wrong.argmax())][0]}: time does not rise; sort it, one clock for all"
        )


def _runs(repeats: np.ndarray) -> np.ndarray:
    """Readings (N,) that belong to a run of at least ``_STALE_COPIES`` equal ones, the first of it aside."""
    stale = np.zeros(len(repeats) + 1, bool)
    start = 0
    for number in range(1, len(repeats) + 2):
        if number > len(repeats) or not repeats[number - 1]:
            if number - start >= _STALE_COPIES:
                stale[start + 1 : number] = True
            start = number
    return stale
