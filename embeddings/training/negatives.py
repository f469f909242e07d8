"""Songs that a listener has nothing to do with, as counterparts of those the listener likes."""

from __future__ import annotations

import numpy as np
from numba import njit

from graph.snapshot.arrays import Array


def uniform_negatives(indptr: Array, indices: Array, listeners: Array, items: int, rng: np.random.Generator) -> Array:
    """One item for each of B `listeners` (B,) -> (B,) int32, uniform over the items that are not among the listener's.

    Shapes: indptr (U + 1,) and indices (E,) hold each listener's own items, ascending. Exact, and without a second try:
    of n items that are left, the r-th is found among the gaps by bisection.

    Raises: ValueError if a listener has every item.
    """
    left = items - np.diff(indptr)[listeners]
    if len(left) and left.min() < 1:
        raise ValueError(f"listener {listeners[int(left.argmin())]} has all {items} items: there is no negative")
    drawn = rng.integers(left) if len(left) else np.empty(0, dtype=np.int64)
    found = np.empty(len(listeners), dtype=np.int32)
    _skip_own(indptr, indices, listeners, drawn, found)
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _skip_own(indptr: Array, indices: Array, listeners: Array, drawn: Array, found: Array) -> None:
    """found[b]: the drawn[b]-th of the items that are not in the row of listeners[b]."""
    for b in range(len(listeners)):
        begin = indptr[listeners[b]]
        low, high = begin, indptr[listeners[b] + 1]
        while low < high:  # the first own item with more than drawn[b] others before it
            middle = (low + high) >> 1
            if indices[middle] - (middle - begin) > drawn[b]:
                high = middle
            else:
                low = middle + 1
        found[b] = drawn[b] + (low - begin)
