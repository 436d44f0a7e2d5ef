"""Shards as tasks of a Ray cluster, made by the same function as on one machine, so with the same bytes.

Ray places the tasks, and repeats one elsewhere if its process or its node dies. Nodes need nothing but the tasks, which
hold the states and travel through Ray's object store, once per node. Finished shards are written directly to the
output, which all nodes must be able to write: a shared folder, or a URL.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from datagen.generate.shard_task import ShardTask, tasks_per_process
from datagen.workers.pool import ATTEMPTS, PLACE, TaskFailedError, TransientError
from datagen.workers.ray_cluster import connected
from vision.machine.progress import Advance
from vision.storage.shards import ShardRecord

_IN_FLIGHT = 2_000  # tasks submitted to Ray at once: more than a cluster has cores, few enough to wait for quickly


def run_on_ray(
    task: ShardTask,
    numbers: Sequence[int],
    advance: Advance,
    *,
    address: str | None,
    workers: int,
    timeout_s: float,
) -> Iterator[tuple[int, ShardRecord]]:
    """Yield (number, record) as shards finish, in any order; leaving early cancels the rest.

    Args:
        task: task that makes one shard.
        numbers: numbers of the shards to make.
        advance: called with the number of samples of each finished shard.
        address: address of a cluster, ``host:port``; ``auto`` for the one that this machine belongs to; None to start
            Ray on this machine only, for the duration of the call.
        workers: processes of a Ray that is started here; a cluster uses all its cores.
        timeout_s: seconds without a finished sample after which a process ends itself, to be replaced.

    Raises:
        DactylError: Ray is not installed, there is no cluster, or whatever the task raised.
        TaskFailedError: a shard's processes or nodes died ``ATTEMPTS`` times.
    """
    with connected(address, workers) as ray:
        shard = ray.remote(
            num_cpus=1,
            max_calls=tasks_per_process(task.config.renderer),
            max_retries=ATTEMPTS - 1,
            retry_exceptions=[TransientError],
        )(_make_shard)
        task_there = ray.put(task)  # once: an argument would be sent with every shard
        left, waiting = iter(numbers), dict[Any, int]()
        while True:
            for number in itertools.islice(left, _IN_FLIGHT - len(waiting)):
                waiting[shard.remote(task_there, number, timeout_s)] = number
            if not waiting:
                return
            # A short timeout, so that Python can handle signals.
            finished, _ = ray.wait(list(waiting), num_returns=1, timeout=0.5)
            for reference in finished:
                number = waiting.pop(reference)
                record = _taken(ray, reference, number)
                advance(record.samples)
                yield number, record


def _taken(ray: Any, reference: Any, number: int) -> ShardRecord:
    """Return the record of a finished shard, or raise its error as a local pool would."""
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


def _make_shard(task: ShardTask, number: int, timeout_s: float) -> ShardRecord:
    """Make one shard in a Ray worker. A process that hangs ends itself, by a thread that does not need Python."""

    def watch(_: int = 0) -> None:
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=sys.stderr)

    os.environ[PLACE] = str(os.getpid())  # any number will do: it distributes processes over this node's GPUs
    watch()
    try:
        return task(number, watch)
    finally:
        faulthandler.cancel_dump_traceback_later()
