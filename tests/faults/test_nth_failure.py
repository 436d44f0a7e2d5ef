"""Every write, flush and rename of a run fails once, or is the last thing the process does; then it is run again.

After each: one line that names a file, or a death; and a rerun with the bytes of an uninterrupted run.
"""

from __future__ import annotations

import errno
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.eval.lab import OBJECT_IN_MARKERS, WORLD_FROM_CAPTURE, make_recording
from tests.faults.children import content, finish, last_line
from tests.faults.conftest import Trials
from tests.faults.inject import Fault, Way
from tests.faults.painted import paint
from vision.errors import DactylError
from vision.geometry.rotations import quaternion_from_matrix
from vision.io.files import atomic_write

STATES = ["--count", "9", "--worlds", "3", "--episode_steps", "6", "--stride", "3", "--threads", "1"]
RENDER = ["--count", "5", "--shard_size", "2", "--render.image_size", "16", "--view_labels", "false"]

CAPTURE_IN_WORLD = [*WORLD_FROM_CAPTURE[:3, 3], *quaternion_from_matrix(WORLD_FROM_CAPTURE[:3, :3])]

Command = Callable[[Path], list[str]]


class Both:
    """Painting, then a fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def __call__(self) -> None:
        paint()
        self.fault()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Command]:
    """Command lines by name, given the output folder."""
    folder = tmp_path_factory.mktemp("inputs")
    assert finish(["states", "--output", str(folder / "states"), *STATES], folder / "log") == 0
    return {
        "states": lambda output: ["states", "--output", str(output), *STATES],
        "render": lambda output: ["render", "--states", str(folder / "states"), "--output", str(output), *RENDER],
        "import-recording": lambda output: [
            *("import-recording", "--recording", str(_recording(folder)), "--output", str(output)),
            *("--image_size", "16", "--shard_size", "2", "--capture_in_world", _numbers(CAPTURE_IN_WORLD)),
            *("--object_in_markers", _numbers(OBJECT_IN_MARKERS)),
        ],
    }


def _numbers(values: Sequence[float]) -> str:
    return str([float(value) for value in values])


def _recording(folder: Path) -> Path:
    path = folder / "recording"
    return path if path.exists() else make_recording(path, pictures=3)


@pytest.mark.parametrize("name", ["states", "render"])
def test_whatever_write_fails_the_rerun_gives_the_same_bytes(
    name: str, commands: dict[str, Command], tmp_path: Path, trials: Trials
) -> None:
    every_operation_of(commands[name], tmp_path, trials, 2)


def test_the_import_of_a_recording_survives_it_too(
    commands: dict[str, Command], tmp_path: Path, trials: Trials
) -> None:
    every_operation_of(commands["import-recording"], tmp_path, trials, 1)


def test_an_error_around_a_full_disk_is_still_one_line(tmp_path: Path) -> None:
    """Found in training: torch.save says "inline_container: unexpected pos", and means that the disk is full."""

    def write(file: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 (as torch does)

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(DactylError, match=r"a: cannot write: No space left on device"):
        atomic_write(tmp_path / "a", write)
    assert (tmp_path / "a").read_bytes() == b"old"


def every_operation_of(command: Command, folder: Path, trials: Trials, quick: int) -> None:
    """Run ``command`` for each of its operations and each way in which that can go wrong; by default for some."""
    output, log, fired = folder / "output", folder / "log", folder / "fired"
    assert finish(command(output), log, Both(Fault(output, 1, "is counted", fired))) == 0, log.read_text()
    whole, operations = content(output), int(fired.read_text())
    assert operations > 10
    ways: tuple[Way, ...] = ("fails once", "fails from then on", "kills")
    faults = [(number + 1, way) for number in range(operations) for way in ways]
    np.random.default_rng(88).shuffle(faults)
    for trial in trials(quick, len(faults)):
        number, way = int(faults[trial][0]), faults[trial][1]
        shutil.rmtree(output)
        fired.unlink()
        status = finish(command(output), log, Both(Fault(output, number, way, fired)))
        assert fired.exists(), f"operation {number} of {operations} did not happen"
        if way == "kills":
            assert status == -signal.SIGKILL
        elif status == 0:  # it was no loss: a temporary file that is gone already need not be removed
            assert content(output) == whole, (number, way)
        else:
            line = last_line(log)
            assert status == 1, (number, way, line)
            assert str(output) in line, (number, way, line)
            assert "No space left on device" in line, (number, way, line)
        assert finish(command(output), log, paint) == 0, (number, way, log.read_text())
        assert content(output) == whole, (number, way)
