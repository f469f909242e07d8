"""Which tags a reason may cite, and how much each tells of a song."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final

import numpy as np

from graph.reasons.phrases import NEVER_CITED, mentions, words
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

SONGS_OF_A_TAG: Final = 3
"""Songs that a tag must describe to be cited: what fewer have is somebody's private note."""


class Tags:
    """The tags of songs: which may be cited, and how much they tell.

    `never_cited`: no tag with one of these words or phrases in its name is.
    """

    def __init__(self, snapshot: Snapshot, never_cited: Iterable[str] = NEVER_CITED) -> None:
        self._snapshot, self._never = snapshot, tuple(never_cited)
        self._relation = snapshot.relation("HAS_TAG", "Song")
        self._known: dict[int, bool] = {}
        self._telling: dict[int, float] = {}

    def citable(self, tag: int, names: Iterable[str] = ()) -> bool:
        """Whether a reason may cite a tag of something that goes by `names`: no artist is tagged as himself."""
        if tag not in self._known:
            described = len(self._relation.into(tag)) >= SONGS_OF_A_TAG
            self._known[tag] = described and not mentions(self._snapshot.name("Tag", tag), self._never)
        own = words(self._snapshot.name("Tag", tag))
        return self._known[tag] and all(words(name) != own for name in names)

    def telling(self, tag: int) -> float:
        """Inverse document frequency, from near 0 for a tag of every song to 1 for a tag of one."""
        if tag not in self._telling:
            songs = max(len(self._relation.into(tag)), 1)
            self._telling[tag] = float(np.log1p(self._snapshot.songs / songs) / np.log1p(self._snapshot.songs))
        return self._telling[tag]

    @cached_property
    def strengths(self) -> Array:
        """(E,) weight of every edge of HAS_TAG from songs, as a share of the heaviest tag of its song."""
        weights, indptr = self._relation.weights(), self._relation.indptr
        filled = np.flatnonzero(np.diff(indptr))
        if not len(filled):
            return weights
        heaviest = np.maximum.reduceat(weights, indptr[filled])
        return np.asarray(weights / np.repeat(np.maximum(heaviest, 1e-12), np.diff(indptr)[filled]))
