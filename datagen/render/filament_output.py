"""Capture of what Filament writes to the process's output, to read it and to keep it off the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

_IDLE_WARNING = b"EBR Stall Warning"


@contextlib.contextmanager
def captured_output(*descriptors: int) -> Iterator[Callable[[], bytes]]:
    """Capture what native code writes to file descriptors, and yield a function that returns the bytes so far.

    Filament prints a dozen lines for each context, the only place that names the device it chose.
    """
    flush = ctypes.CDLL(None).fflush
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    flush(None)
    with tempfile.TemporaryFile() as log, contextlib.ExitStack() as stack:

        def text() -> bytes:
            flush(None)
            return os.pread(log.fileno(), 1 << 16, 0)

        for descriptor in descriptors:
            saved = os.dup(descriptor)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, descriptor)
            os.dup2(log.fileno(), descriptor)
        stack.callback(flush, None)
        yield text


@contextlib.contextmanager
def without_idle_warnings() -> Iterator[None]:
    """Suppress the housekeeping warnings that Filament prints on a busy machine; pass on everything else."""
    with captured_output(1, 2) as log:
        try:
            yield
        finally:
            said = log()
    rest = b"".join(line for line in said.splitlines(keepends=True) if _IDLE_WARNING not in line)
    if rest:
        os.write(2, rest)
