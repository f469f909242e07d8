"""Recall by vectors: the songs of the release from an index, new songs beside them."""

from __future__ import annotations

import numpy as np

from graph.arrays import Array
from recall.base import Candidates, Query
from recall.index import VectorIndex


def near(index: VectorIndex, vector: Array, query: Query, k: int) -> Candidates:
    """The `k` songs nearest to `vector` (D,) that may come back, by cosine; new songs by their composed vectors."""
    found = index.search(vector, k, query.allowed)
    new = query.live.songs
    if not len(new) or not vector.any():
        return found
    songs = np.flatnonzero(new.unit.any(axis=1)) + new.first
    songs = songs[query.permits(songs)]
    scores = new.unit[songs - new.first] @ (vector / np.linalg.norm(vector)).astype(np.float32)
    return Candidates.best(np.concatenate([found.songs, songs]), np.concatenate([found.scores, scores]), k)
