"""The nearest artists of an artist, tags of a tag and genres of a genre."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import NO_SONGS
from recall.grouped import csr_entries, sum_by_key
from recall.similarity.overlap import Overlap
from recall.similarity.songs import Nearest
from recall.similarity.sources import ATTRIBUTES, FUSION, ITEM_KNN, Sources, best, check_gamma, fused, support

RELATION: Final = {"Artist": "PERFORMED_BY", "Tag": "HAS_TAG", "Genre": "HAS_GENRE"}
"""How a song is joined to each kind of entity that can be compared."""
DESCRIBED_BY: Final = ("HAS_TAG", "HAS_GENRE")
ASKED: Final = 300
"""Songs of an entity whose co-listening is summed, those with the most listeners."""


class EntitySimilarity:
    """Nearest entities of one label by fusion, attributes, co-listening or one model.

    Co-listening: the cosines of the listeners of the songs of one with those of the other, summed, over the square root
    of the product of how many songs they have. Attributes: for artists the overlap of their own and their songs' tags
    and genres, or the weight of `SIMILAR_TO` where it says more; for tags and genres the overlap of the songs and
    artists that have them. A model: the cosine of its vectors of entities, which are the mean of their songs' where it
    learned none. Fusion weighs these as for songs, the listeners of an entity being those of its songs.
    """

    def __init__(self, sources: Sources, label: str) -> None:
        """Raises: ValueError for a label other than Artist, Tag and Genre."""
        if label not in RELATION:
            raise ValueError(f"label must be one of {', '.join(RELATION)} (got {label!r})")
        self.sources, self.label = sources, label
        self._snapshot = sources.snapshot
        self._relation = self._snapshot.relation(RELATION[label], "Song")
        self._shares = self._relation.shares
        self._songs = np.asarray(self._shares.sum(axis=0)).ravel()
        self._listeners = np.bincount(
            self._relation.indices, sources.listeners[self._relation.edge_sources], self._relation.targets
        )

    def nearest(
        self,
        entity: int,
        n: int,
        by: str = FUSION,
        gamma: Mapping[str, float] | None = None,
        refused: Array = NO_SONGS,
    ) -> Nearest:
        """The `n` entities nearest to the one at a position, none of those that are `refused`; `gamma` weighs the tags
        and genres of artists.

        Raises: InvalidInput for an unknown `by` or relation; NotInRelease.
        """
        gamma, hidden = gamma or {}, np.union1d(refused, entity)
        self.sources.check(by)
        check_gamma(gamma, self._known_gamma if by in (FUSION, ATTRIBUTES) else {})
        used = {**self._known_gamma, **gamma} if by in (FUSION, ATTRIBUTES) else {}
        if by == FUSION:
            scores = self._fused(entity, gamma, hidden)
        elif by == ATTRIBUTES:
            scores = self._described(entity, gamma)
        else:
            scores = self._listened(entity) if by == ITEM_KNN else self._cosines(entity, by)
        return Nearest(best(scores, hidden, n), used)

    def _fused(self, entity: int, gamma: Mapping[str, float], hidden: Array) -> Array:
        learned = [self._cosines(entity, name) for name in self.sources.models]
        if self.sources.lists is not None:
            learned.append(self._listened(entity))
        backed = support(float(self._listeners[entity]), self._listeners)
        return fused(self._described(entity, gamma), learned, backed, hidden)

    def _cosines(self, entity: int, name: str) -> Array:
        vectors = self._vectors[name]
        return np.asarray(vectors @ vectors[entity])

    def _listened(self, entity: int) -> Array:
        """(entities,) sum of the cosines of two entities' songs, over the root of the product of their numbers."""
        lists, n = self.sources.lists, self._relation.targets
        songs = self._relation.into(entity)
        if lists is None or not len(songs):
            return np.zeros(n)
        asked = np.argsort(-self.sources.listeners[songs], kind="stable")[:ASKED]
        songs, mine = songs[asked], self._shares.data[self._relation.edges_into(entity)[asked]]
        near = lists.songs[songs]
        known = near >= 0
        found, worth = sum_by_key(near[known], (lists.weights[songs] * mine[:, None])[known])
        which, at = csr_entries(self._shares.indptr, found)
        sums = np.bincount(self._shares.indices[at], worth[which] * self._shares.data[at], n)
        return np.asarray(sums / np.sqrt(np.maximum(self._songs * float(mine.sum()), 1e-12)))

    def _described(self, entity: int, gamma: Mapping[str, float]) -> Array:
        scores = self._overlap.scores(self._overlap.described(entity), gamma)
        if self._alike is None:
            return scores
        said = self._alike[[entity], :].toarray().ravel()
        return np.asarray(np.maximum(scores, said))

    @property
    def _known_gamma(self) -> dict[str, float]:
        return self._overlap.weights if self.label == "Artist" else {}

    @cached_property
    def _overlap(self) -> Overlap:
        return Overlap(self._relation.targets, _described_by(self._snapshot, self.label), {})

    @cached_property
    def _alike(self) -> sparse.csr_array | None:
        """(artists, artists) weights of `SIMILAR_TO` in either direction, the largest being 1."""
        alike = self._snapshot.relation("SIMILAR_TO", "Artist")
        if self.label != "Artist" or not len(alike):
            return None
        matrix = alike.matrix()
        matrix.data = matrix.data / max(float(matrix.data.max()), 1e-12)
        return sparse.csr_array(matrix.maximum(matrix.T))

    @cached_property
    def _vectors(self) -> dict[str, Array]:
        """(entities, D) of length 1, or 0, by model."""
        found = {}
        for name, model in self.sources.models.items():
            vectors = model.entities.get(self._relation.name)
            if vectors is None:
                vectors = self._shares.T @ model.unit
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            found[name] = np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
        return found


def _described_by(snapshot: Snapshot, label: str) -> dict[str, sparse.csr_array]:
    """What describes each entity: tags and genres an artist, songs and artists a tag or a genre."""
    if label != "Artist":
        having = {source: snapshot.relation(RELATION[label], source) for source in ("Song", "Artist")}
        return {source: sparse.csr_array(r.matrix().T.tocsr()) for source, r in having.items() if len(r)}
    performed = snapshot.relation(RELATION[label], "Song").matrix()
    found = {}
    for name in DESCRIBED_BY:
        whole = sparse.csr_array(performed.T @ snapshot.relation(name, "Song").matrix())
        whole = sparse.csr_array(whole + snapshot.relation(name, "Artist").matrix())
        if whole.nnz:
            found[name] = whole
    return found
