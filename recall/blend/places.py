"""How a number of places is shared out: to channels, and to the interests within one."""

from __future__ import annotations

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates
from recall.grouped import rank_within_group


def within(found: Candidates, quota: int) -> Array:
    """Rows (n,) of the candidates within a channel's quota, the best first.

    Where candidates name their interest, the quota is allocated to the interests by importance, at least one place each
    while places last. Places that an interest cannot fill go to the best of the other candidates. Candidates that are
    `besides` are kept whole, beyond the quota.
    """
    if found.besides:
        main = len(found) - found.besides
        return np.concatenate([np.arange(min(quota, main)), np.arange(main, len(found))])
    if found.interest is None or len(found) <= quota:
        return np.arange(min(quota, len(found)))
    importance = np.bincount(found.interest, minlength=1) > 0
    shares = np.ones(len(importance)) if found.importance is None else np.asarray(found.importance, dtype=np.float64)
    parts = allocate(quota, np.where(importance, shares[: len(importance)], 0))
    inside = rank_within_group(found.interest) < parts[found.interest]
    inside[np.flatnonzero(~inside)[: quota - int(inside.sum())]] = True
    return np.flatnonzero(inside)


def allocate(places: int, importance: Array) -> Array:
    """(I,) integers that sum to `places`, in proportion to `importance` (I,), by largest remainders; each importance
    above 0 gets at least 1 while places last."""
    parts = np.zeros(len(importance), dtype=np.int64)
    alive = np.flatnonzero(importance > 0)
    if not len(alive) or places <= 0:
        return parts
    if places <= len(alive):
        parts[alive[np.argsort(-importance[alive], kind="stable")[:places]]] = 1
        return parts
    exact = (places - len(alive)) * importance[alive] / importance[alive].sum()
    parts[alive] = 1 + np.floor(exact).astype(np.int64)
    rest = places - int(parts.sum())
    parts[alive[np.argsort(-(exact - np.floor(exact)), kind="stable")[:rest]]] += 1
    return parts
