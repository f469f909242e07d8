"""What a ranker knows about each song of a pool: where it was found, and how it lies in the graph."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from embeddings.vectors.model_vectors import song_space
from graph.durations import DAY_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from recall.base import Query
from recall.blend.merge import Pool
from recall.grouped import worth_of_targets
from recall.kernels.features import fill_channels, fill_songs
from recall.kernels.sums import table_of
from recall.listeners.listener import Listener
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
        recent = np.log1p(decayed(snapshot, 7 * DAY_MS))
        momentum = recent - np.log1p(decayed(snapshot, 60 * DAY_MS))
        self._known = np.stack([np.log1p(listeners(snapshot)), recent, momentum], axis=1)
        self._released = snapshot.column("Song", "released_at")
        space = song_space(release)
        self._vectors = np.zeros((1, 1), dtype=np.float32) if space is None else space.unit
        self._has_vectors = space is not None
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
        songs, listener, new = pool.songs.astype(np.int64), query.listener, query.live.songs
        listed = np.array([pool.channels.index(name) if name in pool.channels else -1 for name in self._channels])
        found = np.empty((len(songs), len(self)))
        fill_channels(found, pool.ranks, pool.scores, pool.fused, listed)
        heard, plays = listener.once("heard and plays", partial(_plays, listener))
        first = 2 * len(self._channels) + 2
        fill_songs(
            found, first, songs, self._known, self._released, new.released, query.at, heard, plays,
            self._vectors, new.unit, self._taste(query),
        )  # fmt: skip
        history = len(self) - len(self._relations)
        found[:, history - 1] = np.log1p(len(listener.heard))
        for column, relation in enumerate(self._relations, start=history):
            found[:, column] = self._affinity(query, relation, songs)
        return found

    def _affinity(self, query: Query, relation: Relation, songs: Array) -> Array:
        """(P,) how much the listener likes what each song's edges lead to, evenly over those of a new song."""
        listener, new = query.listener, query.live.songs
        table = partial(_liked_targets, listener, relation, query.at)
        liked = listener.at_moment(query.at, (relation.key, "table"), table)
        found = worth_of_targets(relation.shares, songs, liked)
        if len(new) and len(late := np.flatnonzero(songs >= new.first)):
            found[late] = worth_of_targets(new.shares(relation), songs[late] - new.first, liked)
        return found

    def _taste(self, query: Query) -> Array:
        """(D,) the direction of what the listener loves, (0,) where there are no vectors."""
        if not self._has_vectors:
            return np.empty(0)

        def direction() -> Array:
            loved, weights = query.listener.top_songs(query.at, 50)
            vector = weights @ self._vectors[loved]
            return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float64)

        return query.listener.at_moment(query.at, (self, "taste"), direction)


def _liked_targets(listener: Listener, relation: Relation, now: int) -> tuple[Array, Array]:
    """What a listener likes and dislikes of a relation, as a hash table."""
    targets, liked = listener.affinity(relation, now)
    slots, theirs = table_of(targets, liked)
    return slots, theirs


def _plays(listener: Listener) -> tuple[Array, Array]:
    """Songs heard (H,), ascending, and log(1 + the number of events on each) (H,)."""
    heard = listener.heard.astype(np.int64)
    return heard, np.log1p(np.bincount(np.searchsorted(heard, listener.song), minlength=len(heard)).astype(np.float64))
