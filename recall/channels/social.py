"""What the people a listener follows have loved lately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graph.release import Release
from recall.base import Candidates, Query
from recall.listener import Listener
from recall.preferences import loves


@dataclass(frozen=True)
class SocialConfig:
    """`trust` is what a followee without a common song weighs beside one of the same taste."""

    trust: float = 0.2


class Social:
    """Songs that followees have loved lately; those whose taste is the listener's weigh more.

    score = sum over followees f of (trust + cosine of tastes) x f's decayed preference for the song.
    """

    audience: ClassVar[str] = "listeners with at least 3 followees"

    def __init__(self, release: Release, config: SocialConfig = SocialConfig()) -> None:
        self._config = config
        self._follows = release.snapshot.relation("FOLLOWS")
        self._loves = loves(release.snapshot)
        self._norms = np.sqrt(np.maximum(self._loves.power(2).sum(axis=1), 1e-12))

    def serves(self, listener: Listener) -> bool:
        return listener.user >= 0 and len(self._follows.of(listener.user)) >= 3

    def recall(self, query: Query, k: int) -> Candidates:
        listener = query.listener
        followees = self._follows.of(listener.user) if listener.user >= 0 else np.empty(0, dtype=np.int32)
        if not len(followees):
            return Candidates.none()
        theirs = self._loves[followees]
        songs, weights = listener.preferences(query.at)
        mine = np.zeros(self._loves.shape[1])
        mine[songs] = np.maximum(weights, 0)
        taste = (theirs @ mine) / (self._norms[followees] * max(float(np.linalg.norm(mine)), 1e-12))
        return Candidates.of_scores((self._config.trust + taste) @ theirs, query, k)
