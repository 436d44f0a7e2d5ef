"""Values by which samples can be filtered: numbers of their errors, labels and appearances."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_EACH = 6  # values of up to this many numbers list each; larger ones only minimum, mean and maximum


@dataclass(frozen=True)
class SampleErrors:
    """Errors of estimates of a dataset's N samples.

    Attributes:
        values: errors by title, with protocol and unit, (N,) each.
        shown: titles of the errors shown in captions.
        severity: measure by which samples are ranked as worst, (N,).
    """

    values: Mapping[str, np.ndarray]
    shown: Sequence[str]
    severity: np.ndarray


def filter_table(samples: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Tabulate the numbers of samples, each given as the same groups of named values.

    Returns:
        ``groups``: names of each group and their columns; ``rows``: for each sample, a number or None per column.
    """
    found = [{group: dict(_numbers("", values)) for group, values in sample.items()} for sample in samples]
    groups: dict[str, dict[str, int]] = {}
    column = itertools.count()
    for group in samples[0] if samples else ():
        names = dict.fromkeys(name for sample in found for name in sample[group])
        groups[group] = {name: next(column) for name in names}
    rows = [[sample[group].get(name) for group, names in groups.items() for name in names] for sample in found]
    return {"groups": groups, "rows": rows}


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of a JSON value or arrays, to four digits, each with its own name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{name} {key}".strip(), inner)
        return
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):  # texts, ragged lists, integers that are too large
        numbers = np.empty(0)
    if isinstance(value, list) and not numbers.size:
        yield f"{name}, how many", float(len(value))
        return
    if not numbers.size or not np.isfinite(numbers).all():
        return
    if numbers.ndim == 0:
        named = {name: float(numbers)}
    elif numbers.size <= _EACH:
        named = {f"{name} {place}": float(number) for place, number in enumerate(numbers.flat)}
    else:
        named = {f"{name}, {what}": float(getattr(numbers, what)()) for what in ("min", "mean", "max")}
    yield from ((key, float(f"{number:.4g}")) for key, number in named.items())
