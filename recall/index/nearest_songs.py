"""Recall by vectors: the songs of the release from an index, new songs beside them."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates, Query
from recall.index.vector_index import VectorIndex

_SPARE: Final = 8


def near(index: VectorIndex, vector: Array, query: Query, k: int, *, exact: bool = False) -> Candidates:
    """The `k` songs nearest to `vector` (D,) that may come back, by cosine; new songs by their composed vectors.

    `exact` looks at every song, whatever the kind of the index.
    """
    found, late = _permitted(index, vector, query, k, exact=exact), new_songs(vector, query)
    if not len(late):
        return found
    songs, scores = np.concatenate([found.songs, late.songs]), np.concatenate([found.scores, late.scores])
    return Candidates.best(songs, scores, k)


def new_songs(vector: Array, query: Query) -> Candidates:
    """Songs that came after the release, by the cosine of their composed vectors to `vector` (D,)."""
    new = query.live.songs
    if not len(new) or not vector.any() or new.unit.shape[1] != len(vector):
        return Candidates.none()
    songs = np.flatnonzero(new.unit.any(axis=1)) + new.first
    songs = songs[query.permits(songs)]
    scores = new.unit[songs - new.first] @ (vector / np.linalg.norm(vector)).astype(np.float32)
    return Candidates.best(songs, scores, len(songs))


def _permitted(index: VectorIndex, vector: Array, query: Query, k: int, *, exact: bool) -> Candidates:
    """Asks for a few more than `k` and leaves out what is excluded: of a large catalogue so much is not admitted that
    to tell the index of all of it costs as much as the search. It is told where that leaves too few."""
    heard = query.listener.heard
    spare = np.count_nonzero(~query.permits(heard)) + k // 16 + _SPARE
    found = index.search(vector, k + int(spare), exact=exact)
    kept = np.flatnonzero(query.permits(found.songs))[:k]
    if len(kept) < min(k, len(found)):
        return index.search(vector, k, exclude=query.exclude, exact=exact)
    return Candidates(found.songs[kept], found.scores[kept])
