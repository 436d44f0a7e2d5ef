"""Worker processes: all results arrive, what dies or hangs is done again or named, nobody outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from datagen.workers.pool import ATTEMPTS, PLACE, TaskFailedError, TransientError, run
from vision.errors import DactylError
from vision.machine.progress import Advance


@dataclass(frozen=True)
class Square:
    def __call__(self, number: int, advance: Advance) -> int:
        advance(2)
        return number * number


@dataclass(frozen=True)
class Process:
    def __call__(self, number: int, advance: Advance) -> int:
        return os.getpid()


@dataclass(frozen=True)
class Place:
    def __call__(self, number: int, advance: Advance) -> str:
        time.sleep(0.2)  # so that both processes come to do something
        return os.environ[PLACE]


@dataclass(frozen=True)
class Refuse:
    folder: Path

    def __call__(self, number: int, advance: Advance) -> int:
        (self.folder / str(time.monotonic_ns())).touch()
        raise DactylError(f"sample {number} is broken")


class PlaceError(Exception):
    """Its constructor takes more than the text that pickling gives it."""

    def __init__(self, reason: str, place: str) -> None:
        super().__init__(f"{reason} at {place}")


class SampleError(PlaceError, DactylError):
    pass


@dataclass(frozen=True)
class Break:
    """Raises errors that pickling does not bring back."""

    way: str

    def __call__(self, number: int, advance: Advance) -> int:
        if self.way == "for the user":
            raise SampleError("no light", "row 7")
        if self.way == "a file of its own":
            raise PermissionError(13, "Permission denied", "textures/wood.png")
        if self.way == "more arguments":
            raise PlaceError("bad value", "row 7")
        raise ValueError("no light", lambda: None)


@dataclass(frozen=True)
class Fail:
    """Task 1 does one item, then fails in some way, the first ``times`` times; its attempts are files in a folder."""

    folder: Path
    way: str
    times: int

    def __call__(self, number: int, advance: Advance) -> int:
        advance(1)
        attempt = len(list(self.folder.iterdir()))
        if number == 1 and attempt < self.times:
            (self.folder / str(attempt)).touch()
            if self.way == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.way == "hang":
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                time.sleep(3600)
            raise TransientError("the driver has hiccups")
        return number


@dataclass(frozen=True)
class Sleep:
    folder: Path

    def __call__(self, number: int, advance: Advance) -> int:
        (self.folder / str(os.getpid())).touch()
        time.sleep(60)
        return number


def test_all_results_and_all_progress() -> None:
    advanced: list[int] = []
    results = dict(run(Square(), range(7), 2, advanced.append))
    assert results == {number: number * number for number in range(7)}
    assert sum(advanced) == 14


def test_workers_are_replaced() -> None:
    processes = [process for _, process in run(Process(), range(5), 1, lambda count: None, tasks_per_process=2)]
    assert [processes.count(process) for process in dict.fromkeys(processes)] == [2, 2, 1]


def test_processes_know_their_place_among_those_that_run() -> None:
    """No two at the same time have the same, and one that takes another's turn takes its place."""
    places = [place for _, place in run(Place(), range(6), 2, lambda count: None, tasks_per_process=2)]
    assert set(places) == {"0", "1"}
    assert [place for _, place in run(Place(), range(3), 1, lambda count: None, tasks_per_process=1)] == ["0"] * 3


def test_gpus_are_shared_out_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from datagen.render.warp_device import device_of_worker  # here, or every worker process imports MuJoCo

    gpus = ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.delenv(PLACE, raising=False)
    assert device_of_worker(gpus, None) == "cuda:0"
    assert device_of_worker([], 2) == "cpu"
    for place, (all_gpus, two) in enumerate(
        [("cuda:0", "cuda:0"), ("cuda:1", "cuda:1"), ("cuda:2", "cuda:0"), ("cuda:0", "cuda:1")]
    ):
        monkeypatch.setenv(PLACE, str(place))
        assert (device_of_worker(gpus, None), device_of_worker(gpus, 2)) == (all_gpus, two)


def test_an_error_of_a_task_reaches_the_caller_at_once(tmp_path: Path) -> None:
    with pytest.raises(DactylError, match="sample 0 is broken"):
        list(run(Refuse(tmp_path), range(1), 1, lambda count: None))
    assert len(list(tmp_path.iterdir())) == 1, "bad input stays bad: no second attempt"


