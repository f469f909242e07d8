"""The nearest of every one of a million vectors, each compared with those of the nearest cells; for refreshes."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.index.approximate import faiss, threads

_LOOKED_AT: Final = 16
"""Cells around a vector whose vectors are compared with it."""
_SAMPLE: Final = 64
_BLOCK: Final = 8192
_THREADS: Final = 2


def nearest_by_cells(unit: Array, count: int, cells: int | None = None) -> tuple[Array, Array]:
    """The `count` nearest of each of N vectors (N, D) float32 of length 1 or 0: positions (N, count) int32, -1 where
    there are fewer or a cosine is not above 0, and cosines (N, count) float32, descending, equal ones by position.

    The vectors are shared out among `cells` of a k-means partition, twice the square root of N without that. The same
    vectors give the same neighbours, whatever the number of threads.
    """
    filled = np.flatnonzero(np.einsum("nd,nd->n", unit, unit) > 0.5)
    kept = np.ascontiguousarray(unit[filled], dtype=np.float32)
    cells = max(1, min(cells or round(2 * len(kept) ** 0.5), len(kept) // 8))
    songs = np.full((len(unit), count), -1, dtype=np.int32)
    weights = np.zeros((len(unit), count), dtype=np.float32)
    if len(kept) < 2:
        return songs, weights
    with threads(1):  # with more, sums of the partition depend on who comes first
        quantizer = faiss().IndexFlatIP(kept.shape[1])
        index = faiss().IndexIVFFlat(quantizer, kept.shape[1], cells, faiss().METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid, index.cp.min_points_per_centroid, index.cp.spherical = _SAMPLE, 1, True
        index.train(kept)
    with threads(_THREADS):
        index.add(kept)
        index.nprobe = min(_LOOKED_AT, cells)
        for start in range(0, len(kept), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(kept)))
            cosines, found = index.search(kept[rows], min(count + 1, len(kept)))
            cosines[(found == rows[:, None]) | (found < 0)] = 0
            order = np.lexsort((found, -cosines), axis=1)[:, :count]
            cosines, found = (np.take_along_axis(values, order, axis=1) for values in (cosines, found))
            mine = filled[rows]
            songs[mine, : order.shape[1]] = np.where(cosines > 0, filled[found], -1)
            weights[mine, : order.shape[1]] = np.maximum(cosines, 0)
    return songs, weights
