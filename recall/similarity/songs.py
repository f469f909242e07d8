"""The nearest songs of a song, by all that a release holds together or by one of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array
from recall.base import NO_SONGS, Candidates
from recall.grouped import sorted_unique
from recall.live.edits import NewSongs
from recall.live.live import Overlay
from recall.recordings import Recordings
from recall.similarity.overlap import Described, Overlap
from recall.similarity.sources import ATTRIBUTES, FUSION, ITEM_KNN, Sources, best, check_gamma, fused, support

WEIGHTS: Final = {"PERFORMED_BY": 3.0, "HAS_GENRE": 1.0, "HAS_TAG": 1.0, "ON_ALBUM": 0.5, "LANGUAGE": 0.3}
"""How much each relation of two songs counts in what they have in common; others, of triples, count 1."""
LOOKED_AT: Final = 2_000
"""Songs that an approximate index proposes to the fusion; an exact one tells of all."""


@dataclass(frozen=True)
class Nearest:
    """An answer: `found` the nearest first, and every `gamma` that was used."""

    found: Candidates
    gamma: Mapping[str, float]


class SongSimilarity:
    """Nearest songs by fusion, attributes, co-listening or one model.

    Fusion is the mean of: the overlap of artists, genres, tags, albums and languages; the cosine of the listeners of
    two songs; the cosine of their vectors, by each model of the release. What is learned from listeners counts by
    n / (n + 5) of the listeners of the less known song, unless the attributes say the same. A recording that has
    several ids is in a list once.
    """

    def __init__(self, release: Release) -> None:
        self.sources = Sources(release)
        self._snapshot = release.snapshot
        relations = release.snapshot.song_relations()
        self._overlap = Overlap(self._snapshot.songs, {r.name: r.matrix() for r in relations}, WEIGHTS)
        self._recordings = Recordings(release.snapshot)
        self._late: tuple[NewSongs, list[Described]] | None = None

    def nearest(
        self,
        song: int,
        n: int,
        live: Overlay,
        by: str = FUSION,
        gamma: Mapping[str, float] | None = None,
        refused: Array = NO_SONGS,
    ) -> Nearest:
        """The `n` songs nearest to `song`, a position that may be a new song's; fewer where nothing tells of more, and
        none of those that are `refused`.

        `gamma` replaces the weights of the relations that it names: of a model, of the attributes, or with fusion of
        all of them.

        Raises: InvalidInput for an unknown `by` or relation; NotInRelease.
        """
        gamma, new = gamma or {}, live.songs
        self.sources.check(by)
        parts = [self._recordings.ids_of(song, new), live.edits.withheld, refused]
        hidden = sorted_unique(np.concatenate(parts)).astype(np.int64)
        look = 2 * n + 16
        while True:
            near = self._near(song, look, by, gamma, new, hidden)
            kept = self._recordings.firsts(near.found.songs, new)[:n]
            if len(kept) == n or len(near.found) < look:
                return Nearest(Candidates(near.found.songs[kept], near.found.scores[kept]), near.gamma)
            look *= 4

    def _near(self, song: int, k: int, by: str, gamma: Mapping[str, float], new: NewSongs, hidden: Array) -> Nearest:
        if by in self.sources.models:
            return self._by_vectors(song, k, by, gamma, new, hidden)
        if by == ITEM_KNN:
            check_gamma(gamma, ())
            return Nearest(best(self._listened(song, new), hidden, k), {})
        if by == ATTRIBUTES:
            check_gamma(gamma, self._overlap.weights)
            scores = self._described(song, gamma, new)
            return Nearest(best(scores, hidden, k), {**self._overlap.weights, **gamma})
        return Nearest(best(self._fused(song, gamma, new, hidden), hidden, k), dict(gamma))

    # ---- one source

    def _by_vectors(
        self, song: int, k: int, by: str, gamma: Mapping[str, float], new: NewSongs, hidden: Array
    ) -> Nearest:
        vectors = self.sources.models[by]
        used = {**vectors.gamma, **gamma}
        vector = self._vector(song, by, gamma, new)
        found = self.sources.index[by].search(vector, k, exclude=hidden, exact=used != vectors.gamma)
        late = self.sources.new_vectors(by, new) @ vector
        songs = np.flatnonzero(late > 0) + new.first
        songs = songs[~np.isin(songs, hidden)]
        scores = np.concatenate([found.scores, late[songs - new.first]])
        return Nearest(Candidates.best(np.concatenate([found.songs, songs]), scores, k), used)

    def _vector(self, song: int, by: str, gamma: Mapping[str, float], new: NewSongs) -> Array:
        """(D,) of length 1, or 0."""
        vectors = self.sources.models[by]
        if song < new.first:
            return vectors.query(self._snapshot, song, gamma or None)
        return vectors.composed({name: places[song - new.first] for name, places in new.entities.items()}, gamma)

    def _listened(self, song: int, new: NewSongs) -> Array:
        """(songs and new songs,) cosine of listeners, of the nearest songs alone."""
        scores = np.zeros(new.first + len(new))
        if self.sources.lists is not None and song < new.first:
            songs = self.sources.lists.songs[song]
            scores[songs[songs >= 0]] = self.sources.lists.weights[song][songs >= 0]
        return scores

    def _described(self, song: int, gamma: Mapping[str, float], new: NewSongs) -> Array:
        """(songs and new songs,) overlap of attributes."""
        late = self._described_new(new)
        own = self._overlap.described(song) if song < new.first else late[song - new.first]
        weights = {name: weight for name, weight in gamma.items() if name in self._overlap.weights}
        return np.concatenate([self._overlap.scores(own, weights), self._overlap.between(own, late, weights)])

    def _described_new(self, new: NewSongs) -> list[Described]:
        late = self._late
        if late is None or late[0] is not new:
            each = [{name: places[i] for name, places in new.entities.items()} for i in range(len(new))]
            late = self._late = new, [self._overlap.described_by(attributes) for attributes in each]
        return late[1]

    # ---- all of them

    def _fused(self, song: int, gamma: Mapping[str, float], new: NewSongs, hidden: Array) -> Array:
        models = self.sources.models
        check_gamma(gamma, {*self._overlap.weights, *(name for model in models.values() for name in model.entities)})
        learned = [self._cosines(song, name, gamma, new) for name in models]
        if self.sources.lists is not None:
            learned.append(self._listened(song, new))
        known = np.append(self.sources.listeners, np.zeros(len(new)))
        overlap = self._described(song, gamma, new)
        return fused(overlap, learned, support(known[song], known), hidden)

    def _cosines(self, song: int, name: str, gamma: Mapping[str, float], new: NewSongs) -> Array:
        """(songs and new songs,) cosines of vectors; of the nearest alone where the index is approximate."""
        vectors, index = self.sources.models[name], self.sources.index[name]
        theirs = {relation: weight for relation, weight in gamma.items() if relation in vectors.entities}
        vector = self._vector(song, name, theirs, new)
        if not vector.any():
            return np.zeros(new.first + len(new))
        late = self.sources.new_vectors(name, new) @ vector
        if index.kind == "exact":
            return np.concatenate([index.scores(vector), late])
        found = index.search(vector, LOOKED_AT)
        known = np.zeros(new.first)
        known[found.songs] = found.scores
        return np.concatenate([known, late])
