"""Figures as lines of JSON, from the process that measures to the one that makes the table."""

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
    """What a part may take and where it works.

    Attributes:
        tiny: everything small, for a machine without a GPU.
        seconds: that the part should take; it is ended a little later.
        folder: for states, datasets and trainings, shared by the parts.
    """

    tiny: bool
    seconds: float
    folder: Path


def emit(what: str, value: float | None, unit: str, **more: Any) -> None:
    """One figure on standard output; ``value`` None and a key ``error`` where it could not be had."""
    sys.stdout.write(json.dumps({"what": what, "value": value, "unit": unit, **more}) + "\n")
    sys.stdout.flush()


def emit_error(what: str, unit: str, error: BaseException) -> None:
    """A figure that could not be had, and why, in one line."""
    said = str(error) if isinstance(error, DactylError) else f"{type(error).__name__}: {error}"
    emit(what, None, unit, error=" ".join(said.split())[:300])


def run_part(measure: Callable[[Plan], None]) -> None:
    """Call ``measure`` with the plan on the command line: what the module of a part does when it is run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    measure(Plan(**vars(parser.parse_args())))
