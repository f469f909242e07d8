"""Nearest neighbours behind one interface; exact search by one matrix product for now."""

from __future__ import annotations

import numpy as np

from graph.arrays import Array
from recall.base import Candidates


class VectorIndex:
    """Exact search by cosine over N unit vectors.

    Shapes: unit (N, D) float32, rows of length 1, or 0 for a song without a vector, which is never found.
    """

    def __init__(self, unit: Array) -> None:
        self.unit = unit
        self.filled = np.einsum("nd,nd->n", unit, unit) > 0.5

    def scores(self, vector: Array) -> Array:
        """Cosine of every row with `vector` (D,), which is not 0: (N,) float32."""
        return np.asarray(self.unit @ (vector / np.linalg.norm(vector)).astype(np.float32))

    def search(self, vector: Array, k: int, allowed: Array | None = None) -> Candidates:
        """The `k` rows nearest to `vector` (D,) among those `allowed` (N,); none for a zero vector."""
        if not vector.any() or k <= 0 or not len(self.unit):
            return Candidates.none()
        scores = self.scores(vector)
        usable = self.filled if allowed is None else self.filled & allowed
        masked = np.where(usable, scores, -np.inf)
        take = min(k, len(masked))
        # Partition first: sorting a whole catalogue for a few dozen songs is most of the time otherwise. All that tie
        # with the last one taken come along, so that a partition's whim shows nowhere.
        border = max(np.partition(masked, len(masked) - take)[len(masked) - take], np.finfo(np.float32).min)
        top = np.flatnonzero(masked >= border)
        return Candidates.best(top, masked[top].astype(np.float64), k)
