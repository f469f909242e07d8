"""Something to play for a listener nobody knows yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graph.configure import check_positive
from graph.release import Release
from recall.base import Candidates, Query, Ranked
from recall.listener import Listener
from recall.preferences import artist_of, decayed, listeners


@dataclass(frozen=True)
class FallbackConfig:
    """`half_life_days` of a play; `per_artist` keeps one artist from filling the answer."""

    half_life_days: float = 14.0
    per_artist: int = 2

    def __post_init__(self) -> None:
        check_positive(self, "half_life_days", "per_artist")


class Fallback:
    """Well-liked songs of many artists, the recently played ones first; nothing for who has a history."""

    audience: ClassVar[str] = "listeners without a history"

    def __init__(self, release: Release, config: FallbackConfig = FallbackConfig()) -> None:
        snapshot = release.snapshot
        now = decayed(snapshot, config.half_life_days * 86_400_000)
        ever = listeners(snapshot)
        scores = now / max(float(now.max(initial=0.0)), 1e-12) + ever / max(float(ever.max(initial=0)), 1e-12)
        artist = artist_of(snapshot)
        order = np.argsort(-scores, kind="stable")
        # how many songs of the same artist stand before each: those beyond the limit go to the end
        by_artist = order[np.argsort(artist[order], kind="stable")]
        first = np.concatenate([[True], artist[by_artist][1:] != artist[by_artist][:-1]]) if len(order) else order > 0
        starts = np.flatnonzero(first)
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        turn = np.zeros(snapshot.songs)
        turn[by_artist] = rank // config.per_artist
        turn[artist < 0] = 0
        self._ranked = Ranked(snapshot, scores / (1 + turn), floor=-1.0)

    def serves(self, listener: Listener) -> bool:
        return not len(listener)

    def recall(self, query: Query, k: int) -> Candidates:
        if len(query.listener):
            return Candidates.none()
        return self._ranked.best(query, k)
