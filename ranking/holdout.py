"""Held-out songs that choose between vectors while a model trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

_BLOCK = 512


class Holdout:
    """NDCG@k of listener and song vectors on songs held out from training; only the first k places are looked at.

    As in `evaluate` all songs are ranked but those that the listener has in training; equal scores rank in no order of
    ours, which a choice can do with.
    """

    def __init__(self, snapshot: Snapshot, truth: Sequence[tuple[int, Array]], k: int = 20) -> None:
        """`truth`: (listener, held-out songs), at least one of them.

        Raises: ValueError if it is empty.
        """
        if not truth:
            raise ValueError("truth must hold at least one listener (got none)")
        self.listeners = np.array([listener for listener, _ in truth], dtype=np.int64)
        self.k, self.songs = min(k, snapshot.songs), snapshot.songs
        sizes = np.array([len(relevant) for _, relevant in truth])
        rows = np.repeat(np.arange(len(truth)), sizes)
        self._relevant = np.sort(rows * self.songs + np.concatenate([relevant for _, relevant in truth]))
        discounts = 1 / np.log2(np.arange(2, self.k + 2))
        self._ideal = np.cumsum(discounts)[np.minimum(sizes, self.k) - 1]
        self._discounts = discounts
        self._heard = [snapshot.histories.song[snapshot.histories.of(int(listener))] for listener in self.listeners]

    def ndcg(self, listeners: Array, songs: Array) -> float:
        """Mean NDCG@k, for listeners (U, D) and songs (S, D)."""
        total = 0.0
        for start in range(0, len(self.listeners), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self.listeners)))
            keys = rows[:, None] * self.songs + self._top(rows, listeners, songs)  # (B, k)
            places = np.minimum(np.searchsorted(self._relevant, keys), len(self._relevant) - 1)
            gains = (self._relevant[places] == keys) @ self._discounts
            total += float((gains / self._ideal[rows]).sum())
        return total / len(self.listeners)

    def _top(self, rows: Array, listeners: Array, songs: Array) -> Array:
        """(B, k) the songs with the highest scores, the best first."""
        import torch

        scores = listeners[self.listeners[rows]] @ songs.T
        for row, heard in zip(scores, (self._heard[r] for r in rows), strict=True):
            row[heard] = -np.inf
        top: Array = torch.from_numpy(scores).topk(self.k, dim=1).indices.numpy()
        return top
