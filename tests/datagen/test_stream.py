"""Results in order: whoever made them, however often a worker died on the way, and no further ahead than is allowed."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from datagen.workers.pool import PLACE, TaskFailedError
from datagen.workers.stream import OrderedStream
from tests.datagen.test_pool import Sleep
from vision.machine.progress import Advance


@dataclass(frozen=True)
class Count:
    """Leaves a file for each number that was begun; later numbers are quicker. May die or refuse at one of them."""

    folder: Path
    dies_at: int = -1
    fails_at: int = -1

    def __call__(self, number: int, advance: Advance) -> tuple[int, int]:
        begun = self.folder / str(number)
        if number == self.dies_at and not begun.exists():
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.fails_at:
            os.kill(os.getpid(), signal.SIGKILL)
        begun.touch()
        time.sleep(0.02 * max(0, 4 - number))
        advance(1)
        return number, os.getpid()


def numbers_of(stream: OrderedStream[tuple[int, int]]) -> list[int]:
    return [number for number, _ in stream]


def test_results_come_in_order_through_deaths_and_never_far_ahead(tmp_path: Path) -> None:
    with OrderedStream(Count(tmp_path, dies_at=3), range(2, 12), 2, lambda result: result) as stream:
        taken = [next(stream) for _ in range(3)]
        time.sleep(1.0)
        # Each of the two lanes holds one result and waits with another in its hand, while a third may be under way.
        assert max(int(path.name) for path in tmp_path.iterdir()) <= 4 + 2 * 3
        assert [number for number, _ in taken] + numbers_of(stream) == list(range(2, 12))
        assert len({pid for _, pid in taken}) == 2


@dataclass(frozen=True)
class Place:
    def __call__(self, number: int, advance: Advance) -> str:
        return os.environ[PLACE]


def test_lanes_have_places_of_their_own() -> None:
    """By which render processes share this machine's GPUs."""
    with OrderedStream(Place(), range(6), 3, lambda result: result) as stream:
        assert list(stream) == ["0", "1", "2"] * 2


def test_a_failure_comes_in_its_place_and_closing_ends_the_workers(tmp_path: Path) -> None:
    stream = OrderedStream(Count(tmp_path, fails_at=1), range(4), 2, lambda result: result)
    number, pid = next(stream)
    assert number == 0
    with pytest.raises(TaskFailedError, match="SIGKILL") as caught:
        next(stream)
    assert caught.value.number == 1
    assert not any(thread.is_alive() for thread in stream._threads)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(stream) == []


def test_closing_at_once_is_quick(tmp_path: Path) -> None:
    before = threading.active_count()
    stream = OrderedStream(Count(tmp_path), range(100), 1, lambda result: result)
    stream.close()
    stream.close()
    assert threading.active_count() == before


def test_closing_kills_workers_that_say_nothing(tmp_path: Path) -> None:
    """Those that import, reset their worlds or hang."""
    stream = OrderedStream(Sleep(tmp_path), range(2), 2, lambda result: result)
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.05)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 5
    assert not any(thread.is_alive() for thread in stream._threads)
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)
