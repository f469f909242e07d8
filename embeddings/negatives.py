"""Songs that a listener has nothing to do with, as counterparts of those the listener likes."""

from __future__ import annotations

import numpy as np
from numba import njit

from graph.arrays import Array


def uniform_negatives(indptr: Array, indices: Array, listeners: Array, items: int, rng: np.random.Generator) -> Array:
    """One item for each of B `listeners` (B,) -> (B,) int32, uniform over the items that are not among the listener's.

    Shapes: indptr (U + 1,) and indices (E,) hold each listener's own items, rising. Exact, and without a second try:
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


def popular_negatives(
    indptr: Array, indices: Array, listeners: Array, weights: Array, rng: np.random.Generator, *, tries: int = 16
) -> Array:
    """As `uniform_negatives`, with a chance in proportion to `weights` (items,), 0 or more: popularity to some power.

    What is the listener's own is drawn anew; whoever has had `tries` of those gets a draw from their own weights, which
    takes a pass over all items but ends for those too who own nearly all of the weight (uniform where they own all).

    Raises: ValueError if no weight is above 0, or a listener has every item.
    """
    ends = np.cumsum(weights, dtype=np.float64)
    if not len(ends) or not ends[-1] > 0:
        raise ValueError(f"at least one of the weights must be above 0 (got a sum of {ends[-1] if len(ends) else 0})")
    own = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)) * len(weights) + indices  # rising
    found = np.empty(len(listeners), dtype=np.int32)
    left = np.arange(len(listeners))
    for _ in range(tries):
        drawn = np.searchsorted(ends, rng.random(len(left)) * ends[-1], side="right")
        found[left] = np.minimum(drawn, len(weights) - 1)
        keys = listeners[left].astype(np.int64) * len(weights) + found[left]
        places = np.minimum(np.searchsorted(own, keys), max(len(own) - 1, 0))
        left = left[own[places] == keys] if len(own) else left[:0]
    for b in left.tolist():
        others = np.array(weights, dtype=np.float64)
        others[indices[indptr[listeners[b]] : indptr[listeners[b] + 1]]] = 0
        if others.sum() > 0:
            found[b] = rng.choice(len(weights), p=others / others.sum())
        else:
            found[b] = uniform_negatives(indptr, indices, listeners[[b]], len(weights), rng)[0]
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