@pytest.mark.parametrize(
    ("way", "kind", "text"),
    [
        ("more arguments", RuntimeError, "PlaceError: bad value at row 7"),
        ("unpicklable", RuntimeError, r"ValueError: \('no light', <function"),
        ("for the user", DactylError, "SampleError: no light at row 7"),
    ],
)
def test_an_error_that_cannot_be_pickled_is_named(way: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        list(run(Break(way), range(1), 1, lambda count: None))
    notes = "".join(getattr(caught.value, "__notes__", []))
    assert ("test_pool.py" in notes) == (kind is RuntimeError), "the traceback, of a program that is at fault"


@pytest.fixture
def timeout_s() -> float:
    """Seconds of silence that mean a hang here and now: several times what a worker takes to begin, however busy the
    cores are."""
    begun = time.monotonic()
    list(run(Square(), range(1), 1, lambda count: None))
    return max(3.0, 5 * (time.monotonic() - begun))


@pytest.mark.parametrize("way", ["die", "hang", "raise"])
def test_a_worker_that_fails_once_costs_nothing(way: str, tmp_path: Path, timeout_s: float) -> None:
    advanced: list[int] = []
    results = dict(run(Fail(tmp_path, way, 1), range(3), 2, advanced.append, timeout_s=timeout_s))
    assert results == {0: 0, 1: 1, 2: 2}
    assert sum(advanced) == 3, "items of the failed attempt do not count"


@pytest.mark.parametrize(
    ("way", "reason"),
    [("die", "worker process died .SIGKILL"), ("hang", "no progress for {:g} s"), ("raise", "the driver has hiccups")],
)
def test_a_worker_that_keeps_failing_is_named(way: str, reason: str, tmp_path: Path, timeout_s: float) -> None:
    with pytest.raises(TaskFailedError, match=reason.format(timeout_s)) as error:
        list(run(Fail(tmp_path, way, 99), range(3), 1, lambda count: None, timeout_s=timeout_s))
    assert (error.value.number, error.value.done) == (1, 1)
    assert len(list(tmp_path.iterdir())) == ATTEMPTS


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from datagen.workers.pool import run; from tests.datagen.test_pool import Sleep\n"
        f"if __name__ == '__main__': list(run(Sleep(Path({str(tmp_path)!r})), range(2), 2, lambda count: None))"
    )
    script = tmp_path.parent / "parent.py"
    script.write_text(program)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        deadline = time.monotonic() + 60
        while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            assert time.monotonic() < deadline, "the workers never began"
            time.sleep(0.1)
        assert all(_alive(worker) for worker in workers)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while any(_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


@dataclass(frozen=True)
class Slow:
    """Takes long to unpickle, as what imports much does."""

    folder: Path

    def __call__(self, number: int, advance: Advance) -> int:
        return number

    def __setstate__(self, state: dict[str, Path]) -> None:
        (state["folder"] / str(os.getpid())).touch()
        time.sleep(20)


def test_workers_that_still_import_die_with_a_killed_parent(tmp_path: Path) -> None:
    """Found: they did so only once they had imported everything, six seconds later."""
    script = tmp_path.parent / "importing.py"
    script.write_text(
        "from pathlib import Path; from datagen.workers.pool import run; from tests.datagen.test_pool import Slow\n"
        f"if __name__ == '__main__': list(run(Slow(Path({str(tmp_path)!r})), range(2), 2, lambda count: None))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, script], env=environment)
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, 60)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    wait_until(lambda: not any(_alive(worker) for worker in workers), 2)


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    """Each worker runs it again, and must not start workers of its own."""
    script = tmp_path / "plain.py"
    script.write_text(
        "from datagen.workers.pool import run\nfrom tests.datagen.test_pool import Square\n"
        "print(list(run(Square(), [1, 2], 2, print)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith('under if __name__ == "__main__":')
    assert done.stderr.count("Traceback") == 1, "that of the script itself"


def test_what_a_task_may_not_read_is_no_dead_worker() -> None:
    """A pipe to a worker that died raises errors of the same class."""
    began = time.monotonic()
    with pytest.raises(PermissionError, match=r"textures/wood\.png"):
        dict(run(Break("a file of its own"), range(3), 2, lambda count: None))
    assert time.monotonic() - began < 20  # three attempts would wait so long each for the death of a live worker
