"""Let the N-th write, flush, rename or removal in a folder fail, or end the process there, as SQLite's tests do.

Everything here that writes goes through ``open``, ``os.fsync``, ``os.replace`` and ``os.unlink`` (Python's own files
are made unbuffered underneath, so that each call to the kernel counts).
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Way = Literal["fails once", "fails from then on", "kills", "is counted"]


@dataclass
class Fault:
    """Hands itself to a child process as what it does before its command (``tests.faults.children``).

    Attributes:
        folder: where operations count.
        number: of the operation that goes wrong, from 1.
        way: how; nothing goes wrong where they are only counted.
        fired: file that is made when it does, and holds the number of operations until then.
    """

    folder: Path
    number: int
    way: Way
    fired: Path

    def __call__(self) -> None:
        self.seen = 0
        self.open, self.io_open = builtins.open, io.open
        builtins.open = io.open = self.opened  # type: ignore[assignment]
        for name in ("fsync", "fdatasync", "replace", "rename", "unlink", "remove"):
            setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(target: Any, *arguments: Any, **options: Any) -> Any:
            self.count(
                str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else os.fspath(target)
            )
            return call(target, *arguments, **options)

        return wrapper

    def opened(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        writes = isinstance(file, (str, Path)) and set(mode) & set("wax+")
        if not writes or not self.inside(str(file)) or "b" not in mode or "+" in mode:
            if writes:
                self.count(str(file))
            return self.io_open(file, mode, *arguments, **options)
        self.count(str(file))
        raw = _Counted(str(file), mode.replace("b", ""))
        raw.count = self.count
        return io.BufferedWriter(raw, 65536)

    def inside(self, path: str) -> bool:
        return Path(path).is_relative_to(self.folder)

    def count(self, path: str) -> None:
        """One more operation on ``path``; does what is to be done if it is its turn."""
        if not self.inside(path):
            return
        self.seen += 1
        turn = self.seen == self.number or (self.seen > self.number and self.way == "fails from then on")
        if turn or self.way == "is counted":
            with self.io_open(self.fired, "w") as file:
                file.write(str(self.seen))
        if turn and self.way == "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        if turn and self.way != "is counted":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class _Counted(io.FileIO):
    count: Callable[[str], None]

    def write(self, data: Any) -> int:
        # Half of it arrives before the fault: a torn write.
        half = memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2]
        super().write(half)
        self.count(str(self.name))
        return len(half) + (super().write(memoryview(data).cast("B")[len(half) :]) or 0)
