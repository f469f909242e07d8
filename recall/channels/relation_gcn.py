"""Songs by the vectors of the relation-gamma GCN, trained at every refresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from scipy import sparse

from embeddings.vectors.graph_vectors import GraphVectors
from embeddings.vectors.vectors import SongVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.item_lists.neighbours import Neighbours
from recall.linear import matrices
from recall.linear.listener_kernel import smoothed
from recall.listeners.listener import Listener

_NEAREST: Final = 100
_LOVES: Final = 200
_ATTRIBUTES: Final = frozenset({"HAS_TAG", "HAS_GENRE", "PERFORMED_BY"})


def _default_gamma() -> dict[str, float]:
    return {"LISTENED": 1.0, "FOLLOWS": 0.5, "HAS_TAG": 2.0, "PERFORMED_BY": 0.4}


@dataclass(frozen=True)
class RelationGcnConfig:
    """`embedding_dim`, `gamma` of each relation, `beta`, `decay` and `by_strength` as the model has them. `smooth`: how
    much of what a song's tags, artist and genres explain of its vector counts again (with any, all of it for a song
    that nobody has liked), and the ridge of that, `smooth_ridge`; `tilt`: how much a song with many listeners is
    proposed less. `kept` songs of each listener are stored; a listener without a vector is answered from the songs
    nearest to the most loved ones.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 512
    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    beta: float = 0.15
    decay: float = 1.5
    by_strength: float = 0.8
    smooth: float = 0.1
    smooth_ridge: float = 1.0
    tilt: float = 0.02
    kept: int = 300

    def __post_init__(self) -> None:
        check_positive(self, "embedding_dim", "decay", "smooth_ridge", "kept")
        matrices.check_between(self, 0, 1, "beta", "by_strength", "tilt")
        matrices.check_between(self, 0, 100, "smooth")
        matrices.check_gamma(self.gamma)


class RelationGcn:
    """The songs whose vectors answer best to the listener's, both learned by passing messages over the typed graph.

    A listener's list is that of the refresh; what is played since moves it no more than that it is left out.
    Source: see `embeddings.gnn.relation_gamma_gcn`; the passing on over a song's attributes is
    `recall.linear.listener_kernel.smoothed`.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    remembers: ClassVar[bool] = True

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, SongVectors],  # noqa: ARG003
        config: RelationGcnConfig,
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        from embeddings.gnn.relation_gamma_gcn import RelationGammaGCN, RelationGammaGCNConfig  # imports torch

        names = [f.name for f in fields(RelationGammaGCNConfig) if f.name != "rounds"]
        model = RelationGammaGCNConfig(**{name: getattr(config, name) for name in names})
        if matrices.tastes(snapshot).nnz:
            found = RelationGammaGCN.fit(snapshot, model, rng=rng)
        else:  # a catalogue that nobody has loved anything of yet
            nothing = [np.zeros((n, 1), dtype=np.float32) for n in (snapshot.users, snapshot.songs)]
            found = GraphVectors(nothing[0], nothing[1])
        cls.keep(snapshot, found, config, folder)

    @classmethod
    def keep(cls, snapshot: Snapshot, vectors: GraphVectors, config: RelationGcnConfig, folder: Path) -> None:
        """The lists of all listeners, and each song's nearest, by vectors of any graph network."""
        likes = matrices.tastes(snapshot)
        by_song = _passed_on(snapshot, vectors.songs, config)
        to = np.maximum(matrices.popularity(likes), 1) ** -np.float32(config.tilt)

        def unheard(block: slice) -> Array:
            scores = vectors.listeners[block] @ by_song.T * to
            heard = sparse.csr_array(likes[block])
            scores[np.repeat(np.arange(len(scores)), np.diff(heard.indptr)), heard.indices] = 0
            return np.asarray(scores)

        songs, scores = matrices.best_of_rows(snapshot.users, snapshot.songs, config.kept, unheard)
        write_arrays(folder / "lists", {"songs": songs, "scores": scores})
        lengths = np.linalg.norm(by_song, axis=1, keepdims=True)
        unit = by_song / np.where(lengths > 0, lengths, 1)
        Neighbours.of_vectors(unit, _NEAREST).save(folder / "neighbours")

    def __init__(self, release: Release, config: RelationGcnConfig = RelationGcnConfig()) -> None:  # noqa: ARG002
        lists, _ = release.arrays("recall/relation_gcn/lists")
        self._songs, self._scores = lists["songs"], lists["scores"]
        self._neighbours = Neighbours.load(release, "recall/relation_gcn/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        user = query.listener.user
        if 0 <= user < len(self._songs) and self._songs[user, 0] >= 0:
            kept = self._songs[user][self._songs[user] >= 0]
            open_ = query.permits(kept)
            return Candidates.best(kept[open_], self._scores[user, : len(kept)][open_], k)
        songs, weights = query.listener.loves(query.at, _LOVES)
        return self._neighbours.recall(query, songs, weights, k)


def _passed_on(snapshot: Snapshot, songs: Array, config: RelationGcnConfig) -> Array:
    """(songs, D) the vectors of songs, with what their attributes explain of them once more; that alone for songs which
    nobody has liked yet."""
    everything = {relation.name: 1.0 for relation in snapshot.song_relations() if relation.name in _ATTRIBUTES}
    told = list(matrices.song_matrices(snapshot, everything).values())
    if not told or not config.smooth:
        return songs
    attributes = sparse.csr_array(sparse.hstack(told, format="csr"))
    explained = smoothed(np.ascontiguousarray(songs.T), attributes, 1.0, config.smooth_ridge).T - songs
    # a song that nobody has liked has no vector of its own to add to
    share = np.where(matrices.popularity(matrices.tastes(snapshot)) > 0, np.float32(config.smooth), np.float32(1))
    return np.asarray(songs + share[:, None] * explained)
