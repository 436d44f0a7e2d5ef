"""Numbered tasks in worker processes that are replaced when they die, hang or grow old, and never outlive their parent.

A task is a pure function of its number, so a killed one is simply repeated by a new process. The standard library's
pool cannot do this: one dead worker breaks the whole pool, and a task that hangs in native code cannot be stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from datagen.workers.child import UNGUARDED, end, send_error, spawn
from vision.errors import DactylError
from vision.machine.hardware import memory_limit_gb
from vision.machine.progress import Advance

Result = TypeVar("Result")
Task = Callable[[int, Advance], Result]
"""Picklable function, called with a number and a callback that counts finished items of the task."""

ATTEMPTS = 3
"""Number of failures of a task's process, not of its input, after which the task is given up."""

TASKS_PER_PROCESS = 16
"""Tasks after which a worker is replaced, because graphics drivers leak: Filament about 2 MB per context."""

PLACE = "DACTYL_WORKER"
"""Environment variable of a worker process with its number among those that run at the same time, from 0."""

_LEAVE_S = 10.0  # time for a dismissed worker to close its driver


class TransientError(DactylError):
    """Fault that a new process may not meet again, such as a driver's; the task is retried."""


class TaskFailedError(DactylError):
    """Task that kept failing.

    Attributes:
        number: number of the task.
        done: number of its items that were finished when it last failed.
    """

    def __init__(self, reason: str, number: int, done: int) -> None:
        super().__init__(reason)
        self.number, self.done = number, done


def run(
    task: Task[Result],
    numbers: Sequence[int],
    workers: int,
    advance: Advance,
    *,
    timeout_s: float = 300.0,
    tasks_per_process: int = TASKS_PER_PROCESS,
    first_place: int = 0,
) -> Iterator[tuple[int, Result]]:
    """Yield (number, result) as tasks finish, in any order.

    Leaving the iteration early (an error, a signal) kills the running tasks.

    Args:
        task: task to run.
        numbers: numbers to run it with.
        workers: largest number of processes.
        advance: called here with the number of finished items; with a negative number to take back a failed task's.
        timeout_s: seconds without a finished item after which a worker is assumed to hang.
        tasks_per_process: number of tasks after which a worker is replaced.
        first_place: number of the first worker's :data:`PLACE`, where other calls run at the same time.

    Raises:
        TaskFailedError: a task's processes died or hung, or it raised TransientError, ``ATTEMPTS`` times in all.
        Exception: any other exception that a task raised.
    """
    places = range(first_place, first_place + workers)
    pool = _Pool(task, numbers, places, advance, timeout_s, tasks_per_process)
    try:
        while pool.has_work:
            pool.fill()
            yield from pool.results()
            pool.drop_the_gone()
        pool.wait_for_the_leaving()
    finally:
        pool.kill()


class _DeadError(Exception):
    """A worker process ended without a result."""


