"""Songs around each of the listener's latest loves, each for itself: one new song moves the next answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import STRENGTH_BY_CODE
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.causes import SIMILAR, Cause, near_songs
from recall.index.nearest_songs import near
from recall.index.vector_index import VectorIndex
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import Listener

MODEL: Final = "song2vec"
"""Whose nearest songs are asked."""


@dataclass(frozen=True)
class RecentConfig:
    """Which likes are asked.

    Raises: ValueError for a number out of range.
    """

    loves: int = 8
    """The latest liked songs that are asked, 1 or more."""
    neighbours: int = 50
    """The nearest songs of each that may be proposed, 1 or more."""
    fade: float = 0.8
    """Importance of a liked song as a share of that of the one liked after it, above 0."""

    def __post_init__(self) -> None:
        check_positive(self, "loves", "neighbours", "fade")


class Recent:
    """The nearest songs of each of the latest loves; every love is an interest of its own, with its own places.

    score = fade^i x cosine to the i-th latest love, the best love of a song counting. A love that came after the
    release is searched by its composed vector.
    """

    audience: ClassVar[str] = "listeners who liked at least 1 song"
    in_memory: ClassVar[bool] = True
    vectors: ClassVar[tuple[str, ...]] = (MODEL,)
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    def __init__(self, release: Release, config: RecentConfig = RecentConfig()) -> None:
        self._config = config
        self._index = VectorIndex.of(release, f"index/{MODEL}", ModelVectors.load(release, MODEL).unit)
        self._neighbours = Neighbours.load(release, f"similar/{MODEL}").nearest(config.neighbours)

    def serves(self, listener: Listener) -> bool:
        return bool((STRENGTH_BY_CODE[listener.action] > 0).any())

    def recall(self, query: Query, k: int) -> Candidates:
        config, loves = self._config, np.array(self._latest(query.listener), dtype=np.int64)
        known = np.flatnonzero(loves < query.live.songs.first)
        around, weights = self._neighbours.songs[loves[known]], self._neighbours.weights[loves[known]]
        filled = around >= 0
        parts = [(known[np.nonzero(filled)[0]], around[filled], weights[filled])]
        for i in np.flatnonzero(loves >= query.live.songs.first).tolist():
            songs, scores = self._around(query, int(loves[i]), k)
            parts.append((np.full(len(songs), i), songs, scores))
        interest, songs, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        scores = config.fade**interest * scores.astype(np.float64)
        order = np.lexsort((interest, -scores))
        order = order[query.permits(songs[order]) & (scores[order] > 0)]
        _, first = np.unique(songs[order], return_index=True)
        kept = order[np.sort(first)][:k]
        importance = config.fade ** np.arange(len(loves))
        return Candidates(songs[kept].astype(np.int32), scores[kept].astype(np.float64), interest[kept], importance)

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """The latest love that each of these songs is near to, where the release knows it."""
        loves = np.array(self._latest(query.listener), dtype=np.int64)
        weights = self._config.fade ** np.arange(len(loves))
        known = loves < query.live.songs.first
        return near_songs(SIMILAR, self._neighbours.because(loves[known], weights[known], songs))

    def _latest(self, listener: Listener) -> list[int]:
        """The latest liked songs, new ones included, the latest first."""
        late = [(at, song) for song, action, at in listener.new_events if STRENGTH_BY_CODE[action] > 0]
        # events on new songs came after the release, later than all that it knows
        newest = list(dict.fromkeys(song for _, song in reversed(late)))
        return [*newest, *listener.recent(self._config.loves).tolist()][: self._config.loves]

    def _around(self, query: Query, love: int, k: int) -> tuple[Array, Array]:
        """The nearest songs (n,) of a new song, and their cosines (n,)."""
        new = query.live.songs
        if not (vector := new.unit[love - new.first]).any():
            return np.empty(0, dtype=np.int32), np.empty(0)
        found = near(self._index, vector, query, min(k, self._config.neighbours) + 1)
        other = found.songs != love
        return found.songs[other], found.scores[other]
