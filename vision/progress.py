"""One progress bar for all long work: fraction done, rate, time left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vision.console import Console
from vision.errors import printable

Advance = Callable[[int], None]
"""Reports that this many more items are done."""


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

    If standard error is not a terminal (a log file), one line at the end replaces the bar.

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
        yield lambda count: bar.update(task, advance=count)
