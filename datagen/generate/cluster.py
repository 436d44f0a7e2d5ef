"""Shards as tasks of a Ray cluster: the same function as on one machine, so the same bytes.

Ray places the tasks, and does one again elsewhere when its process or its whole node dies. Nothing but the tasks needs
to reach a node: states travel through Ray's object store, once a node, and finished shards go straight to the output,
which all nodes must be able to write: a shared folder, or a URL.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from datagen.generate.shard_task import ShardTask
from datagen.states.files import States
from datagen.workers.pool import ATTEMPTS, PLACE, TASKS_PER_PROCESS, TaskFailedError, TransientError
from datagen.workers.ray_cluster import connected
from vision.progress import Advance
from vision.storage.shards import ShardRecord

_IN_FLIGHT = 2_000  # tasks that Ray knows of at once: more than a cluster has cores, few enough to wait for quickly


def run_on_ray(
    task: ShardTask,
    numbers: Sequence[int],
    states: States,
    advance: Advance,
    *,
    address: str | None,
    workers: int,
    timeout_s: float,
) -> Iterator[tuple[int, ShardRecord]]:
    """Yield (number, record) as shards get done, in any order; leaving early cancels the rest.

    Args:
        task: makes one shard.
        numbers: of the shards to make.
        states: of the task's configuration.
        advance: called with the samples of each finished shard.
        address: of a cluster, ``host:port``; ``auto`` for the one that this machine belongs to; None to start Ray on
            only this machine, for as long as this takes.
        workers: processes of a Ray that is started here; a cluster has as many as it has cores.
        timeout_s: seconds without a finished sample after which a process ends itself, to be replaced.

    Raises:
        DactylError: Ray is not installed, there is no cluster, or whatever the task raised.
        TaskFailedError: a shard's processes or nodes died ``ATTEMPTS`` times.
    """
    with connected(address, workers) as ray:
        shard = ray.remote(
            num_cpus=1,
            max_calls=TASKS_PER_PROCESS,
            max_retries=ATTEMPTS - 1,
            retry_exceptions=[TransientError],
        )(_make_shard)
        # Put once: a task's argument would travel with every task.
        task_there, states_there = ray.put(task), ray.put(states)
        left, waiting = iter(numbers), dict[Any, int]()
        while True:
            for number in itertools.islice(left, _IN_FLIGHT - len(waiting)):
                waiting[shard.remote(task_there, states_there, number, timeout_s)] = number
            if not waiting:
                return
            # A short time, so that signals find this process in Python.
            finished, _ = ray.wait(list(waiting), num_returns=1, timeout=0.5)
            for reference in finished:
                number = waiting.pop(reference)
                record = _taken(ray, reference, number)
                advance(record.samples)
                yield number, record


def _taken(ray: Any, reference: Any, number: int) -> ShardRecord:
    """The record of a finished shard, or its fault as a pool of this machine raises it."""
    from ray.exceptions import RayError, RayTaskError

    try:
        record: ShardRecord = ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, TransientError):
            raise TaskFailedError(str(error.cause), number, 0) from None
        raise error.cause from None
    except RayError as error:
        reason = " ".join(str(error).split())
        raise TaskFailedError(f"{type(error).__name__}: {reason[:300]}", number, 0) from None
    return record


def _make_shard(task: ShardTask, states: States, number: int, timeout_s: float) -> ShardRecord:
    """What a Ray worker does. A process that hangs ends itself, by a thread that needs no Python to run."""

    def watch(_: int = 0) -> None:
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=sys.stderr)

    os.environ[PLACE] = str(os.getpid())  # whichever: it shares out the GPUs of this node
    watch()
    try:
        return task.make(number, states, watch)
    finally:
        faulthandler.cancel_dump_traceback_later()
