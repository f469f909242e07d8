"""What a song's attributes (tags, artists, genres) explain of numbers that a model gives to songs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

ATTRIBUTES: Final = 8192
"""Attributes by which songs are smoothed, the most common."""


def song_matrices(snapshot: Snapshot, gamma: Mapping[str, float]) -> dict[str, sparse.csr_array]:
    """Sparse (songs, targets) of ln(1 + weight) for each song relation with a gamma above 0, by its name."""
    named = ((r, gamma.get(r.name, 0.0)) for r in snapshot.song_relations())
    return {r.name: log_weights(r.matrix()) for r, value in named if value > 0}


def log_weights(matrix: sparse.csr_array) -> sparse.csr_array:
    """ln(1 + weight): a tag given by twice as many people is not twice as true."""
    matrix = matrix.copy()
    matrix.data = np.log1p(np.maximum(matrix.data, 0))
    return matrix


def unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows at length 1; empty ones stay empty."""
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    lengths = np.sqrt(np.maximum(squares, 1e-24)).astype(matrix.dtype)
    return sparse.csr_array(sparse.diags_array(1 / lengths) @ matrix)


def popularity(matrix: sparse.csr_array) -> Array:
    """(columns,) how many rows of a sparse (rows, columns) matrix hold each column, float32."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)


def propagate(weights: Array, attributes: sparse.csr_array, share: float, ridge: float) -> Array:
    """A + share x A H, with H = T (T'T + ridge)^-1 T' of sparse (S, attributes) rows T of length 1.

    Shapes: A = `weights` (M, S) -> (M, S) float32. What a score owes to the song's attributes counts again, and songs
    that few have heard get it from songs like them.
    Source: the two-step form of Pahikkala et al. 2014, doi 10.1007/978-3-662-44851-9_33.
    """
    degrees = popularity(attributes)
    common = np.sort(np.argsort(-degrees, kind="stable")[: min(ATTRIBUTES, int((degrees > 1).sum()))])
    if not len(common) or not share:
        return weights
    rows = unit_rows(sparse.csr_array(attributes[:, common])).astype(np.float32)
    gram = (rows.T @ rows).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    said = np.asarray(weights @ rows)
    from scipy import linalg  # slow to import, and serving solves nothing

    passed = linalg.cho_solve(linalg.cho_factor(gram, lower=True, overwrite_a=True), said.T).T
    return np.asarray(weights + np.float32(share) * (passed @ rows.T), dtype=np.float32)
