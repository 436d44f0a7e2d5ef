"""Figures as JSON lines, from the process that measures to the one that makes the table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.errors import DactylError


@dataclass(frozen=True)
class Plan:
    """Size, time and folder of a part.

    Attributes:
        tiny: make everything small, for a machine without a GPU.
        seconds: time that the part should take; it is ended a little later.
        folder: folder for states, datasets and trainings, shared by the parts.
    """

    tiny: bool
    seconds: float
    folder: Path


def emit(what: str, value: float | None, unit: str, **more: Any) -> None:
    """Write one figure to standard output; one that could not be measured has ``value`` None and a key ``error``."""
    sys.stdout.write(json.dumps({"what": what, "value": value, "unit": unit, **more}) + "\n")
    sys.stdout.flush()


def emit_error(what: str, unit: str, error: BaseException) -> None:
    """Write a figure that could not be measured, with the reason in one line."""
    said = str(error) if isinstance(error, DactylError) else f"{type(error).__name__}: {error}"
    emit(what, None, unit, error=" ".join(said.split())[:300])


def run_part(measure: Callable[[Plan], None]) -> None:
    """Call ``measure`` with the plan from the command line, as the main function of a part's module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    measure(Plan(**vars(parser.parse_args())))
