"""Processes that are stopped, killed, started twice, or run out of disk: nothing lost, nobody left, nothing mixed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.faults.children import (
    content,
    end,
    finish,
    last_line,
    mounted,
    start,
    wait_until_alone,
)  # fmt: skip
from tests.faults.conftest import Trials
from tests.faults.painted import paint
from tests.faults.test_nth_failure import RENDER, STATES
from tests.soak.watch import group

REAL = [
    "--count",
    "24",
    "--shard_size",
    "2",
    "--renderer",
    "classic",
    "--render.image_size",
    "32",
    "--render.shadows",
    "false",
    "--workers",
    "2",
]
REAL += ["--render.mesh_fraction", "0.05", "--view_labels", "false"]
SAID = {signal.SIGTERM: (143, "terminated"), signal.SIGINT: (130, "interrupted")}


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    assert finish(["states", "--output", str(folder / "states"), *STATES], folder / "log") == 0
    return folder / "states"


def real(states: Path, output: Path) -> list[str]:
    """Rendering by MuJoCo's renderer in two worker processes."""
    return ["render", "--states", str(states), "--output", str(output), *REAL]


@pytest.fixture(scope="module")
def rendered(states: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Content of :func:`real`, uninterrupted."""
    folder = tmp_path_factory.mktemp("rendered")
    assert finish(real(states, folder / "set"), folder / "log") == 0, (folder / "log").read_text()
    return content(folder / "set")


def painted(states: Path, output: Path) -> list[str]:
    return ["render", "--states", str(states), "--output", str(output), *RENDER]


def shards(folder: Path) -> int:
    return len(list(folder.glob("shard-*.json")))


def wait_for(seconds: float, done: object) -> None:
    deadline = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.01)


def test_a_signal_stops_generation_within_five_seconds(
    states: Path, rendered: dict[str, bytes], tmp_path: Path, trials: Trials
) -> None:
    """At any moment after the first shard; then the same command finishes with the bytes of an uninterrupted run."""
    rng = np.random.default_rng(90)
    broken, log = tmp_path / "broken", tmp_path / "log"
    for trial in trials(2, 200):
        sent = list(SAID)[trial % 2]
        process = start(real(states, broken), log)
        before = shards(broken)
        wait_for(120, lambda before=before: shards(broken) > before)
        time.sleep(rng.uniform(0, 0.2))
        at = time.monotonic()
        end(process, sent)
        assert time.monotonic() - at < 5
        if process.exitcode != 0:  # it may have been done already
            status, word = SAID[sent]
            assert process.exitcode == status
            assert last_line(log).endswith(f"{word}; the same command resumes")
        wait_until_alone(process.pid or 0, 5 - (time.monotonic() - at))
        if shards(broken) > 8:
            assert finish(real(states, broken), log) == 0, log.read_text()
            assert content(broken) == rendered
            shutil.rmtree(broken)
    assert finish(real(states, broken), log) == 0, log.read_text()
    assert content(broken) == rendered


def test_generation_survives_kills_of_parent_or_worker(
    states: Path, rendered: dict[str, bytes], tmp_path: Path, trials: Trials
) -> None:
    """Real workers. A killed one's shard is made again; a killed parent leaves nobody, and a rerun gives the same."""
    rng = np.random.default_rng(91)
    broken, log = tmp_path / "broken", tmp_path / "log"
    for trial in trials(1, 200):
        process = start(real(states, broken), log)
        leader = process.pid or 0
        before, pause = shards(broken), rng.uniform(0, 0.3)
        # Every other trial, anywhere from the first import on; else once shards are under way.
        if trial % 4 < 2:
            wait_for(120, lambda before=before, process=process: shards(broken) > before or not process.is_alive())
        time.sleep(pause)
        workers = sorted(set(group(leader)) - {leader})
        if trial % 2 and workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[-1], signal.SIGKILL)
            process.join(300)
            assert process.exitcode == 0, log.read_text()
        else:
            end(process, signal.SIGKILL)
            wait_until_alone(leader)
        if shards(broken) > 8:
            assert finish(real(states, broken), log) == 0, log.read_text()
            assert content(broken) == rendered, trial
            shutil.rmtree(broken)
    assert finish(real(states, broken), log) == 0, log.read_text()
    assert content(broken) == rendered


@pytest.mark.parametrize("name", ["states", "render"])
def test_any_number_of_kills_changes_no_byte(name: str, states: Path, tmp_path: Path, trials: Trials) -> None:
    """Painted pictures in one process: kills fall on every line that writes, hundreds in a minute."""
    rng = np.random.default_rng(92)
    whole, broken, log = tmp_path / "whole", tmp_path / "broken", tmp_path / "log"

    def command(output: Path) -> list[str]:
        return painted(states, output) if name == "render" else ["states", "--output", str(output), *STATES]

    at = time.monotonic()
    assert finish(command(whole), log, paint) == 0, log.read_text()
    lasts, finished = time.monotonic() - at, 0
    for _ in trials(3, 500):
        process = start(command(broken), log, paint)
        process.join(rng.uniform(0, lasts))
        end(process, signal.SIGKILL)
        if process.exitcode == 0:
            finished += 1
            assert content(broken) == content(whole)
            shutil.rmtree(broken)
    assert finish(command(broken), log, paint) == 0, log.read_text()
    assert content(broken) == content(whole)


def test_the_second_of_two_writers_is_refused_and_told_who(states: Path, tmp_path: Path, trials: Trials) -> None:
    output, logs = tmp_path / "set", (tmp_path / "one", tmp_path / "two")
    for _ in trials(1, 20):
        first = start(painted(states, output), logs[0], paint_slowly)
        wait_for(60, lambda: (output / ".lock").exists() and (output / ".lock").read_text())
        at = time.monotonic()
        assert finish(painted(states, output), logs[1], paint) == 1
        assert f"process {first.pid} is writing here" in last_line(logs[1])
        assert time.monotonic() - at < 60, "refused at once, that is before anything is rendered"
        first.join(120)
        assert first.exitcode == 0, logs[0].read_text()
        shutil.rmtree(output)


def paint_slowly() -> None:
    from tests.faults.painted import Painter

    paint()
    render = Painter.render
    Painter.render = lambda self, samples: time.sleep(2) or render(self, samples)  # type: ignore[method-assign]


def test_a_full_disk_is_one_line_and_a_rerun_completes(states: Path, tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(93)
    whole, log = tmp_path / "whole", tmp_path / "log"
    assert finish(painted(states, whole), log, paint) == 0, log.read_text()
    needed = sum(-(-len(data) // 4096) * 4 for data in content(whole).values())  # kB in whole pages
    for trial in trials(2, 200):
        with mounted(tmp_path / f"disk-{trial}", int(rng.integers(8, needed - 4))) as resize:
            output = tmp_path / f"disk-{trial}" / "set"
            status = finish(painted(states, output), log, paint)
            assert status == 1, log.read_text()
            assert str(output) in last_line(log)
            assert "No space left on device" in last_line(log)
            assert not list(output.glob("*.tmp*"))
            resize(4 * needed)
            assert finish(painted(states, output), log, paint) == 0, log.read_text()
            assert content(output) == content(whole)
