"""What Filament writes to the process's own outputs: read where it says something, and kept from the terminal."""

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
    """Keep what native code writes to file descriptors, and yield a function that returns it so far as bytes.

    Filament prints a dozen lines for each context, and says only there which device it chose.
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
    """Keep from the terminal what Filament writes of its own housekeeping on a busy machine; pass on all else."""
    with captured_output(1, 2) as log:
        try:
            yield
        finally:
            said = log()
    rest = b"".join(line for line in said.splitlines(keepends=True) if _IDLE_WARNING not in line)
    if rest:
        os.write(2, rest)
