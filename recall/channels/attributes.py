"""Songs by the artists, genres, tags and languages that a listener prefers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from graph.release import Release
from recall.base import Candidates, Query
from recall.listener import Listener
from recall.preferences import listeners


def _default_weights() -> dict[str, float]:
    return {"PERFORMED_BY": 3.0, "HAS_GENRE": 1.0, "HAS_TAG": 1.0, "ON_ALBUM": 0.5, "LANGUAGE": 0.3}


@dataclass(frozen=True)
class AttributesConfig:
    """`weights` by relation name; `popularity` is the exponent of the song's number of listeners."""

    weights: Mapping[str, float] = field(default_factory=_default_weights)
    popularity: float = 0.5


class Attributes:
    """Songs that share what the listener likes, the better known first.

    score = sum over relations r of weight_r x affinity to the song's r-entities, x (1 + listeners) ^ popularity.
    Source: the Quanmin K-Song recall talk, attribute-based recall.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"

    def __init__(self, release: Release, config: AttributesConfig = AttributesConfig()) -> None:
        snapshot = release.snapshot
        known = {r.name: r for r in snapshot.song_relations()}
        chosen = [(known[name], weight) for name, weight in config.weights.items() if name in known]
        # shares: a song with twenty tags is not liked twenty times as much
        self._relations = [(relation, weight, relation.shares) for relation, weight in chosen]
        self._prior = (1.0 + listeners(snapshot)) ** config.popularity

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        if not len(query.listener) or not self._relations:
            return Candidates.none()
        scores = np.zeros(len(self._prior))
        for relation, weight, matrix in self._relations:
            scores += weight * (matrix @ query.listener.affinity(relation, query.at))
        return Candidates.of_scores(scores * self._prior, query, k)
