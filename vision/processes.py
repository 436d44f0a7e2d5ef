"""Processes that begin soon, are ready for signals that reach them, and do not outlive the one that started them."""

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
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Import without garbage collection: modules are no garbage, and to look through them over and over takes an eighth
    of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextlib.contextmanager
def signals_masked() -> Iterator[None]:
    """Start processes between signals: one of :data:`MASKED` that arrives now is delivered after.

    A process that is started meanwhile inherits the mask, and lifts it when it is ready for them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, MASKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
