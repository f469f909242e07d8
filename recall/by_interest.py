"""Recall for each of a listener's interests: which of them brings a song, and how many places each has.

A channel whose score is a sum over the listener's songs knows what each interest adds to it. A song belongs to the
interest that adds most; each interest has its part of the channel's places, by importance, and all candidates keep the
score that they have for the whole history. So a small interest is heard of beside a large one, and none is ranked
higher than it is loved.
Source: the iQIYI recall talk (quotas by interest).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates, Query
from recall.blend.places import allocate, within
from recall.grouped import sum_by_key

SHARED: Final = 0.25
"""Share of a channel's places, the last ones, that interests have parts of."""


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
    """The `k` allowed ones of `songs` (n,) with the highest scores (n,), so that each interest of the listener has its
    part of the places (`within`); `interest` (n,) is that of each song, I for none.

    Equal scores by `arrival` (songs,), as in `Candidates.permitted`, else as the songs come.
    """
    may = query.permits(songs)
    songs, scores, interest = songs[may], scores[may], interest[may]
    if arrival is None:
        order = np.argsort(-scores, kind="stable")
    else:
        order = np.lexsort((songs, query.live.songs.take(arrival, np.iinfo(np.int64).max, songs), -scores))
    share = query.interests.importance
    importance = np.append(share, max(1 - float(share.sum()), 0.0))
    found = Candidates(
        songs[order].astype(np.int32), scores[order].astype(np.float64), interest[order].astype(np.int64), importance
    )
    return found.of(_places(found, k))


def _places(found: Candidates, k: int) -> Array:
    """Rows (n,) of at most `k` candidates: the best of all, and in the last `SHARED` of the places those of interests
    that have fewer than their part of all places."""
    first = k - round(k * SHARED)
    if found.interest is None or found.importance is None or len(found) <= k:
        return np.arange(min(len(found), k))
    present = np.bincount(found.interest, minlength=len(found.importance)) > 0
    parts = allocate(k, np.where(present, found.importance, 0))
    lacking = np.maximum(parts - np.bincount(found.interest[:first], minlength=len(parts)), 0)
    rest = replace(found.of(slice(first, None)), importance=lacking.astype(np.float64))
    return np.concatenate([np.arange(first), first + within(rest, k - first)])
