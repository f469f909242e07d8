"""The channel that every model has: songs by the vectors that a release holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array
from recall.base import Candidates, Query
from recall.causes import SIMILAR, Cause, near_songs
from recall.index.nearest_songs import near, new_songs
from recall.index.vector_index import VectorIndex
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners

_WIDER: Final = 4


@dataclass(frozen=True)
class ModelChannelConfig:
    """How a model's vectors are searched.

    Raises: ValueError for a number out of range.
    """

    loves: int = 100
    """The listener's favourite songs that make the query of a model without listener vectors."""
    support: float = 5.0
    """A song of n listeners is found by its cosine x n / (n + support): few listeners place a song badly."""

    def __post_init__(self) -> None:
        check_positive(self, "loves")
        if not 0 <= self.support < float("inf"):
            raise ValueError(f"support must be at least 0 (got {self.support})")


class ModelChannel:
    """Songs that a model scores highest for the listener as he is now.

    A model with listener vectors scores by dot product with the listener's vector, which what is played since the
    training moves (`ModelVectors.listener`); any other by the cosine to the mean of the favourite songs, times support.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    model: ClassVar[str]
    vectors: ClassVar[tuple[str, ...]]

    def __init__(self, release: Release, config: ModelChannelConfig = ModelChannelConfig()) -> None:
        self._config = config
        self._vectors = ModelVectors.load(release, self.model)
        self._index = VectorIndex.of(release, f"index/{self.model}", self._vectors.unit)
        # a vector composed of what describes a song does not hang on its listeners: it counts by half
        heard = np.where(self._vectors.trained, listeners(release.snapshot), config.support)
        self._known = self._vectors.unit.any(axis=1)
        self._support = (heard / np.maximum(heard + config.support, 1e-12)).astype(np.float32)

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        if self._vectors.listeners is not None:
            return self._by_score(query, k)
        songs, weights = query.listener.top_songs(query.at, self._config.loves)
        if not len(songs):
            return Candidates.none()
        return self._by_cosine(query, weights @ self._vectors.unit[songs], k)

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """The top song nearest to each of these songs, weighed by how much the listener likes it."""
        top, weights = query.listener.top_songs(query.at, self._config.loves)
        seeds = np.full(len(songs), -1, dtype=np.int64)
        known = np.flatnonzero(songs < len(self._vectors.unit))
        if len(top) and len(known):
            # (top songs, n) what each adds to the cosine of a song
            adds = (self._vectors.unit[top] @ self._vectors.unit[songs[known]].T) * weights[:, None]
            seeds[known] = np.where(adds.max(axis=0) > 0, top[adds.argmax(axis=0)], -1)
        return near_songs(SIMILAR, seeds)

    def _by_score(self, query: Query, k: int) -> Candidates:
        vector = self._vectors.listener(query.listener.user, query.listener.liked)
        if not vector.any():
            return Candidates.none()
        table = self._vectors.songs
        assert table is not None
        if self._index.kind == "exact":
            return Candidates.of_scores(table @ vector, query, k)
        found = near(self._index, vector, query, _WIDER * k)
        known = found.songs[found.songs < len(table)]
        return Candidates.of_songs(known, table[known] @ vector, query, k)

    def _by_cosine(self, query: Query, vector: Array, k: int) -> Candidates:
        length = float(np.linalg.norm(vector))
        if not length:
            return Candidates.none()
        if self._index.kind == "exact":
            cosines = self._vectors.unit @ (vector / length).astype(np.float32)
            known = Candidates.of_scores(np.where(self._known, cosines * self._support, -2), query, k, floor=-1.5)
            found = new_songs(vector, query)
        else:
            known = Candidates.none()
            found = near(self._index, vector, query, _WIDER * k)
        support = query.live.songs.take(self._support, 0.5, found.songs)
        songs = np.concatenate([known.songs, found.songs])
        return Candidates.best(songs, np.concatenate([known.scores, found.scores * support]), k)


@cache
def channel_of(model: str) -> type[ModelChannel]:
    """The channel of a model, called as the model is."""
    return type(model, (ModelChannel,), {"model": model, "vectors": (model,), "__doc__": ModelChannel.__doc__})
