"""What a ranker sees of each song of a pool, looked up in one pass."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.durations import DAY_MS
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.kernels.best import index_in


@compiled
def fill_channels(found: Array, ranks: Array, scores: Array, fused: Array, listed: Array) -> None:
    """Fill the first 2 C + 2 columns of `found` (P, F): of each of C channels the discounted rank 1 / log2(2 + rank),
    then of each the score over its best, then the fused score x 60 and the share of the channels that have the song.

    Shapes: ranks and scores (P, L) and fused (P,) as in `Pool`; listed (C,) which of the L lists is each channel's, -1
    for none. Where a channel does not have a song both are 0.
    """
    count, best = len(listed), np.full(len(listed), 1e-12)
    for i in range(len(fused)):
        for c in range(count):
            if listed[c] >= 0 and ranks[i, listed[c]] >= 0:
                best[c] = max(best[c], scores[i, listed[c]])
    for i in range(len(fused)):
        having = 0
        for c in range(count):
            rank = ranks[i, listed[c]] if listed[c] >= 0 else -1
            if rank >= 0:
                found[i, c], found[i, count + c] = 1 / np.log2(2.0 + rank), scores[i, listed[c]] / best[c]
                having += 1
            else:
                found[i, c], found[i, count + c] = 0.0, 0.0
        found[i, 2 * count], found[i, 2 * count + 1] = fused[i] * 60, having / max(count, 1)


@compiled
def _product(vector: Array, taste: Array) -> float:
    """The inner product of the first of each, as many as `taste` (D,) has; in four sums, of which a processor adds
    several at once."""
    size = len(taste)
    a, b, c, e = 0.0, 0.0, 0.0, 0.0
    for d in range(0, size - 3, 4):
        a += taste[d] * vector[d]
        b += taste[d + 1] * vector[d + 1]
        c += taste[d + 2] * vector[d + 2]
        e += taste[d + 3] * vector[d + 3]
    for d in range(size - size % 4, size):
        a += taste[d] * vector[d]
    return float((a + b) + (c + e))


@compiled
def fill_songs(
    found: Array,
    first: int,
    songs: Array,
    known: Array,
    released: Array,
    new_released: Array,
    now: int,
    heard: Array,
    plays: Array,
    unit: Array,
    new_unit: Array,
    taste: Array,
) -> None:
    """Fill columns of `found` (P, F) from `first` on: those of `known` (S, K) of each of `songs` (P,), 0 of a new song;
    log(1 + its age in days) at `now`, 0 where it is unknown or below; whether it is among `heard` (H,), ascending, and
    its `plays` (H,); the product of its vector and `taste` (D,).

    Shapes: released (S,) and new_released (M,) epoch milliseconds, below 0 where unknown; unit (S, D) and new_unit
    (M, D); positions from S on are those of new songs.
    """
    columns, size = known.shape[1], known.shape[0]
    for i in range(len(songs)):
        song, late = songs[i], songs[i] - size
        for k in range(columns):
            found[i, first + k] = known[song, k] if late < 0 else 0.0
        when = released[song] if late < 0 else new_released[late]
        found[i, first + columns] = np.log1p(max(now - when, 0) / DAY_MS) if when != UNKNOWN_INTEGER else 0.0
        at = index_in(heard, song)
        found[i, first + columns + 1] = at >= 0
        found[i, first + columns + 2] = plays[at] if at >= 0 else 0.0
        vector = unit[song] if late < 0 else new_unit[late]
        found[i, first + columns + 3] = _product(vector, taste)
