"""Maximal marginal relevance: a slate that is relevant without saying the same thing twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graph.snapshot.arrays import Array
from recall.kernels.mmr import mmr_order


@dataclass(frozen=True)
class MmrConfig:
    """How much a slate may repeat itself.

    Raises: ValueError for a number out of range.
    """

    balance: float = 0.9
    """The weight of relevance against novelty, from 0 to 1 (relevance alone)."""

    def __post_init__(self) -> None:
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance must be between 0 and 1 (got {self.balance})")


class Mmr:
    """Picks, one by one, the song with the highest balance x relevance - (1 - balance) x likeness to those picked.

    Source: Carbonell and Goldstein 1998, The use of MMR, diversity-based reranking.
    """

    def __init__(self, config: MmrConfig = MmrConfig()) -> None:
        self._config = config

    def order(self, relevance: Array, likeness: Array, artist: Array, n: int) -> Array:
        """Places of the n picked songs, in order.

        Two songs of one artist are as alike as can be (1); others as their vectors are, if at all.

        Shapes: P songs; relevance (P,), higher is better, scaled here to 0..1; likeness (P, D) unit vectors or zeros,
        whose inner products are likenesses; artist (P,) a number for each song's artist, -1 for none -> (min(n, P),).
        """
        count = min(n, len(relevance))
        if not count:
            return np.empty(0, dtype=np.int64)
        low, high = float(relevance.min()), float(relevance.max())
        gain = self._config.balance * (relevance.astype(np.float64) - low) / max(high - low, 1e-12)
        return np.asarray(mmr_order(gain, likeness, artist, 1 - self._config.balance, count))
