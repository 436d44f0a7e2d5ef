"""``dactyl`` in processes that can be killed: forks of one that has imported everything, a hundred starts for one.

The fork server is that of tests/commands.py. Trainings and evaluations are forked from the process of the tests: what
loads for them then comes from that server, too, where a fork of the server would start another; these tests come
first (tests/conftest.py), before the process itself has learnt. What a child does before its command (paint pictures
instead of rendering them, let a write fail) is handed over with it.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.commands import FORKS
from tests.soak.watch import group

Before = Callable[[], None]

_OURSELVES = multiprocessing.get_context("fork")


def start(argv: Sequence[str], log: Path, before: Before | None = None) -> BaseProcess:
    """Run ``dactyl argv`` in a session of its own; what it prints goes to ``log``."""
    context = _OURSELVES if argv[0] in ("train", "evaluate") else FORKS
    process = context.Process(target=_dactyl, args=(list(argv), log, before))
    process.start()
    return process


def finish(argv: Sequence[str], log: Path, before: Before | None = None, timeout_s: float = 300) -> int:
    """Run it to its end; its exit status."""
    process = start(argv, log, before)
    process.join(timeout_s)
    if process.exitcode is None:
        end(process, signal.SIGKILL)
        raise AssertionError(f"dactyl {argv[0]} hangs; it said {log.read_text()}")
    return process.exitcode


def end(process: BaseProcess, number: signal.Signals) -> None:
    """Send a signal to the process alone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid or 0, number)
    process.join()


def disturb(argv: Sequence[str], log: Path, seconds: float, trial: int) -> int:
    """Start it, and after so long kill it, or ask it to stop, by turns of the trials; its exit status. Nobody is left,
    and what was stopped says that it can be gone on with."""
    process = start(argv, log)
    process.join(seconds)
    end(process, (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[trial % 4])
    wait_until_alone(process.pid or 0)
    assert process.exitcode in (0, 130, 143, -9), log.read_text()
    if process.exitcode in (130, 143):
        assert last_line(log).endswith("the same command resumes")
    return process.exitcode


def wait_until_alone(leader: int, seconds: float = 5) -> None:
    """Fail unless the whole session has ended in time."""
    deadline = time.monotonic() + seconds
    while left := group(leader):
        assert time.monotonic() < deadline, f"processes {sorted(left)} are left"
        time.sleep(0.02)


def last_line(log: Path) -> str:
    """The last thing it said; fails on a traceback."""
    said = log.read_text()
    assert "Traceback" not in said, said
    return said.strip().splitlines()[-1]


def content(folder: Path) -> dict[str, bytes]:
    """Every file that a run leaves, but for the lock. Temporary files and logs count: none may be left."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def _dactyl(argv: list[str], log: Path, before: Before | None) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # A fork of the tests' process has their captured streams.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background
    if before is not None:
        before()
    sys.exit(importlib.import_module("dactyl.cli").main(argv))


@contextlib.contextmanager
def mounted(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A small file system of its own; yields the function that changes its size. Skips where that is not permitted."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or _mount(f"size={kilobytes}k", folder) != 0:
        pytest.skip("a small file system needs root and the capability to mount")
    try:
        yield lambda size: _mount(f"remount,size={size}k", folder) and None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(options: str, folder: Path) -> int:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode
