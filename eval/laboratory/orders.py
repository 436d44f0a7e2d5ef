"""Other orders of items that a user may have exchanged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

_MOST_PERMUTED = 4  # more items have too many orders


def other_orders(count: int) -> Iterator[list[int]]:
    """Yield the other orders of ``count`` items: all of them for up to four, else only exchanges of two."""
    if count <= _MOST_PERMUTED:
        yield from (list(order) for order in itertools.islice(itertools.permutations(range(count)), 1, None))
        return
    for i, j in itertools.combinations(range(count), 2):
        order = list(range(count))
        order[i], order[j] = j, i
        yield order
