"""What may have been exchanged: other orders of things that were named one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

_MOST_PERMUTED = 4  # of more there are too many orders


def other_orders(count: int) -> Iterator[list[int]]:
    """Orders of ``count`` things other than their own: all of up to four, else only two exchanged at a time."""
    if count <= _MOST_PERMUTED:
        yield from (list(order) for order in itertools.islice(itertools.permutations(range(count)), 1, None))
        return
    for i, j in itertools.combinations(range(count), 2):
        order = list(range(count))
        order[i], order[j] = j, i
        yield order
