"""What is played more and more: time-decayed counts, by the listener's place and genres too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graph.arrays import Array
from graph.configure import check_positive
from graph.release import Release
from recall.base import Candidates, Query
from recall.listener import Listener
from recall.preferences import decayed, decayed_by_place

DAY_MS = 86_400_000


@dataclass(frozen=True)
class TrendingConfig:
    """`half_life_days` of a play; `place` and `genre` say how much home and taste bend the global count."""

    half_life_days: float = 7.0
    place: float = 1.0
    genre: float = 4.0

    def __post_init__(self) -> None:
        check_positive(self, "half_life_days")


class Trending:
    """Songs that are played now, more so near the listener's home and in the listener's genres.

    score = (share of the song's decayed plays + place x its share at home) x (1 + genre x affinity to its genres),
    shares being relative to the most played song. Events without a time do not count.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"

    def __init__(self, release: Release, config: TrendingConfig = TrendingConfig()) -> None:
        self._config = config
        snapshot = release.snapshot
        half_life = config.half_life_days * DAY_MS
        self._total = _share(decayed(snapshot, half_life))
        self._by_place = decayed_by_place(snapshot, half_life)
        self._lives = snapshot.relation("LIVES_IN")
        self._genres = snapshot.relation("HAS_GENRE", "Song")
        self._of_genre = self._genres.shares

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        listener, scores = query.listener, np.array(self._total)
        home = self._lives.of(listener.user).tolist() if listener.user >= 0 else []
        if home:
            there = self._by_place[home[0] : home[0] + 1].toarray().ravel()
            scores = scores + self._config.place * _share(there)
        if len(listener) and len(self._genres):
            affinity = self._of_genre @ listener.affinity(self._genres, query.at)
            scores *= 1 + self._config.genre * np.maximum(affinity, 0)
        return Candidates.of_scores(scores, query, k)


def _share(counts: Array) -> Array:
    return np.asarray(counts / max(float(counts.max(initial=0.0)), 1e-12))
