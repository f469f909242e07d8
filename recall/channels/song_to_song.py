"""Songs that sound in place beside what a listener played last: item-to-item recall from Song2Vec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.causes import SIMILAR, Cause, near_songs
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import Listener

MODEL: Final = "song2vec"
"""Whose nearest songs are asked."""


@dataclass(frozen=True)
class SongToSongConfig:
    """Which songs are asked."""

    seeds: int = 30
    """The latest liked songs that are asked, 1 or more."""
    neighbours: int = 50
    """The nearest songs that each answers with, 1 or more."""
    fade: float = 0.95
    """Weight of a liked song as a share of that of the one liked after it, above 0."""


class SongToSong:
    """The neighbours of the listener's latest liked songs, those that several of them share first."""

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    vectors: ClassVar[tuple[str, ...]] = (MODEL,)
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    def __init__(self, release: Release, config: SongToSongConfig = SongToSongConfig()) -> None:
        self._config = config
        self._neighbours = Neighbours.load(release, f"similar/{MODEL}").nearest(config.neighbours)

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        seeds = query.listener.recent(self._config.seeds)
        return self._neighbours.recall(query, seeds, self._config.fade ** np.arange(len(seeds)), k)

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """The latest song that each of these is nearest to."""
        seeds = query.listener.recent(self._config.seeds)
        weights = self._config.fade ** np.arange(len(seeds))
        return near_songs(SIMILAR, self._neighbours.because(seeds, weights, songs))
