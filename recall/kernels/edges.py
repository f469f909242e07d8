"""What songs' edges lead to, by rows of CSR matrices: how much a listener likes it, and what that makes of a song."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array
from recall.kernels.sums import bits_of, looked_up, sums_of


@compiled
def spread_over_targets(
    indptr: Array, indices: Array, shares: Array, songs: Array, weights: Array
) -> tuple[Array, Array, float]:
    """The targets (n,), ascending, of the edges of `songs` (S,), what of the songs' weights (S,) each gets by the
    edges' shares (n,), and the sum of |weight| over songs that have an edge."""
    count, norm = 0, 0.0
    for i in range(len(songs)):
        edges = indptr[songs[i] + 1] - indptr[songs[i]]
        count += edges
        if edges:
            norm += abs(weights[i])
    keys, values, at = np.empty(count, dtype=np.int64), np.empty(count), 0
    for i in range(len(songs)):
        for edge in range(indptr[songs[i]], indptr[songs[i] + 1]):
            keys[at], values[at] = indices[edge], weights[i] * shares[edge]
            at += 1
    targets, sums = sums_of(keys, values)
    return targets, sums, norm


@compiled
def best_by_share(best: Array, entities: Array, values: Array, most: int) -> Array:
    """The first songs (n,) of each of `entities` (E,) whose value (E,) is above 0: `most`, shared out by value, rounded
    up. best (N, M) are the songs of every entity, -1 where there are fewer."""
    total = 0.0
    for i in range(len(entities)):
        total += max(values[i], 0.0)
    found, n = np.empty(most + len(entities), dtype=np.int64), 0
    for i in range(len(entities)):
        if values[i] > 0:
            for rank in range(min(int(np.ceil(most * values[i] / total)), best.shape[1])):
                if best[entities[i], rank] >= 0:
                    found[n] = best[entities[i], rank]
                    n += 1
    return found[:n]


@compiled
def gathered_from_targets(
    indptr: Array, indices: Array, shares: Array, songs: Array, slots: Array, theirs: Array
) -> Array:
    """(n,) for each of `songs` (n,) the sum over its edges of share x what the target is worth by a hash table
    (`table_of`), 0 where that lacks it. A position beyond the rows of `indptr` has no edges."""
    found, bits = np.zeros(len(songs)), bits_of(slots)
    for i in range(len(songs)):
        if songs[i] + 1 < len(indptr):
            for edge in range(indptr[songs[i]], indptr[songs[i] + 1]):
                found[i] += shares[edge] * looked_up(indices[edge], slots, theirs, bits)
    return found


@compiled
def add_lifts(found: Array, which: Array, target: Array, share: Array, affinity: Array, weight: float) -> None:
    """Add to `found` (S,) weight x how much each song's edges are liked, where they are: which (E,), ascending, is the
    song of an edge, target and share (E,) what it leads to, affinity (T,) how much each target is liked."""
    edge = 0
    while edge < len(which):
        song, total = which[edge], 0.0
        while edge < len(which) and which[edge] == song:
            total += affinity[target[edge]] * share[edge]
            edge += 1
        found[song] += weight * max(total, 0.0)
