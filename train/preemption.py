"""Preemption signals: the training finishes its batch, saves, and exits with the signal's status."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from train.batches import Waiting

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that schedulers send before they take a machine away (SLURM: USR1 by custom), and Ctrl-C."""


_LOOK_S = 1.0
_LONGEST_WAIT_S = 15.0  # wait for a batch after a signal: schedulers kill after 30 s


class Stopped(Exception):
    """Raised when the training was asked to stop and has been saved.

    Attributes:
        signal: SIGINT or SIGTERM; SIGTERM if only another process of the training received a signal.
    """

    def __init__(self, received: int | None) -> None:
        super().__init__("stopped by a signal")
        self.signal = signal.SIGINT if received == signal.SIGINT else signal.SIGTERM


class StopOnSignal(Callback):
    """Callback that records the first signal for :class:`train.checkpoints.SaveLast`; a second one acts at once, and so
    does the first if the training waits for a batch that does not come.

    Lightning's own handler would answer SIGTERM with a collective operation in the middle of another one. Here all
    processes ask each other after every batch, so that all stop after the same one.
    """

    def __init__(self, waiting: Waiting) -> None:
        self.received: int | None = None
        self._waiting = waiting
        self._before: dict[int, Any] = {}

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def on_train_start(self, *_: Any) -> None:
        # Lightning has installed its handlers by now, and restores the previous ones when the training ends.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # Ignored signals stay ignored: a shell starts background jobs without SIGINT, and a training that
                # stopped for it would end with status 0, as if it were done.
                if self._before[number] is not signal.SIG_IGN:
                    signal.signal(number, self._note)

    def requested(self, trainer: lightning.Trainer) -> bool:
        """Return whether any process was asked to stop; every process has to call this after the same batches."""
        return not trainer.strategy.reduce_boolean_decision(self.received is None)

    def on_train_end(self, *_: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def on_exception(self, *_: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
            return
        self._act(number)

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self._waiting.seconds > _LONGEST_WAIT_S:
            assert self.received is not None
            self._act(self.received)

    def _act(self, number: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(number, self._before[number])
        signal.raise_signal(number)
