"""The inner loop of EASE's sparse form: one small ridge regression a song."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numba import njit, prange

from graph.snapshot.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])
_CHUNK: Final = 256


def _compiled(function: F) -> F:
    made: F = njit(cache=True, nogil=True, parallel=True)(function)
    return made


def regressions(songs: Array, products: Array, squares: Array, ridge: float) -> Array:
    """(N, M) the weight of each song that a song's regression sees; `songs` (N, M) are those, -1 for none.

    Shapes: products (N, M) of the two columns, squares (N,) of a column with itself.
    """
    return np.asarray(_regressions(songs, products, squares, ridge))


@_compiled
def _regressions(songs: Array, products: Array, squares: Array, ridge: float) -> Array:
    n, most = songs.shape
    weights = np.zeros((n, most), dtype=np.float32)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        place = np.full(n, -1, dtype=np.int32)
        for target in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, n)):
            m = 0
            while m < most and songs[target, m] >= 0:
                place[songs[target, m]] = m
                m += 1
            if m == 0:
                continue
            gram = np.zeros((m, m), dtype=np.float32)
            for a in range(m):
                seen = songs[target, a]
                gram[a, a] = squares[seen] + ridge
                for j in range(most):
                    other = songs[seen, j]
                    if other < 0:
                        break
                    b = place[other]
                    if b >= 0:
                        gram[a, b] = products[seen, j]
                        gram[b, a] = products[seen, j]
            weights[target, :m] = np.linalg.solve(gram, products[target, :m].copy())
            for a in range(m):
                place[songs[target, a]] = -1
    return weights
