"""Whether a channel's answer may be served."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array
from recall.kernels.best import index_in

FINE, UNKNOWN, NOT_FINITE, TWICE, EXCLUDED = range(5)


@compiled
def fault_of(songs: Array, scores: Array, exclude: Array, size: int) -> int:
    """What is wrong with songs (n,) and scores (n,): a song that is not from 0 to size - 1, a score that is not finite,
    a song twice, a song of `exclude`, which is in ascending order; `FINE` where nothing is."""
    for i in range(len(songs)):
        if not 0 <= songs[i] < size:
            return UNKNOWN
    for i in range(len(scores)):
        if not np.isfinite(scores[i]):
            return NOT_FINITE
    ordered = np.sort(songs)
    for i in range(1, len(ordered)):
        if ordered[i] == ordered[i - 1]:
            return TWICE
    for i in range(len(songs)):
        if index_in(exclude, songs[i]) >= 0:
            return EXCLUDED
    return FINE
