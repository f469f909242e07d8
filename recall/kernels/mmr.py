"""The greedy choice of maximal marginal relevance, which compares only the songs that may be next."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array


@compiled
def _alike(likeness: Array, artist: Array, one: int, other: int) -> float:
    if artist[one] >= 0 and artist[one] == artist[other]:
        return 1.0
    product = 0.0
    for d in range(likeness.shape[1]):
        product += likeness[one, d] * likeness[other, d]
    return product


@compiled
def mmr_order(gain: Array, likeness: Array, artist: Array, novelty: float, n: int) -> Array:
    """Rows (n,) of the songs with the highest gain - novelty x likeness to the nearest of those before, one by one; the
    first of equal ones.

    Shapes: P songs; gain (P,), likeness (P, D) unit vectors or zeros, whose inner products, where above 0, are
    likenesses, artist (P,); two songs of one artist (0 or more) are alike by 1.
    A song's value only falls as others are picked, so one that is not the highest by what is known need not be compared
    with the latest picks (Minoux 1978, Accelerated greedy algorithms).
    """
    picked, closest = np.empty(n, dtype=np.int64), np.zeros(len(gain))
    value, compared = gain.copy(), np.zeros(len(gain), dtype=np.int64)
    for turn in range(n):
        while True:
            best = int(np.argmax(value))
            if compared[best] == turn:
                break
            for earlier in range(compared[best], turn):
                closest[best] = max(closest[best], _alike(likeness, artist, best, picked[earlier]))
            compared[best] = turn
            value[best] = gain[best] - novelty * closest[best]
        picked[turn], value[best] = best, -np.inf
    return picked
