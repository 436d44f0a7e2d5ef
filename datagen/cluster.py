"""Shards as tasks of a Ray cluster: the same function as on one machine, so the same bytes.

Ray places the tasks, and does one again elsewhere when its process or its whole node dies. Nothing but the tasks needs
to reach a node: states travel through Ray's object store, once a node, and finished shards go straight to the output,
which all nodes must be able to write: a shared folder, or a URL.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from datagen.pool import ATTEMPTS, TASKS_PER_PROCESS, TaskFailedError, TransientError
from datagen.shard_task import ShardTask
from datagen.states import States
from vision.errors import DactylError
from vision.progress import Advance
from vision.shards import ShardRecord

# Ray reads these when it is imported: no report of its use to anyone, and time to start on a busy machine.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_worker_register_timeout_seconds": "180",
}

LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable that, set to 0, keeps it on the loopback interface; named for the systems where that is the rule."""

_IN_FLIGHT = 2_000  # tasks that Ray knows of at once: more than a cluster has cores, few enough to wait for quickly


def run_on_ray(
    task: ShardTask,
    numbers: Sequence[int],
    states: States,
    advance: Advance,
    *,
    address: str | None,
    workers: int,
    patience_s: float,
) -> Iterator[tuple[int, ShardRecord]]:
    """Yield (number, record) as shards get done, in any order; leaving early cancels the rest.

    Args:
        task: makes one shard.
        numbers: of the shards to make.
        states: of the task's configuration.
        advance: called with the samples of each finished shard.
        address: of a cluster, ``host:port``; ``auto`` for the one that this machine belongs to; None to start Ray on
            this machine alone, for as long as this takes.
        workers: processes of a Ray that is started here; a cluster has as many as it has cores.
        patience_s: seconds without a finished sample after which a process ends itself, to be replaced.

    Raises:
        DactylError: Ray is not installed, there is no cluster, or whatever the task raised.
        TaskFailedError: a shard's processes or nodes died ``ATTEMPTS`` times.
    """
    with connected(address, workers) as ray:
        from ray.exceptions import RayError, RayTaskError

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
                waiting[shard.remote(task_there, states_there, number, patience_s)] = number
            if not waiting:
                return
            # A short time, so that signals find this process in Python.
            finished, _ = ray.wait(list(waiting), num_returns=1, timeout=0.5)
            for reference in finished:
                number = waiting.pop(reference)
                try:
                    record = ray.get(reference)
                except RayTaskError as error:
                    if isinstance(error.cause, TransientError):
                        raise TaskFailedError(str(error.cause), number, 0) from None
                    raise error.cause from None
                except RayError as error:
                    reason = " ".join(str(error).split())
                    raise TaskFailedError(f"{type(error).__name__}: {reason[:300]}", number, 0) from None
                advance(record.samples)
                yield number, record


def _make_shard(task: ShardTask, states: States, number: int, patience_s: float) -> ShardRecord:
    """What a Ray worker does. A process that hangs ends itself, by a thread that needs no Python to run."""

    def watch(_: int = 0) -> None:
        faulthandler.dump_traceback_later(patience_s, exit=True, file=sys.stderr)

    watch()
    try:
        return task.make(number, states, watch)
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def connected(address: str | None, workers: int) -> Iterator[Any]:
    """Yields Ray's module, connected to the cluster at `address`, or to one on this machine alone.

    Raises:
        DactylError: Ray is not installed, or there is no cluster.
    """
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is None or address.startswith("127.0.0.1:"):
        # Else Ray takes the machine's address on the network for its loopback one, and listens there.
        os.environ[LOOPBACK_ONLY] = "0"
    try:
        import ray
    except ImportError:
        raise DactylError("executor ray needs Ray: pip install 'dactyl-vision[ray]'") from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"address": "local", "num_cpus": workers, "include_dashboard": False}
        options |= {"_node_ip_address": "127.0.0.1"}
    else:
        options["address"] = address
    try:
        with _own_signals():
            ray.init(**options)
    except Exception as error:  # Ray raises bare ones too
        reason = " ".join(str(error).split())
        raise DactylError(
            f"no Ray cluster at {address or 'this machine'} ({reason[:300]}); ray start --head starts one"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself and would exit with status 1; ours says how to resume."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
