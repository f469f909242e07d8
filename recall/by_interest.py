"""Recall for each of a listener's interests: which of them brings a song, and what it brings beside the best.

A channel whose score is a sum over the listener's songs knows what each interest adds to it: a song belongs to the
interest that adds most. One without such a sum goes by the interest whose centre is nearest. The best songs for the
whole history come first, as ever; an interest that has fewer of them than its part, by importance, has its own best
songs besides, from which a slate may take one behind its first ten.
Source: the iQIYI recall talk (quotas by interest).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates, Query
from recall.blend.places import allocate
from recall.grouped import rank_within_group, sum_by_key, top_k

BESIDES: Final = 0.1
"""Songs that a channel proposes for interests alone, at most, as a share of its places, and one at least."""


def sums_by_interest(songs: Array, adds: Array, interest: Array, interests: int) -> tuple[Array, Array, Array]:
    """What single songs of a history add to others, summed: the songs (n,) with a sum above 0, ascending,
    these sums (n,), and the interest (n,) that adds most to each, `interests` where none adds anything.

    Shapes: E entries; songs (E,), adds (E,), interest (E,) of the song of the history, from 0, `interests` for none.
    """
    keys, sums = sum_by_key(songs.astype(np.int64) * (interests + 1) + interest, adds)
    song, interest = np.divmod(keys, interests + 1)
    first = np.ones(len(song), dtype=bool)
    np.not_equal(song[1:], song[:-1], out=first[1:])
    parts = np.zeros((np.count_nonzero(first), interests + 1))
    parts[np.cumsum(first) - 1, interest] = sums
    scores, mine = parts.sum(axis=1), most(parts[:, :interests])
    kept = scores > 0
    return song[first][kept], scores[kept], mine[kept]


def most(parts: Array) -> Array:
    """(n,) the interest that adds most to each song, by what each of them adds (n, I): I where none adds anything."""
    best = np.argmax(parts, axis=1)
    return np.asarray(np.where(parts[np.arange(len(parts)), best] > 0, best, parts.shape[1]))


def for_each(
    songs: Array, scores: Array, interest: Array, query: Query, k: int, arrival: Array | None = None
) -> Candidates:
    """The `k` allowed ones of `songs` (n,) with the highest scores (n,), and besides the best songs of each interest of
    the listener that has fewer than its part of them; `interest` (n,) is that of each song, I for none.

    Equal scores by `arrival` (songs,), as in `Candidates.permitted`, else as the songs come.
    """
    may = query.permits(songs)
    songs, scores, interest = songs[may], scores[may], interest[may]
    more = math.ceil(k * BESIDES)
    near = _near_the_top(scores, interest, len(query.interests), k, more)
    songs, scores, interest = songs[near], scores[near], interest[near]
    if arrival is None:
        order = np.argsort(-scores, kind="stable")
    else:
        order = np.lexsort((songs, query.live.songs.take(arrival, np.iinfo(np.int64).max, songs), -scores))
    besides = k + _besides(interest[order], query.interests.importance, k, more)
    rows = order[np.concatenate([np.arange(min(k, len(order))), besides])]
    return Candidates(songs[rows].astype(np.int32), scores[rows].astype(np.float64), interest[rows], None, len(besides))


def _near_the_top(scores: Array, interest: Array, interests: int, k: int, more: int) -> Array:
    """(n,) whether each song is among the best `k` of all, or the best `k + more` of its interest: no other can be
    among the best, or besides."""
    if len(scores) <= k + more:
        return np.ones(len(scores), dtype=bool)
    kept = np.zeros(len(scores), dtype=bool)
    kept[top_k(scores, k)] = True
    for one in range(interests):
        mine = np.flatnonzero(interest == one)
        kept[mine[top_k(scores[mine], k + more)]] = True
    return kept


def _besides(interest: Array, importance: Array, k: int, more: int) -> Array:
    """Rows (m,) behind the first `k` of candidates (n,), the best first, that interests with fewer than their part of
    `k` places have besides, `more` at most; `importance` (I,) sums to at most 1, the rest is that of no interest."""
    count = len(importance)
    first, rest = (np.bincount(part, minlength=count + 1) for part in (interest[:k], interest[k:]))
    parts = allocate(k, np.append(importance, max(1 - float(importance.sum()), 0.0)))
    lacking = np.minimum(np.maximum(parts - first, 0), rest)[:count]
    places = np.append(np.minimum(allocate(min(more, int(lacking.sum())), lacking.astype(np.float64)), lacking), 0)
    return np.flatnonzero(rank_within_group(interest[k:]) < places[interest[k:]])
