"""The lists of all channels as one table: what each candidate adds, and where each song stands in each list."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array
from recall.kernels.sums import bits_of, slot_in, table_of

RANK_OFFSET = 60.0


@compiled
def gap_contributions(scores: Array, starts: Array, mains: Array, weights: Array, factors: Array, tie: float) -> Array:
    """(E,) what each candidate of C lists contributes: the weight of its list x its log-standardised gap, and a little
    by rank, all x the factor of its list; 0 for those that stand behind the `mains` of a list.

    Shapes: scores (E,) of all lists, one after the other, each in descending order, starts (C + 1,), mains (C,),
    weights and factors (C,). See `recall.blend.fusion`.
    """
    found = np.zeros(len(scores))
    for c in range(len(mains)):
        first, count = starts[c], mains[c]
        if not count:
            continue
        mean, spread = 0.0, 0.0
        for i in range(first, first + count):
            mean += scores[i]
        mean /= count
        for i in range(first, first + count):
            spread += (scores[i] - mean) ** 2
        spread = np.sqrt(spread / count)
        last = scores[first + count - 1]
        for i in range(first, first + count):
            gap = np.log1p((scores[i] - last) / spread) if spread > 0 else 0.0
            found[i] = factors[c] * (weights[c] * gap + tie * (RANK_OFFSET / (RANK_OFFSET + i - first)))
    return found


@compiled
def merged(
    songs: Array, scores: Array, contributions: Array, starts: Array, mains: Array, inside: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """The songs (P,) that are inside a list, each once, the highest fused score first, equal ones by position; these
    scores (P,), the sums of their contributions; ranks (P, C) and scores (P, C) in each list, -1 and 0 where it is not
    there; whether it is there for an interest alone (P,).

    Shapes: songs, scores, contributions and `inside` (E,), whether an entry is within its list's quota, of C lists, one
    after the other; starts (C + 1,); mains (C,) how many of each list, the first ones, stand for the whole history. The
    others say nothing of a song that is inside for the whole history.
    """
    lists, count = len(mains), 0
    found = np.empty(len(songs), dtype=np.int64)
    for i in range(len(songs)):
        if inside[i]:
            found[count] = songs[i]
            count += 1
    found = np.unique(found[:count])
    count = len(found)
    fused, alone = np.zeros(count), np.ones(count, dtype=np.bool_)
    slots, places = table_of(found, np.arange(count).astype(np.float64))
    bits, place = bits_of(slots), np.empty(len(songs), dtype=np.int64)
    for c in range(lists):
        for i in range(starts[c], starts[c + 1]):
            slot = slot_in(songs[i], slots, bits)
            place[i] = np.int64(places[slot]) if slots[slot] >= 0 else -1
            if place[i] >= 0 and inside[i] and i < starts[c] + mains[c]:
                alone[place[i]] = False
    for c in range(lists):
        for i in range(starts[c], starts[c + 1]):
            at = place[i]
            if at >= 0 and (i < starts[c] + mains[c] or alone[at]):
                fused[at] += contributions[i]
    order = np.argsort(-fused, kind="mergesort")
    stands = np.empty(count, dtype=np.int64)
    stands[order] = np.arange(count)
    theirs, ranks = np.zeros((count, lists)), np.full((count, lists), -1, dtype=np.int32)
    for c in range(lists):
        for i in range(starts[c], starts[c + 1]):
            at = place[i]
            if at >= 0 and (i < starts[c] + mains[c] or alone[at]):
                ranks[stands[at], c], theirs[stands[at], c] = i - starts[c], scores[i]
    return found[order].astype(np.int32), fused[order], ranks, theirs, alone[order]
