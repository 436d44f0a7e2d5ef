"""Helpers for child processes: fast start, signals delivered when they are ready, and death with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
from collections.abc import Iterator

MASKED = (signal.SIGINT, signal.SIGTERM)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however that happens (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the call
        os._exit(1)


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Pause garbage collection during imports: modules are not garbage, and scanning them again and again takes an
    eighth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextlib.contextmanager
def signals_masked() -> Iterator[None]:
    """Hold back the signals of :data:`MASKED` while processes are started; one that arrives meanwhile is delivered
    after.

    A process started inside inherits the mask, and lifts it when it is ready for them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, MASKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
