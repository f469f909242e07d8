"""Which songs each listener likes: what graph networks learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from embeddings.training.negatives import uniform_negatives
from graph.errors import NothingToLearn
from graph.snapshot.arrays import Array
from graph.snapshot.histories import strengths
from graph.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class Interactions:
    """Pairs of U listeners and the songs, of S, that they like, each pair once.

    Shapes: E pairs; indptr (U + 1,), indices (E,) int32 ascending within each row; strength (E,) float32, above 0: the
    sum of what the listener's events on the song say, in full plays.
    """

    indptr: Array
    indices: Array
    strength: Array
    songs: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> Interactions:
        """Every pair whose events together say that the listener likes the song.

        Raises: NothingToLearn if there is none.
        """
        histories = snapshot.histories
        weights = strengths(histories.action, histories.count)
        shape = (histories.users, histories.songs)
        matrix = sparse.csr_array((weights, (histories.user, histories.song)), shape=shape)
        matrix.sum_duplicates()
        matrix.data = np.maximum(matrix.data, 0).astype(np.float32)
        matrix.eliminate_zeros()
        if not matrix.nnz:
            raise NothingToLearn("nothing to learn from: no listener likes a song")
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data, histories.songs)

    @property
    def listeners(self) -> int:
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def listener(self) -> Array:
        """Listener of every pair (E,)."""
        return np.repeat(np.arange(self.listeners, dtype=np.int64), np.diff(self.indptr))

    def matrix(self) -> sparse.csr_array:
        """Sparse (U, S) with 1 for each pair, float32."""
        ones = np.ones(len(self), dtype=np.float32)
        return sparse.csr_array((ones, self.indices, self.indptr), shape=(self.listeners, self.songs))

    def triples(self, size: int, rng: np.random.Generator) -> Iterator[Array]:
        """One epoch in batches of at most `size`: every pair once, in random order, with a song that its listener does
        not like.

        Shapes: (3, B) int64: listeners, songs, other songs; songs count from U, as nodes after the listeners.
        Raises: ValueError if a listener likes every song.
        """
        order = rng.permutation(len(self))
        listener = self.listener[order]
        other = uniform_negatives(self.indptr, self.indices, listener, self.songs, rng)
        epoch = np.stack([listener, self.indices[order].astype(np.int64), other.astype(np.int64)])
        epoch[1:] += self.listeners
        for start in range(0, len(order), size):
            yield np.ascontiguousarray(epoch[:, start : start + size])
