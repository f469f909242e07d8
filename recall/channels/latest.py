"""Songs that answer to what the listener did a moment ago: liked a song, or followed an artist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import STRENGTH_BY_CODE
from recall.base import Candidates, Query
from recall.index.nearest_songs import near
from recall.index.vector_index import VectorIndex
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners

MODEL: Final = "song2vec"
"""Whose nearest songs are asked."""
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class LatestConfig:
    """What counts as a moment ago, and how far the answer reaches.

    Raises: ValueError for a number out of range.
    """

    hours: float = 3.0
    """Hours after which something done is no news any more; what has no time is none."""
    songs: int = 1
    """The latest liked songs that are asked."""
    neighbours: int = 50
    """The nearest songs of each that may be proposed."""
    fade: float = 0.5
    """The weight of a song is this share of that of the song liked after it."""
    support: float = 5.0
    """A neighbour of n listeners counts n / (n + support) of its cosine."""
    works: int = 20
    """Songs of each artist followed a moment ago, the best known ones."""

    def __post_init__(self) -> None:
        check_positive(self, "hours", "songs", "neighbours", "fade", "works")
        if not 0 <= self.support < float("inf"):
            raise ValueError(f"support must be at least 0 (got {self.support})")


class Latest:
    """The nearest songs of the last liked ones, and songs of artists followed just now.

    score = fade^i x cosine x support to the i-th latest liked song, the best one counting; 1 x support for a song of
    an artist followed.
    """

    audience: ClassVar[str] = "listeners who liked a song or followed an artist in the last hours"
    vectors: ClassVar[tuple[str, ...]] = (MODEL,)

    def __init__(self, release: Release, config: LatestConfig = LatestConfig()) -> None:
        self._config, self._snapshot = config, release.snapshot
        self._index = VectorIndex.of(release, f"index/{MODEL}", ModelVectors.load(release, MODEL).unit)
        self._neighbours = Neighbours.load(release, f"similar/{MODEL}").nearest(config.neighbours)
        heard = listeners(release.snapshot)
        self._listeners = heard
        self._support = heard / np.maximum(heard + config.support, 1e-12)

    def serves(self, listener: Listener) -> bool:
        return bool((STRENGTH_BY_CODE[listener.action] > 0).any())

    def recall(self, query: Query, k: int) -> Candidates:
        parts = [self._around(query, song, self._config.fade**i) for i, song in enumerate(self._liked(query))]
        parts += [self._works(artist) for artist in self._followed(query)]
        if not parts:
            return Candidates.none()
        songs, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((songs, -scores))
        order = order[query.permits(songs[order]) & (scores[order] > 0)]
        _, first = np.unique(songs[order], return_index=True)
        kept = order[np.sort(first)][:k]
        return Candidates(songs[kept].astype(np.int32), scores[kept].astype(np.float64))

    def _liked(self, query: Query) -> list[int]:
        """The songs liked last within the hours, new ones included, the latest first."""
        listener, since = query.listener, max(query.at - self._config.hours * HOUR_MS, -1)  # -1: no time is known
        late = [(at, song) for song, action, at in listener.new_events if STRENGTH_BY_CODE[action] > 0 and at > since]
        known = np.flatnonzero((listener.at > since) & (STRENGTH_BY_CODE[listener.action] > 0))[-20:]
        late += list(zip(listener.at[known].tolist(), listener.song[known].tolist(), strict=True))
        newest = sorted(late, key=lambda pair: pair[0])[::-1]
        return list(dict.fromkeys(song for _, song in newest))[: self._config.songs]

    def _around(self, query: Query, song: int, weight: float) -> tuple[Array, Array]:
        """The nearest songs (n,) of one, and what they are worth (n,)."""
        new = query.live.songs
        if song < new.first:
            near_to = self._neighbours.songs[song]
            filled = near_to >= 0
            return near_to[filled], weight * self._neighbours.weights[song][filled] * self._support[near_to[filled]]
        if not (vector := new.unit[song - new.first]).any():
            return np.empty(0, dtype=np.int32), np.empty(0)
        found = near(self._index, vector, query, self._config.neighbours + 1)
        other = found.songs != song
        songs = found.songs[other]
        return songs, weight * found.scores[other] * new.take(self._support, 0.5, songs)

    def _followed(self, query: Query) -> list[int]:
        """Artists followed within the hours, since the release."""
        made = query.live.edits.followed.get((query.listener.user_id or "", "Artist"), {})
        since = query.at - self._config.hours * HOUR_MS
        artists = self._snapshot.ids["Artist"].indices([id_ for id_, at in made.items() if at > since])
        return [int(artist) for artist in artists if artist >= 0]

    def _works(self, artist: int) -> tuple[Array, Array]:
        songs = self._snapshot.relation("PERFORMED_BY").into(artist)
        best = songs[np.argsort(-self._listeners[songs], kind="stable")[: self._config.works]]
        return best, np.maximum(self._support[best], 0.1)
