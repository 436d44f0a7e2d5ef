"""Signals that end a command: they raise while it runs, and are noted."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

received: list[int] = []
"""Signals that arrived while a command ran and were to end it."""


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException, so that no stage takes it for a fault of its own."""


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Meanwhile SIGTERM and Ctrl-C raise, and are noted; afterwards the caller has its own handlers back.

    One that stayed would be inherited by the caller's forks, and could raise there where nobody hears it: in a
    finaliser, after which a process pool waits for a worker that was told to end and did not.
    """
    received.clear()
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell has it ignored in the background
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that is not Python's cannot be put back
                signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    received.append(number)
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    received.append(number)
    raise KeyboardInterrupt
