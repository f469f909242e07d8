"""Recall by vectors: the songs of the release from an index, new songs beside them."""

from __future__ import annotations

import numpy as np

from graph.arrays import Array
from recall.base import Candidates, Query
from recall.index import VectorIndex


def near(index: VectorIndex, vector: Array, query: Query, k: int, *, exact: bool = False) -> Candidates:
    """The `k` songs nearest to `vector` (D,) that may come back, by cosine; new songs by their composed vectors.

    `exact` looks at every song, whatever the kind of the index.
    """
    found = index.search(vector, k, exclude=query.exclude, exact=exact)
    new = query.live.songs
    if not len(new) or not vector.any():
        return found
    songs = np.flatnonzero(new.unit.any(axis=1)) + new.first
    songs = songs[query.permits(songs)]
    scores = new.unit[songs - new.first] @ (vector / np.linalg.norm(vector)).astype(np.float32)
    return Candidates.best(np.concatenate([found.songs, songs]), np.concatenate([found.scores, scores]), k)