class _Pool(Generic[Result]):
    """Workers of one :func:`run`, busy or leaving, and the waiting tasks."""

    def __init__(
        self,
        task: Task[Result],
        numbers: Sequence[int],
        places: Sequence[int],
        advance: Advance,
        timeout_s: float,
        tasks_per_process: int,
    ) -> None:
        self._task, self._places, self._advance = task, places, advance
        self._timeout_s, self._tasks_per_process = timeout_s, tasks_per_process
        self._waiting, self._failures = deque(numbers), Counter[int]()
        self._busy: list[_Worker[Result]] = []
        self._leaving: list[_Worker[Result]] = []

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._busy)

    def fill(self) -> None:
        """Start workers for waiting tasks, each in the first free place."""
        while self._waiting and len(self._busy) < len(self._places):
            taken = {worker.place for worker in self._busy}
            place = next(place for place in self._places if place not in taken)
            self._busy.append(_Worker(self._task, place))
            self._busy[-1].give(self._waiting.popleft())

    def results(self) -> Iterator[tuple[int, Result]]:
        """Wait at most half a second for a message; yield finished tasks and put back failed ones."""
        wait([worker.connection for worker in self._busy], timeout=0.5)
        self._advance(0)  # who watches may have had enough, and raises
        for worker in list(self._busy):
            try:
                results = worker.listen(self._advance)
            except TransientError as error:
                self._put_back(worker, str(error))
                continue
            except _DeadError:
                worker.refuse_unguarded_script()
                self._put_back(worker, f"a worker process died ({worker.status()})")
                continue
            if results:
                number = worker.number
                self._go_on(worker)
                yield number, results[0]
            elif worker.silence_s > self._timeout_s:
                self._put_back(worker, f"a worker process hung (no progress for {self._timeout_s:g} s)")

    def _go_on(self, worker: _Worker[Result]) -> None:
        """Give a finished worker the next task, or dismiss it."""
        if self._waiting and worker.tasks < self._tasks_per_process:
            worker.give(self._waiting.popleft())
        else:
            self._busy.remove(worker)
            self._leaving.append(worker.dismiss())

    def _put_back(self, worker: _Worker[Result], reason: str) -> None:
        """Kill a worker whose task failed, and retry the task in a new one unless that was the last attempt."""
        self._busy.remove(worker)
        worker.kill()
        self._failures[worker.number] += 1
        if self._failures[worker.number] == ATTEMPTS:
            raise TaskFailedError(reason, worker.number, worker.done)
        self._advance(-worker.done)
        self._waiting.appendleft(worker.number)

    def drop_the_gone(self) -> None:
        self._leaving = [worker for worker in self._leaving if not worker.gone()]

    def wait_for_the_leaving(self) -> None:
        deadline = time.monotonic() + _LEAVE_S
        for worker in self._leaving:
            worker.process.join(max(0.0, deadline - time.monotonic()))

    def kill(self) -> None:
        for worker in self._busy + self._leaving:
            worker.kill()


class _Worker(Generic[Result]):
    """Worker process as seen from its parent."""

    def __init__(self, task: Task[Result], place: int) -> None:
        self.place = place
        self.number, self.tasks, self.done, self._heard = -1, 0, 0, time.monotonic()
        self.process, self.connection = spawn(_serve, task, place)

    def give(self, number: int) -> None:
        self.number, self.done, self._heard = number, 0, time.monotonic()
        self.tasks += 1
        with contextlib.suppress(OSError):  # already dead: listening will report it
            self.connection.send(number)

    def listen(self, advance: Advance) -> list[Result]:
        """Forward progress, and return the result if there is one. Raises what the task raised; _DeadError if dead."""
        while (message := self._received()) is not None:
            kind, value = message
            self._heard = time.monotonic()
            if kind == "error":
                raise value
            if kind == "result":
                return [value]
            self.done += value
            advance(value)
        return []

    def _received(self) -> tuple[str, Any] | None:
        try:
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError) as error:
            raise _DeadError from error

    @property
    def silence_s(self) -> float:
        return time.monotonic() - self._heard

    def refuse_unguarded_script(self) -> None:
        """Raise DactylError if the process died of running the script that started it."""
        self.process.join(_LEAVE_S)
        if self.process.exitcode == UNGUARDED:
            raise DactylError(
                "the script starts workers, and each of them runs it again: call dactyl's functions under "
                'if __name__ == "__main__":'
            ) from None

    def status(self) -> str:
        """Return why a dead process died."""
        self.process.join(_LEAVE_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            limit = memory_limit_gb()
            where = "" if limit is None else f" under its limit of {limit:.1f} GB (ulimit -v)"
            return f"{signal.Signals(-code).name}; out of memory{where}, or a driver fault?"
        return f"exit status {code}; a driver fault?"

    def dismiss(self) -> _Worker[Result]:
        """Let it end by itself, because some drivers must be closed properly."""
        self._heard = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(None)
        return self

    def gone(self) -> bool:
        """Return whether a dismissed process has ended, killing it if its time is up; its files are then closed."""
        if self.process.exitcode is None and self.silence_s < _LEAVE_S:
            return False
        self.kill()
        return True

    def kill(self) -> None:
        end(self.process, self.connection)


def _serve(connection: Connection, task: Task[Any], place: int) -> None:
    """Run tasks in a worker process until dismissed."""
    os.environ[PLACE] = str(place)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while (number := connection.recv()) is not None:
        try:
            connection.send(("result", task(number, lambda count: connection.send(("done", count)))))
        except Exception as error:
            send_error(connection, error)
