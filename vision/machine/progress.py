"""One progress bar for all long work: fraction done, rate, time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vision.errors import printable
from vision.machine.console import Console

Advance = Callable[[int], None]
"""Reports that this many more items are done."""
_FIRST_LINE_S, _RAREST_LINE_S = 30.0, 600.0


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self.unit}/s", style="cyan")


@contextlib.contextmanager
def progress(description: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
    """Show a bar on standard error; yields the function that advances it.

    If standard error is not a terminal (a log file), lines replace the bar: every half minute at first, later after
    each tenth of the time so far, at least every ten minutes, and one at the end.

    Args:
        description: what is being done, for example ``rendering``.
        total: number of items in all.
        unit: plural noun of the items.
        done: number of items done before; not counted in the rate.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(unit),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(printable(description), total=total, completed=done)
        lines = None if console.is_terminal else _Lines(bar, bar.tasks[0], unit)

        def advance(count: int) -> None:
            bar.update(task, advance=count)
            if lines is not None:
                lines.write()

        yield advance


class _Lines:
    """Lines of a log: done, rate and time left."""

    def __init__(self, bar: Progress, task: Task, unit: str) -> None:
        self._bar, self._task, self._unit = bar, task, unit
        self._done = task.completed
        self._start = self._last = time.monotonic()

    def write(self) -> None:
        """Write a line if it is time for one."""
        now, task = time.monotonic(), self._task
        seconds, done = now - self._start, task.completed - self._done
        due = min(max(_FIRST_LINE_S, seconds / 10), _RAREST_LINE_S)
        if now - self._last < due or task.remaining is None:
            return
        self._last = now
        if done > 0:
            left = timedelta(seconds=round(task.remaining * seconds / done))
            pace = f"{done / seconds:,.1f} {self._unit}/s, {left} left"
        else:  # trials, for example, which all end late
            pace = f"none more in {timedelta(seconds=round(seconds))}"
        self._bar.console.print(f"{task.description}: {task.completed:,.0f} of {task.total:,.0f} {self._unit}, {pace}")
