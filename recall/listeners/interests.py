"""A listener's interests: a few groups of the songs that are liked most, by their vectors.

Songs are taken in the order of how much they are liked; one joins the group whose centre it is nearest to, or begins
one of its own where none is near. Groups that hold little of what is liked are no interests.
Source: Pal et al. 2020 (PinnerSage, arXiv 2007.03634), with leader clustering (Hartigan 1975) in place of Ward's, since
it is made anew from the listener's history at every request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array

SONGS: Final = 60
"""The most liked songs, which are grouped."""
NEAR: Final = 0.6
"""Cosine from which on a song belongs to an interest."""
MOST: Final = 5
"""Interests of a listener, the most important ones."""
SHARE: Final = 0.08
"""Share of what is liked that an interest holds at least."""


@dataclass(frozen=True)
class Interests:
    """Shapes: I interests, the most important first; centres (I, D) unit vectors; importance (I,), summing to at most
    1; songs (I,) the most liked song of each, which names it."""

    centres: Array
    importance: Array
    songs: Array

    def __len__(self) -> int:
        return len(self.centres)

    @classmethod
    def of(cls, songs: Array, weights: Array, unit: Array) -> Interests:
        """From the most liked `songs` (S,), the most liked first, with their weights (S,) and unit vectors (S, D)."""
        kept = np.flatnonzero(unit.any(axis=1))[:SONGS]
        songs, weights, unit = songs[kept], weights[kept].astype(np.float64), unit[kept]
        if not len(songs):
            return cls(np.zeros((0, unit.shape[1]), dtype=np.float32), np.zeros(0), songs)
        leaders = _leaders(unit)
        group = np.argmax(unit @ unit[leaders].T, axis=1)
        sums = np.zeros((len(leaders), unit.shape[1]))
        np.add.at(sums, group, unit * weights[:, None])
        shares = np.bincount(group, weights, len(leaders)) / weights.sum()
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        order = [i for i in np.argsort(-shares, kind="stable")[:MOST] if shares[i] >= SHARE]
        centres = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
        firsts = np.array([int(np.flatnonzero(group == i)[0]) for i in order], dtype=np.int64)
        return cls(centres[order], shares[order], songs[firsts])

    def nearest(self, unit: Array) -> Array:
        """(P,) the interest that each of P songs with unit vectors (P, D) serves, -1 for none."""
        if not len(self):
            return np.full(len(unit), -1)
        cosines = unit @ self.centres.T
        best = np.argmax(cosines, axis=1)
        return np.where(cosines[np.arange(len(unit)), best] >= NEAR, best, -1)


def _leaders(unit: Array) -> Array:
    """Places of the songs that begin a group: each is nearer than `NEAR` to none before it."""
    cosines = unit @ unit.T
    leaders: list[int] = []
    for i in range(len(unit)):
        if not leaders or cosines[i, leaders].max() < NEAR:
            leaders.append(i)
    return np.array(leaders, dtype=np.int64)
