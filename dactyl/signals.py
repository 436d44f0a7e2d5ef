"""Signals that end a command: they are recorded, and raise exceptions while it runs."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

received: list[int] = []
"""Signals that arrived to end the running command."""


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException, so that no stage handles it as its own error."""


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Make SIGTERM and Ctrl-C raise and be recorded, and restore the caller's handlers afterwards.

    Handlers that stayed would be inherited by the caller's forks, and could raise there unnoticed in a finaliser, after
    which a process pool waits for ever for a worker that was told to end.
    """
    received.clear()
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _terminate)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored for a shell's background jobs
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # a handler not set from Python cannot be restored
                signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    received.append(number)
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    received.append(number)
    raise KeyboardInterrupt
