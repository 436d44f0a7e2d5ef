"""Results of numbered tasks in order, prepared in advance by worker processes for a slower consumer.

``datagen.workers.pool`` returns results as they finish, until all are done. A training needs them in order, without a
known end, and with no more of them in memory than it is about to use. Each worker process therefore has a lane: a
thread that runs every n-th task in a pool of one, hands over its result and waits until it is taken. As in the pool,
workers that die or hang are replaced, and none outlives its parent.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Self, TypeVar

from datagen.workers.pool import TASKS_PER_PROCESS, Task, run

Item = TypeVar("Item")

_LOOK_S = 0.2  # interval at which a waiting lane checks whether the stream was closed
_LEAVE_S = 10.0  # time for a lane to end


class _Dismissed(BaseException):
    """Signal that the stream was closed; a BaseException, so that no task's error handling treats it as a fault."""


class OrderedStream(Generic[Item]):
    """Iterator over the results of ``numbers``, in order. Close it, or leave its context, to end the workers.

    Args:
        task: task that worker processes run with each number.
        numbers: numbers to run; at most two results per worker are ready beyond the one being taken.
        workers: number of processes.
        prepare: function applied to each result in the lane's thread before it is handed over.
        timeout_s: seconds without a finished item after which a worker is assumed to hang.
        tasks_per_process: number of tasks after which a worker is replaced.

    Iterating raises what :func:`datagen.workers.pool.run` raises, in place of the result that failed.
    """

    def __init__(
        self,
        task: Task[Any],
        numbers: Sequence[int],
        workers: int,
        prepare: Callable[[Any], Item],
        *,
        timeout_s: float = 300.0,
        tasks_per_process: int = TASKS_PER_PROCESS,
    ) -> None:
        self._task, self._prepare, self._timeout_s, self._lives = task, prepare, timeout_s, tasks_per_process
        self._left = len(numbers)
        self._closed = threading.Event()
        lanes = min(workers, len(numbers))
        self._results: list[queue.Queue[Item | BaseException]] = [queue.Queue(maxsize=1) for _ in range(lanes)]
        self._threads = [
            # Daemons, so that the program can end if the stream is not closed; the kernel then ends the workers.
            threading.Thread(target=self._serve, args=(lane, numbers[lane::lanes]), daemon=True)
            for lane in range(lanes)
        ]
        self._turn = 0
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if not self._left or self._closed.is_set():
            raise StopIteration
        result = self._results[self._turn].get()
        if isinstance(result, BaseException):
            self.close()
            raise result
        self._turn = (self._turn + 1) % len(self._results)
        self._left -= 1
        return result

    def close(self) -> None:
        """Kill the workers and wait for the lanes to end; may be called twice."""
        self._closed.set()
        deadline = time.monotonic() + _LEAVE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _serve(self, lane: int, numbers: Sequence[int]) -> None:
        results = self._results[lane]
        try:
            made = run(
                *(self._task, numbers, 1, self._advance),
                timeout_s=self._timeout_s,
                first_place=lane,
                tasks_per_process=self._lives,
            )
            for _, result in made:
                self._put(results, self._prepare(result))
        except _Dismissed:
            pass
        except BaseException as error:
            with contextlib.suppress(_Dismissed):
                self._put(results, error)

    def _put(self, results: queue.Queue[Item | BaseException], result: Item | BaseException) -> None:
        while True:
            self._look()
            with contextlib.suppress(queue.Full):
                results.put(result, timeout=_LOOK_S)
                return

    def _advance(self, count: int) -> None:
        self._look()

    def _look(self) -> None:
        if self._closed.is_set():
            raise _Dismissed
