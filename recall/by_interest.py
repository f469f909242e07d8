"""Recall for each of a listener's interests: which of them brings a song, and how many places each has.

A channel whose score is a sum over the listener's songs knows what each interest adds to it. A song belongs to the
interest that adds most. The best songs for the whole history come first, as ever; an interest that has fewer of them
than its part, by importance, has its own best songs besides, from which a slate may take one. Nothing is ranked higher
than it is loved.
Source: the iQIYI recall talk (quotas by interest).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates, Query
from recall.blend.places import allocate
from recall.grouped import rank_within_group, sum_by_key

BESIDES: Final = 0.1
"""Songs that a channel proposes for interests alone, at most, as a share of its places."""


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
    if arrival is None:
        order = np.argsort(-scores, kind="stable")
    else:
        order = np.lexsort((songs, query.live.songs.take(arrival, np.iinfo(np.int64).max, songs), -scores))
    interest = interest[order].astype(np.int64)
    besides = k + _besides(interest, query.interests.importance, k)
    rows = order[np.concatenate([np.arange(min(k, len(order))), besides])]
    mine = interest[np.concatenate([np.arange(min(k, len(order))), besides])]
    share = query.interests.importance
    importance = np.append(share, max(1 - float(share.sum()), 0.0))
    return Candidates(songs[rows].astype(np.int32), scores[rows].astype(np.float64), mine, importance, len(besides))


def _besides(interest: Array, importance: Array, k: int) -> Array:
    """Rows (m,) behind the first `k` of candidates, the best first, that interests with fewer than their part of `k`
    places have besides; at most `BESIDES` x k."""
    first, rest = interest[:k], interest[k:]
    count = len(importance)
    parts = allocate(k, np.where(np.bincount(interest, minlength=count + 1)[:count] > 0, importance, 0))
    lacking = np.maximum(parts - np.bincount(first, minlength=count + 1)[:count], 0)
    room = min(math.ceil(k * BESIDES), int(lacking.sum()))
    places = np.append(allocate(room, lacking.astype(np.float64)), 0)
    return np.flatnonzero(rank_within_group(rest) < places[rest])
