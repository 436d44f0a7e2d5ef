"""Batches from loading processes: a process that dies, hangs or runs out of memory ends the training with a one-line
error.

Loading processes pass tensors through shared memory, which needs ``/dev/shm`` and a Unix socket in the folder for
temporary files. If a container provides too little of the one, or the other's path is too long, they would print
tracebacks and the training would wait forever. This is checked beforehand; arrays then go through pipes, which costs
one more copy.
"""

from __future__ import annotations

import functools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from train.batches import Batch, Waiting, collate
from vision.errors import DactylError
from vision.machine.processes import MASKED, die_with, signals_masked

SHARED_MEMORY = Path("/dev/shm")
_PREFETCHED = 2  # batches per process, torch's default
_SEMAPHORES = 256 << 10  # bytes per process: they are in shared memory, too, a page each
_MAX_SOCKET_PATH = 107  # bytes, of a Unix socket on Linux
_SOCKET_NAME = len("/pymp-xxxxxxxx/listener-xxxxxxxx")
_LAST_SECONDS = 30  # of a terminated loading process: longer than a batch and its saving, validations aside


def collate_samples(samples: Sequence[Any]) -> Batch | DactylError:
    """Return a batch, or the first error among the samples: torch would put its traceback into the message."""
    return next((sample for sample in samples if isinstance(sample, DactylError)), None) or collate(samples)


class Loading:
    """Batches of a dataset, loaded by worker processes, or by this one if there are none.

    Args:
        dataset: the samples; one that is a DactylError is raised here.
        workers: number of processes.
        shared: whether to pass tensors through shared memory; if not, arrays through pipes.
        timeout_s: seconds without a batch after which a process is assumed to hang.
        waiting: object that records when this waits.
        collated: function that makes a batch, or a DactylError, of what the options select from the dataset.
        pinned: whether to put batches into pinned memory if there is a GPU.
        options: options of torch's DataLoader that determine the batches.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        workers: int,
        shared: bool,
        timeout_s: float,
        waiting: Waiting,
        collated: Callable[[Any], Batch | DactylError] = collate_samples,
        pinned: bool = True,
        **options: Any,
    ) -> None:
        self._timeout_s, self._waiting, self._stuck = timeout_s, waiting, False
        self._pin = pinned and torch.cuda.is_available()
        self._loader: DataLoader[Any] = DataLoader(
            dataset,
            collate_fn=collated if shared or not workers else functools.partial(_arrays, collated),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._pin,
            worker_init_fn=Beginning(os.getpid()),
            timeout=timeout_s if workers else 0,
            **options,
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        with signals_masked():
            batches = iter(self._loader)  # starts the processes
        while True:
            outer, self._waiting.since = self._waiting.since, time.monotonic()
            self._stuck = True
            try:
                batch = next(batches, None)
                self._stuck = False
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                raise DactylError(
                    f"data.workers: no batch for {self._timeout_s:g} s (data.timeout_s): a loading process hangs, or "
                    f"{SHARED_MEMORY} is full ({_free() >> 20} MB are free); the same command resumes"
                ) from None
            finally:
                self._waiting.since = outer
            if batch is None:
                return
            if isinstance(batch, DactylError):
                raise batch
            yield _tensors(batch, self._pin)

    def close(self) -> None:
        """End the processes; calling it twice is harmless."""
        loading: Any = self._loader._iterator
        if loading is None:
            return
        if self._stuck and self._loader.num_workers:  # they would not end by themselves
            signal_handling._remove_worker_pids(id(loading))  # torch monitors them, and would raise
            loading._worker_pids_set = False
            for worker in loading._workers:
                worker.kill()
        loading._shutdown_workers()


def shares_memory(workers: int, batch_bytes: int, loaders: int) -> bool:
    """Return whether loading processes can pass tensors through shared memory here.

    Args:
        workers: number of processes of each loader.
        batch_bytes: size of a batch.
        loaders: number of loaders at the same time on this machine.

    Raises:
        DactylError: there is not even room for the processes' semaphores.
    """
    needed, free = loaders * (_PREFETCHED * workers + 2) * batch_bytes, _free()
    if free < loaders * workers * _SEMAPHORES:
        raise DactylError(
            f"data.workers: {SHARED_MEMORY} has {free >> 10} kB free, too little for {workers} loading processes; give "
            "more (docker run --shm-size 1g), or set data.workers 0"
        )
    return needed <= free and len(os.fsencode(tempfile.gettempdir())) + _SOCKET_NAME <= _MAX_SOCKET_PATH


def loading_fault(error: BaseException) -> DactylError | None:
    """Return torch's error about a loading process that died, in one line; None for another error."""
    text = " ".join(str(error).split())
    if not isinstance(error, RuntimeError) or "DataLoader worker" not in text:
        return None
    how = text.partition("is killed by signal: ")[2].partition(".")[0] or "exited"
    return DactylError(
        f"data.workers: a loading process died ({how}): out of memory, or {SHARED_MEMORY} is full ({_free() >> 20} MB "
        "are free)? the same command resumes; data.workers 0 loads in the training process"
    )


def _free() -> int:
    """Return the free bytes of shared memory."""
    try:
        about = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return about.f_bavail * about.f_frsize


def _arrays(collated: Callable[[Any], Batch | DactylError], samples: Any) -> dict[str, np.ndarray] | DactylError:
    """Return a batch as arrays, which go through pipes; images (B, C, H, W, 3) in their memory layout."""
    batch = collated(samples)
    if isinstance(batch, DactylError):
        return batch
    return {key: (value.movedim(2, -1) if key == "images" else value).numpy() for key, value in batch.items()}


def _tensors(batch: dict[str, Any], pin: bool) -> Batch:
    """Return the batch from which :func:`_arrays` made arrays."""
    if all(isinstance(value, torch.Tensor) for value in batch.values()):
        return batch
    tensors = {key: torch.from_numpy(value) for key, value in batch.items()}
    if "images" in tensors:
        tensors["images"] = tensors["images"].movedim(-1, 2)
    return {key: value.pin_memory() for key, value in tensors.items()} if pin else tensors


class Beginning:
    """Setup of a loading process.

    Signals may reach every process of a job (Ctrl-C, Slurm, systemd), but the training process decides what happens. A
    worker that ended at once would end the training before it is saved, so it waits a while.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def __call__(self, worker: int) -> None:
        die_with(self._parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LAST_SECONDS))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASKED)
