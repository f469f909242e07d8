"""Vectors of one training in the frame of another, and how far they have drifted from it.

Two trainings on nearly the same data give nearly the same distances in frames that are turned against each other. A
rotation takes the new ones to the old without changing a single dot product among them, so that whatever was computed
from the last release (a profile, an index of another service) still fits this one.

Source: Schönemann 1966 (the orthogonal Procrustes problem); Hamilton et al. 2016, arXiv 1605.09096 (for embeddings).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array

NEIGHBOURS: Final = 20
SAMPLED: Final = 2_000


def rotation(moved: Array, fixed: Array) -> Array:
    """The orthogonal Q (D, D) float32 that brings `moved` @ Q closest to `fixed`, in the sum of squares.

    Shapes: moved, fixed (N, D), row by row the same thing. Without a row it is the identity.
    """
    # of unit lengths the sum of squares is the sum of cosines; in float64, since a rounded Q would shrink vectors
    left, _, right = np.linalg.svd(moved.astype(np.float64).T @ fixed.astype(np.float64))
    turned: Array = (left @ right).astype(np.float32) if len(moved) else np.eye(moved.shape[1], dtype=np.float32)
    return turned


def common(old: Sequence[str], new: Sequence[str]) -> tuple[Array, Array]:
    """Where the ids that stand in both stand in each, (C,) and (C,); both sequences sorted and without repetition."""
    place = {id_: i for i, id_ in enumerate(old)}
    pairs = [(place[id_], i) for i, id_ in enumerate(new) if id_ in place]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def drift(old: Array, new: Array) -> dict[str, float]:
    """How far vectors moved: `mean_cosine`, and `neighbours_kept`, the share of each one's 20 nearest that still are.

    Shapes: old, new (N, D) of unit length, row by row the same thing; rows that are 0 in either are left out. Of many
    rows the neighbours of `SAMPLED`, spread evenly, are looked at among all. NaN where there is nothing to compare.
    """
    known = old.any(axis=1) & new.any(axis=1)
    old, new = old[known], new[known]
    if len(old) < 2:
        return {"mean_cosine": float("nan"), "neighbours_kept": float("nan")}
    count = min(NEIGHBOURS, len(old) - 1)
    rows = np.unique(np.linspace(0, len(old) - 1, min(SAMPLED, len(old))).astype(np.int64))
    kept = [
        len(np.intersect1d(a, b, assume_unique=True)) / count
        for part in np.array_split(rows, -(-len(rows) // 256))
        for a, b in zip(_nearest(old, part, count), _nearest(new, part, count), strict=True)
    ]
    cosines = np.einsum("nd,nd->n", old.astype(np.float64), new.astype(np.float64))
    return {"mean_cosine": float(cosines.mean()), "neighbours_kept": float(np.mean(kept))}


def drift_of_releases(old: Release, new: Release) -> dict[str, dict[str, float]]:
    """By model: `drift` of the songs that both releases have, with the number of those compared, `songs`."""
    was, now = common(old.snapshot.ids["Song"].to_list(), new.snapshot.ids["Song"].to_list())
    found = {}
    for model in sorted(set(old.names("vectors")) & set(new.names("vectors"))):
        before, after = (release.arrays(f"vectors/{model}")[0]["unit"] for release in (old, new))
        if before.shape[1] == after.shape[1]:
            before, after = before[was], after[now]
            known = before.any(axis=1) & after.any(axis=1)
            found[model] = {"songs": int(known.sum()), **drift(before, after)}
    return found


def _nearest(unit: Array, rows: Array, count: int) -> Array:
    scores = unit[rows] @ unit.T
    scores[np.arange(len(rows)), rows] = -np.inf
    nearest: Array = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return nearest
