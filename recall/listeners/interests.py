"""A listener's interests: a few groups of the songs that are liked most, by their vectors.

The refresh takes the songs of each listener in the order of how much they are liked; one joins the group whose first
song it is nearest to, or begins one of its own where none is near. The first song of each group is kept in the release
(`Leaders`). A request groups the songs that are liked by then around those that are still liked; a song near to none of
them begins a group at once. Groups that hold little of what is liked are no interests.
Source: Pal et al. 2020 (PinnerSage, arXiv 2007.03634), with leader clustering (Hartigan 1975) in place of Ward's, which
cannot take in one more song.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import Snapshot
from recall.listeners.listener import Listener
from recall.listeners.preferences import liking_matrix

SONGS: Final = 60
"""The most liked songs, which are grouped."""
NEAR: Final = 0.6
"""Cosine from which on a song belongs to an interest."""
MOST: Final = 5
"""Interests of a listener, the most important ones."""
SHARE: Final = 0.08
"""Share of what is liked that an interest holds at least."""
STORED: Final = "interests/leaders"
"""Where a release holds the first song of each group."""


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
    def none(cls) -> Interests:
        """Of somebody who likes nothing."""
        return cls(np.zeros((0, 0), dtype=np.float32), np.zeros(0), np.empty(0, dtype=np.int64))

    @classmethod
    def of(cls, songs: Array, weights: Array, unit: Array, leaders: Array | None = None) -> Interests:
        """From the most liked `songs` (S,), the most liked first, with their weights (S,) and unit vectors (S, D).

        `leaders`: songs that begin a group already, those of them that are among `songs`.
        """
        kept = np.flatnonzero(unit.any(axis=1))[:SONGS]
        songs, weights, unit = songs[kept], weights[kept].astype(np.float64), unit[kept]
        if not len(songs):
            return cls(np.zeros((0, unit.shape[1]), dtype=np.float32), np.zeros(0), songs)
        cosines = unit @ unit.T
        group = np.argmax(cosines[:, _leaders(cosines, () if leaders is None else _rows(songs, leaders))], axis=1)
        count = int(group.max()) + 1
        sums = np.zeros((count, unit.shape[1]))
        np.add.at(sums, group, unit * weights[:, None])
        shares = np.bincount(group, weights, count) / weights.sum()
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


@dataclass(frozen=True, eq=False)
class Leaders:
    """The songs that begin the interests of each listener of a release.

    Shapes: U listeners, S songs; indptr (U + 1,), songs: listener u's are `songs[indptr[u]:indptr[u + 1]]`, the most
    liked first; unit (S, D) the vectors by which songs are grouped, 0 for none.
    """

    indptr: Array
    songs: Array
    unit: Array

    @classmethod
    def fit(cls, snapshot: Snapshot, unit: Array) -> Leaders:
        """From what every listener likes at the end of the snapshot."""
        liked = liking_matrix(snapshot)
        found = [_begun(liked.indices[a:b], liked.data[a:b], unit) for a, b in _bounds(liked.indptr)]
        indptr = np.concatenate([[0], np.cumsum([len(mine) for mine in found])]).astype(np.int64)
        return cls(indptr, np.concatenate([np.empty(0, dtype=np.int32), *found]).astype(np.int32), unit)

    def save(self, folder: Path) -> None:
        """Write the songs, not the vectors, under `folder`."""
        write_arrays(folder / STORED, {"indptr": self.indptr, "songs": self.songs})

    @classmethod
    def load(cls, release: Release, unit: Array) -> Leaders:
        """Those of a release, over the vectors (S, D) of its songs; nobody's where it holds none."""
        if not release.has(STORED):
            return cls(np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32), unit)
        arrays, _ = release.arrays(STORED)
        return cls(arrays["indptr"], arrays["songs"], unit)

    def of(self, user: int) -> Array:
        """The songs (n,) that begin the interests of listener `user`; none for somebody unknown (-1)."""
        return self.songs[self.indptr[user] : self.indptr[user + 1]] if 0 <= user < len(self.indptr) - 1 else _NOBODY

    def interests(self, listener: Listener, at: int) -> Interests:
        """The listener's interests at a time in epoch milliseconds."""

        def found() -> Interests:
            songs, weights = listener.top_songs(at, SONGS)
            return Interests.of(songs, weights, self.unit[songs], self.of(listener.user))

        return listener.at_moment(at, (self, "interests"), found)


_NOBODY: Final = np.empty(0, dtype=np.int32)


def _bounds(indptr: Array) -> list[tuple[int, int]]:
    return list(zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True))


def _begun(songs: Array, weights: Array, unit: Array) -> Array:
    """Those of a listener's liked songs (S,) that begin a group, the most liked first."""
    top = songs[np.argsort(-weights, kind="stable")[:SONGS]]
    top = top[unit[top].any(axis=1)]
    return np.asarray(top[_leaders(unit[top] @ unit[top].T)])


def _rows(songs: Array, leaders: Array) -> list[int]:
    """Where each of the `leaders` that `songs` (S,) hold stands in them."""
    place = {song: i for i, song in enumerate(songs.tolist())}
    return [place[leader] for leader in leaders.tolist() if leader in place]


def _leaders(cosines: Array, known: list[int] | tuple[()] = ()) -> list[int]:
    """Rows of the songs that begin a group, by the cosines (S, S) of all: those `known`, and each that is nearer than
    `NEAR` to none before it."""
    leaders = list(known)
    for i in range(len(cosines)):
        if not leaders or cosines[i, leaders].max() < NEAR:
            leaders.append(i)
    return leaders
