"""How much of what describes two things is the same: cosines of their attributes, rare attributes counting more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array

MOST: Final = 400_000
"""Entries that one question looks at of one relation; the attributes that the most have are passed over beyond."""
Described = Mapping[str, tuple[Array, Array]]


class Overlap:
    """N things described by several relations, each a sparse matrix (N, attributes of the relation).

    The weight of an attribute is log(1 + weight) x log(1 + N / the things that have it), and each relation's part of a
    row has length 1. overlap(a, b) = sum over relations of w_r x cosine_r / sqrt(W_a x W_b), where W is the sum of the
    weights of the relations that a thing has. An attribute that only one thing has tells nothing and is left out.
    """

    def __init__(self, n: int, relations: Mapping[str, sparse.csr_array], weights: Mapping[str, float]) -> None:
        """Of `n` things; `weights` by relation, 1 where none is said."""
        self._n = n
        self.weights = {name: float(weights.get(name, 1.0)) for name in relations}
        self._rows: dict[str, sparse.csr_array] = {}
        self._columns: dict[str, sparse.csr_array] = {}
        self._rarity: dict[str, Array] = {}
        for name, matrix in relations.items():
            having = np.bincount(matrix.indices, minlength=matrix.shape[1])
            self._rarity[name] = np.where(having > 1, np.log1p(matrix.shape[0] / np.maximum(having, 1)), 0.0)
            self._rows[name] = rows = self._weighed(name, matrix)
            self._columns[name] = rows.T.tocsr()
        self._present = np.zeros((n, len(self._rows)), dtype=bool)
        for place, rows in enumerate(self._rows.values()):
            self._present[:, place] = np.diff(rows.indptr) > 0

    def described(self, i: int) -> dict[str, tuple[Array, Array]]:
        """Attributes and their weights of thing `i`, by relation."""
        found = {}
        for name, rows in self._rows.items():
            mine = slice(int(rows.indptr[i]), int(rows.indptr[i + 1]))
            found[name] = rows.indices[mine], rows.data[mine]
        return found

    def described_by(self, attributes: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
        """As `described`, for a thing that is none of these, from its attributes, each of weight 1."""
        found = {}
        for name in self._rows:
            mine = np.asarray(attributes.get(name, ()), dtype=np.int64)
            row = sparse.csr_array((np.ones(len(mine)), mine, np.array([0, len(mine)])), (1, len(self._rarity[name])))
            weighed = self._weighed(name, row)
            found[name] = weighed.indices, weighed.data
        return found

    def scores(self, own: Described, weights: Mapping[str, float] | None = None) -> Array:
        """(N,) float32 the overlap of each thing with one that is `described` so; `weights` over the relations' own."""
        used = {**self.weights, **(weights or {})}
        total = np.zeros(self._n, dtype=np.float64)
        for name, columns in self._columns.items():
            attributes, values = own[name]
            if len(attributes) and used[name]:
                total += used[name] * _summed(columns, attributes, values, self._n)
        sizes = self._present @ np.array([abs(used[name]) for name in self._rows])
        size = sum(abs(used[name]) for name in self._rows if len(own[name][0]))
        return np.asarray(total / np.sqrt(np.maximum(sizes * size, 1e-12)), dtype=np.float32)

    def between(self, own: Described, others: list[Described], weights: Mapping[str, float] | None = None) -> Array:
        """(n,) float32 the overlap with things that are none of these."""
        used = {**self.weights, **(weights or {})}
        found = np.zeros(len(others), dtype=np.float32)
        for i, other in enumerate(others):
            total, sizes = 0.0, np.zeros(2)
            for name, weight in used.items():
                _, mine, theirs = np.intersect1d(own[name][0], other[name][0], return_indices=True)
                total += weight * float(own[name][1][mine] @ other[name][1][theirs])
                sizes += abs(weight) * np.array([len(own[name][0]) > 0, len(other[name][0]) > 0])
            found[i] = total / max(float(np.sqrt(sizes[0] * sizes[1])), 1e-12)
        return found

    def _weighed(self, name: str, matrix: sparse.csr_array) -> sparse.csr_array:
        rarity = self._rarity[name]
        rows = sparse.csr_array(
            (np.log1p(matrix.data) * rarity[matrix.indices], matrix.indices.copy(), matrix.indptr.copy()),
            shape=matrix.shape,
        )
        rows.eliminate_zeros()
        lengths = np.sqrt(np.bincount(_row_of(rows), rows.data**2, rows.shape[0]))
        rows.data = (rows.data / np.repeat(np.maximum(lengths, 1e-12), np.diff(rows.indptr))).astype(np.float32)
        return rows


def _summed(columns: sparse.csr_array, attributes: Array, values: Array, n: int) -> Array:
    """(n,) the sum over attributes of value x what each thing has of it; the rarest first, up to `MOST` entries."""
    sizes = np.diff(columns.indptr)[attributes]
    order = np.argsort(sizes, kind="stable")
    kept = order[(np.cumsum(sizes[order]) <= MOST) | (np.arange(len(order)) == 0)]
    first, size = columns.indptr[attributes[kept]].astype(np.int64), sizes[kept].astype(np.int64)
    at = np.arange(int(size.sum())) + np.repeat(first - np.cumsum(size) + size, size)
    return np.bincount(columns.indices[at], columns.data[at] * np.repeat(values[kept], size), n)


def _row_of(matrix: sparse.csr_array) -> Array:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
