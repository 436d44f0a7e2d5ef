"""Memory, shared memory and loading processes that fail: one line that names the cause, never a wait without end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.states.collect import StatesConfig, collect
from tests.synthetic import make_dataset
from tests.train.test_training import arguments
from train import loading
from vision.errors import DactylError, memory_fault

ROOT = Path(__file__).parents[2]
QUICK = [
    *("--model.backbone.name", "pyramid", "--model.backbone.width", "8", "--model.backbone.blocks", "1"),
    *("--trainer.max_steps", "4", "--trainer.val_check_interval", "2", "--data.batch_size", "4", "--log.pictures", "0"),
    *("--data.val_fraction", "0.4", "--data.workers", "2"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("memory") / "data", 12, image_size=64, samples_per_episode=2)


def run(argv: list[str], before: str = "", timeout_s: float = 200, **environment: str) -> subprocess.CompletedProcess:
    """``dactyl`` after shell commands, in a mount namespace of its own where there are any."""
    dactyl = [sys.executable, "-m", "dactyl", *argv]
    command = ["unshare", "-m", "bash", "-c", f'{before} || exit 77; exec "$@"', "-", *dactyl] if before else dactyl
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("a mount namespace needs root and the capability to mount")
    return done


def shared_memory(kilobytes: int) -> str:
    return f"mount -t tmpfs -o size={kilobytes}k tmpfs /dev/shm"


@pytest.mark.parametrize("kilobytes", [64, 64 << 10])
def test_a_training_with_little_shared_memory_works_or_says_so(kilobytes: int, data: Path, tmp_path: Path) -> None:
    """Docker gives 64 MB. Found: tracebacks of the loading processes, and a wait without end."""
    done = run(["train", *arguments(data, tmp_path / "run", *QUICK)], shared_memory(kilobytes))
    if kilobytes == 64:
        assert done.returncode == 1
        assert done.stderr.strip().splitlines()[-1].startswith("dactyl train: data.workers: /dev/shm has 64 kB free")
    else:
        assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_batches_go_through_pipes_where_shared_memory_is_too_small(data: Path, tmp_path: Path) -> None:
    """The weights are those of a training that shares memory."""
    small, large = (
        run(["train", *arguments(data, tmp_path / name, *QUICK, "--seed", "3")], shared_memory(size))
        for name, size in (("small", 1100), ("large", 1 << 20))
    )
    assert (small.returncode, large.returncode) == (0, 0), small.stderr
    assert "batches go through pipes" in small.stderr
    assert "batches go through pipes" not in large.stderr
    one, other = (loaded(tmp_path / name) for name in ("small", "large"))
    assert all((one[key] == other[key]).all() for key in one)


def loaded(folder: Path) -> dict:
    from vision.network_files import read_checkpoint

    return read_checkpoint(folder / "last.ckpt")["state_dict"]


def test_a_long_path_for_temporary_files_works(data: Path, tmp_path: Path) -> None:
    """A Unix socket's path has 107 bytes at most."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    done = run(["train", *arguments(data, tmp_path / "run", *QUICK)], TMPDIR=str(folder))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


FAULTY = """
import os, signal, sys, time
from train import data
from dactyl.cli import main
read, first = data.Triplets._read, os.getpid()
def fail(self, number):
    if os.getpid() != first and {when}:
        {act}
    return read(self, number)
data.Triplets._read = fail
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "a loading process died"),
        ("time.sleep(1000)", "no batch for 6 s (data.timeout_s): a loading process hangs"),
    ],
)
def test_a_loading_process_that_dies_or_hangs_ends_the_training(
    act: str, words: str, data: Path, tmp_path: Path
) -> None:
    program = FAULTY.format(when="number == 2", act=act)
    argv = ["train", *arguments(data, tmp_path / "run", *QUICK, "--data.timeout_s", "6")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_training_that_waits_still_hears_sigterm(data: Path, tmp_path: Path) -> None:
    """Found: it noted the signal, and waited on for a batch that never came."""
    program = FAULTY.format(when="True", act="time.sleep(1000)")
    argv = ["train", *arguments(data, tmp_path / "run", *QUICK, "--data.timeout_s", "900")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program, *argv], env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run").glob("csv/*")):  # the loggers' folders: the training is about to begin
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(8)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr is not None
        assert process.stderr.read().decode().strip().endswith("terminated; the same command resumes")


@pytest.mark.parametrize("gigabytes", [0.4, 2.2])
def test_a_limit_on_memory_is_one_line_in_training(gigabytes: float, data: Path, tmp_path: Path) -> None:
    limit = f"ulimit -v {int(gigabytes * 1e6)}"
    command = ["bash", "-c", f'{limit}; exec "$@"', "-", sys.executable, "-m", "dactyl", "train"]
    command += arguments(data, tmp_path / "run", *QUICK)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "out of memory" in done.stderr


@pytest.mark.parametrize(("gigabytes", "enough"), [(0.6, False), (1.5, False), (2.5, True)])
def test_a_limit_on_memory_is_one_line_in_rendering(gigabytes: float, enough: bool, tmp_path: Path) -> None:
    """Found: a driver under a limit fails without a reason; ours then was an uninstalled package, or a traceback.
    Under a low one it ends its process by a segmentation fault."""
    collect(StatesConfig(tmp_path / "states", count=4, seed=3, worlds=4, threads=1))
    command = ["bash", "-c", f'ulimit -v {int(gigabytes * 1e6)}; exec "$@"', "-", sys.executable, "-m", "dactyl"]
    command += ["render", "--states", str(tmp_path / "states"), "--output", str(tmp_path / "out"), "--count", "4"]
    command += ["--workers", "1", "--render.image_size", "48", "--render.mesh_fraction", "0.1"]
    # Even with so many threads the highest of these limits leaves room, since render processes share the states.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert "Traceback" not in done.stderr
    if enough and not done.returncode:
        return
    assert done.returncode == 1, done.stderr
    *_, last = done.stderr.strip().splitlines()
    assert "dactyl render: " in last
    assert "memory" in last


def test_what_libraries_say_of_memory() -> None:
    for error in (
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        SystemError("error return without exception set"),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ):
        assert memory_fault(error)
        outer = ValueError("x")
        outer.__cause__ = error
        assert memory_fault(outer)
    assert memory_fault(ValueError("x")) is None


def test_the_room_that_loading_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_free", lambda: 64 << 20)
    assert loading.shares_memory(2, 1 << 20, 2)
    assert not loading.shares_memory(2, 23 << 20, 2), "64 triplets of 200 x 200"
    with pytest.raises(DactylError, match="has 65536 kB free, too little for 200 loading processes"):
        loading.shares_memory(200, 1, 2)
    monkeypatch.setattr("tempfile.tempdir", "/" + "x" * 90)
    assert not loading.shares_memory(2, 1 << 20, 2)
