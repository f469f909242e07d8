"""The highest weights of each row, equal ones in the order of the columns."""

from __future__ import annotations

import numpy as np

from graph.snapshot.arrays import Array

ROWS_AT_ONCE = 256


def top_k_of_rows(block: Array, count: int, own: Array | None = None, *, signed: bool = False) -> tuple[Array, Array]:
    """Columns (B, count) int32, -1 where there are fewer, and their weights (B, count) float32, descending.

    Shapes: block (B, N) finite weights; own (B,) the column of each row that is left out. Weights of 0 and below are no
    answer; if `signed` those farthest from 0 are, on either side of it.
    """
    count = max(1, min(count, block.shape[1]))
    parts = [
        _of_few(block[rows], count, None if own is None else own[rows], signed)
        for rows in (slice(at, at + ROWS_AT_ONCE) for at in range(0, len(block), ROWS_AT_ONCE))
    ]
    if not parts:
        return np.zeros((0, count), dtype=np.int32), np.zeros((0, count), dtype=np.float32)
    return np.concatenate([songs for songs, _ in parts]), np.concatenate([weights for _, weights in parts])


def _of_few(block: Array, count: int, own: Array | None, signed: bool) -> tuple[Array, Array]:
    block = np.ascontiguousarray(block, dtype=np.float32)
    size = np.abs(block) if signed else np.maximum(block, 0)
    if own is not None:
        size[np.arange(len(size)), own] = 0
    n = size.shape[1]
    # The bits of a float that is not negative sort as the float does, and the column decides below them: so a
    # partition's whim shows nowhere.
    keys = (size.view(np.int32).astype(np.int64) << 32) + np.arange(n, 0, -1)
    top = np.argpartition(keys, n - count, axis=1)[:, n - count :]
    order = np.argsort(-np.take_along_axis(keys, top, axis=1), axis=1)
    top = np.take_along_axis(top, order, axis=1)
    known = np.take_along_axis(size, top, axis=1) > 0
    weights = np.take_along_axis(block, top, axis=1)
    return np.where(known, top, -1).astype(np.int32), np.where(known, weights, 0).astype(np.float32)
