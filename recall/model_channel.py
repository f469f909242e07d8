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
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.by_interest import for_each, most
from recall.causes import SIMILAR, Cause, near_songs
from recall.grouped import sorted_unique
from recall.index.nearest_songs import near, new_songs
from recall.index.vector_index import VectorIndex
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners

_WIDER: Final = 4
_OFFERED: Final = 0.5
"""Support of a song that came after the release."""


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
    in_memory: ClassVar[bool] = True
    model: ClassVar[str]
    vectors: ClassVar[tuple[str, ...]]
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    def __init__(self, release: Release, config: ModelChannelConfig = ModelChannelConfig()) -> None:
        self._config = config
        self._vectors = ModelVectors.load(release, self.model)
        self._index = VectorIndex.of(release, f"index/{self.model}", self._vectors.unit)
        # a vector composed of what describes a song does not hang on its listeners: it counts by half
        heard = np.where(self._vectors.trained, listeners(release.snapshot), config.support)
        self._known = np.flatnonzero(self._vectors.unit.any(axis=1))
        self._support = (heard / np.maximum(heard + config.support, 1e-12)).astype(np.float32)

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        if self._vectors.listeners is not None:
            return self._by_score(query, k)
        songs, weights = query.listener.top_songs(query.at, self._config.loves)
        if not len(songs):
            return Candidates.none()
        return self._by_cosine(query, weights @ self._vectors.unit[songs], self._parts(query, songs, weights), k)

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

    def _parts(self, query: Query, songs: Array, weights: Array) -> Array:
        """(I, D) what the songs (S,) of each interest, with their weights (S,), add to the sum of unit vectors; (0, D)
        for a listener of fewer than two interests."""
        count = len(query.interests)
        if count < 2:
            return np.zeros((0, self._vectors.unit.shape[1]), dtype=np.float32)
        mine = np.where(query.interest_of(songs) == np.arange(count)[:, None], weights, 0)
        return np.asarray(mine @ self._vectors.unit[songs], dtype=np.float32)

    def _by_score(self, query: Query, k: int) -> Candidates:
        liked = query.listener.liked
        listener = query.listener
        vector = listener.once((self, "vector"), lambda: self._vectors.listener(listener.user, liked))
        if not vector.any():
            return Candidates.none()
        table, encoder = self._vectors.songs, self._vectors.encoder
        assert table is not None
        assert encoder is not None
        if self._index.kind == "exact" and len(query.interests) < 2:
            return Candidates.of_scores(table @ vector, query, k)
        parts = self._parts(query, liked, np.full(len(liked), 1 / max(len(liked), 1))) @ encoder
        queries, songs = np.vstack([vector, parts]), np.arange(len(table))
        if self._index.kind != "exact":
            songs = self._near(queries, query, k)
            songs = songs[songs < len(table)]
        found = self._products(table, songs, queries)
        positive = found[:, 0] > 0
        return _best(query, songs[positive], found[positive, 0], found[positive, 1:], k)

    def _by_cosine(self, query: Query, vector: Array, parts: Array, k: int) -> Candidates:
        length = float(np.linalg.norm(vector))
        if not length:
            return Candidates.none()
        unit, queries = self._vectors.unit, np.vstack([vector / length, parts]).astype(np.float32)
        songs = self._known
        if self._index.kind != "exact":
            songs = self._near(queries, query, k)
            songs = songs[songs < len(unit)]
        found, support = self._products(unit, songs, queries), self._support[songs]
        if len(late := new_songs(queries[0], query)):
            new = query.live.songs
            found = np.concatenate([found, new.unit[late.songs - new.first] @ queries.T])
            songs, support = np.append(songs, late.songs), np.append(support, np.full(len(late), _OFFERED))
        return _best(query, songs, found[:, 0] * support, found[:, 1:], k)

    def _products(self, table: Array, songs: Array, queries: Array) -> Array:
        """(n, Q) the products of the vectors of `songs` (n,), rows of `table` (N, D), with the queries (Q, D)."""
        found: Array = (table @ queries.T)[songs] if self._index.kind == "exact" else table[songs] @ queries.T
        return found

    def _near(self, queries: Array, query: Query, k: int) -> Array:
        """(n,) songs that the index finds near to each of `queries` (Q, D), ascending."""
        found = [near(self._index, one, query, _WIDER * k).songs for one in queries if one.any()]
        return sorted_unique(np.concatenate(found))


def _best(query: Query, songs: Array, scores: Array, adds: Array, k: int) -> Candidates:
    """The `k` best of `songs` (n,), ascending, by scores (n,), and of each of several interests besides;
    `adds` (n, I) is what each adds to a score."""
    first_seen = query.listener.snapshot.histories.first_seen
    if not adds.shape[1]:
        return Candidates.permitted(songs, scores, query, k, first_seen)
    return for_each(songs, scores, most(adds), query, k, first_seen)


@cache
def channel_of(model: str) -> type[ModelChannel]:
    """The channel of a model, called as the model is."""
    return type(model, (ModelChannel,), {"model": model, "vectors": (model,), "__doc__": ModelChannel.__doc__})
