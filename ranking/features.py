"""What a ranker knows about each song of a pool: where it was found, and how it lies in the graph."""

from __future__ import annotations

from typing import Final

import numpy as np

from embeddings.vectors.model_vectors import song_space
from graph.durations import DAY_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.base import Query
from recall.blend.merge import Pool
from recall.grouped import isin_sorted, worth_of_targets
from recall.listeners.preferences import decayed, listeners

_RELATIONS: Final = ("PERFORMED_BY", "HAS_GENRE", "HAS_TAG", "ON_ALBUM", "LANGUAGE")


class Features:
    """Turns (query, pool) into a matrix (P, F); `names` (F,) says what each column is.

    Channels give two columns each: the discounted rank 1 / log2(2 + rank) and the score over the channel's best.
    """

    def __init__(self, release: Release, channels: tuple[str, ...]) -> None:
        snapshot = release.snapshot
        self._channels = channels
        known = {r.name: r for r in snapshot.song_relations()}
        self._relations = [known[name] for name in _RELATIONS if name in known]
        self._listeners = np.log1p(listeners(snapshot))
        self._recent = np.log1p(decayed(snapshot, 7 * DAY_MS))
        self._momentum = self._recent - np.log1p(decayed(snapshot, 60 * DAY_MS))
        self._released = snapshot.column("Song", "released_at")
        space = song_space(release)
        self._vectors = None if space is None else space.unit
        self.names: tuple[str, ...] = (
            *(f"rank:{name}" for name in channels),
            *(f"score:{name}" for name in channels),
            "fused",
            "channels",
            "listeners",
            "recent",
            "momentum",
            "age",
            "heard",
            "plays",
            "cosine",
            "history",
            *(f"affinity:{r.name}" for r in self._relations),
        )

    def __len__(self) -> int:
        return len(self.names)

    def matrix(self, query: Query, pool: Pool) -> Array:
        """(P, F) float64, finite."""
        songs, listener = pool.songs, query.listener
        columns = [np.array([pool.channels.index(name) if name in pool.channels else -1 for name in self._channels])]
        ranks = np.where(columns[0] >= 0, pool.ranks[:, columns[0]], -1)
        scores = np.where(ranks >= 0, pool.scores[:, columns[0]], 0)
        best = np.maximum(scores.max(axis=0, initial=0), 1e-12)
        found = ranks >= 0
        discounted = np.where(found, 1 / np.log2(2 + np.maximum(ranks, 0)), 0)
        new = query.live.songs
        released = new.take(self._released, new.released, songs)
        age = np.where(released == UNKNOWN_INTEGER, 0, np.maximum(query.at - released, 0) / DAY_MS)
        heard = isin_sorted(songs, listener.heard)
        plays = np.zeros(len(songs))
        if heard.any():
            own, counts = np.unique(listener.song, return_counts=True)
            plays[heard] = np.log1p(counts[np.searchsorted(own, songs[heard])])
        parts = [
            discounted,
            scores / best,
            pool.fused[:, None] * 60,
            found.sum(axis=1, keepdims=True) / max(len(self._channels), 1),
            new.take(self._listeners, 0.0, songs)[:, None],
            new.take(self._recent, 0.0, songs)[:, None],
            new.take(self._momentum, 0.0, songs)[:, None],
            np.log1p(age)[:, None],
            heard[:, None],
            plays[:, None],
            self._cosine(query, songs)[:, None],
            np.full((len(songs), 1), np.log1p(len(listener.heard))),
            *(self._affinity(query, relation, songs)[:, None] for relation in self._relations),
        ]
        return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts], axis=1)

    def _affinity(self, query: Query, relation: Relation, songs: Array) -> Array:
        """(P,) how much the listener likes what each song's edges lead to, evenly over those of a new song."""
        targets, liked = query.listener.affinity(relation, query.at)
        found, new = worth_of_targets(relation.shares, songs, targets, liked), query.live.songs
        late = np.flatnonzero(songs >= new.first)
        if len(late):
            found[late] = worth_of_targets(new.shares(relation), songs[late] - new.first, targets, liked)
        return found

    def _cosine(self, query: Query, songs: Array) -> Array:
        if self._vectors is None or not len(query.listener):
            return np.zeros(len(songs))
        loved, weights = query.listener.top_songs(query.at, 50)
        vector, new = weights @ self._vectors[loved], query.live.songs
        mine = new.take(self._vectors, new.unit, songs)
        return np.asarray(mine @ vector) / max(float(np.linalg.norm(vector)), 1e-12)
