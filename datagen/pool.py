"""Numbered tasks in worker processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from vision.errors import DactylError
from vision.progress import Advance

Result = TypeVar("Result")
Task = Callable[[int, Advance], Result]
"""Picklable; called with a number and a function that says how many items of it are done."""


def default_workers() -> int:
    """One per core that this process may use."""
    return len(os.sched_getaffinity(0))


def run(task: Task[Result], numbers: Sequence[int], workers: int, advance: Advance) -> Iterator[tuple[int, Result]]:
    """Yield (number, result) as tasks finish, in any order.

    Leaving the iteration early (an error, a signal) kills the tasks under way.

    Raises:
        DactylError: a process died; or whatever a task raised.
    """
    # Spawned, not forked: neither torch's threads nor a graphics context survives a fork.
    context = multiprocessing.get_context("spawn")
    done: Synchronized[int] = context.Value("q", 0)
    initial = (task, done, os.getpid())
    pool = ProcessPoolExecutor(min(workers, len(numbers)), context, initializer=_begin, initargs=initial)
    pending: dict[Future[Result], int] = {}
    shown = 0
    try:
        for number in numbers:
            pending[pool.submit(_work, number)] = number
        while pending:
            finished, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            so_far = done.value
            advance(so_far - shown)
            shown = so_far
            for future in finished:
                yield pending.pop(future), future.result()
    except BrokenProcessPool:
        raise DactylError("a worker process died (out of memory, or a driver fault); rerun to resume") from None
    finally:
        if pending:
            for process in list(pool._processes.values()):
                process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


_task: Task
_done: Synchronized[int]


def _begin(task: Task[Result], done: Synchronized[int], parent: int) -> None:
    """Runs once in each worker process."""
    global _task, _done
    die_with(parent)
    # Ctrl-C reaches the whole process group; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _task, _done = task, done


def _work(number: int) -> object:
    def advance(count: int) -> None:
        with _done.get_lock():
            _done.value += count

    return _task(number, advance)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however that happens (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
