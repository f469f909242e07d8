"""What a release holds of a model: vectors of songs, entities and listeners, and a listener encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import sparse

from embeddings import models
from graph.errors import InvalidInput
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.histories import strengths
from graph.snapshot.snapshot import Snapshot

_OF_PAIRS: Final = ("listeners", "songs", "encoder", "encoded")


@dataclass(frozen=True)
class ModelVectors:
    """What a model learned about N songs, D numbers each.

    Shapes: unit (N, D) float32 of length 1 (0 for a song that has no vector); norm (N,) their lengths before that;
    trained (N,) whether a song was in the training data or is composed from its entities; entities[r] (M_r, D) for
    the targets of relation r; gamma[r] the weight that r was trained with. `described`: how much of what its entities
    say was added to a trained song's vector, both at length 1; own (N, D) the vectors before that, None where nothing
    was added. outputs (N, D) and entity_outputs[r] (M_r, D) are the other side of the model, which training goes on
    from; None and empty where it was not kept.

    A model that scores (listener, song) pairs has listeners (U, D) and songs (N, D) as well, whose dot product is the
    score, and an encoder (D, D): see `encode`; encoded (U, D) is what it gave for the histories that were learned from.
    `meta` (JSON) says how it was learned.
    """

    unit: Array
    norm: Array
    trained: Array
    entities: Mapping[str, Array]
    gamma: Mapping[str, float]
    outputs: Array | None = None
    entity_outputs: Mapping[str, Array] = field(default_factory=dict)
    described: float = 0.0
    own: Array | None = None
    listeners: Array | None = None
    songs: Array | None = None
    encoder: Array | None = None
    encoded: Array | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        raw: Array,
        trained: Array,
        entities: Mapping[str, Array],
        gamma: Mapping[str, float],
        described: float = 0.0,
    ) -> ModelVectors:
        """From raw song vectors (N, D); songs that were not `trained` are composed from their entities."""
        composed = np.zeros(raw.shape, dtype=np.float32)
        for name, weight in gamma.items():
            if weight and name in entities:
                composed += weight * (_means(snapshot, name) @ entities[name])
        raw = np.where(trained[:, None], raw, composed).astype(np.float32)
        norm = np.linalg.norm(raw, axis=1).astype(np.float32)
        unit = _unit(raw)
        if not described:
            return cls(unit, norm, trained, dict(entities), dict(gamma))
        unit[trained] = _unit(unit + described * _unit(composed))[trained]
        return cls(unit, norm, trained, dict(entities), dict(gamma), described=described, own=raw)

    @classmethod
    def of_songs(cls, snapshot: Snapshot, songs: Array) -> ModelVectors:
        """From song vectors (N, D), 0 for none, of a model that has none for entities, such as a graph network: an
        entity is the mean of its songs, each at length 1 and by the relation's weight."""
        norm = np.linalg.norm(songs, axis=1).astype(np.float32)
        unit = (songs / np.maximum(norm, 1e-12)[:, None]).astype(np.float32)
        entities = {}
        for relation in snapshot.song_relations():
            held = relation.matrix().T @ unit
            known = relation.matrix().T @ (norm > 0).astype(np.float32)
            entities[relation.name] = np.asarray(held / np.maximum(known, 1e-12)[:, None], dtype=np.float32)
        return cls(unit, norm, norm > 0, entities, dict.fromkeys(entities, 1.0))

    @classmethod
    def of_pairs(
        cls, snapshot: Snapshot, listeners: Array, songs: Array, meta: Mapping[str, Any] | None = None
    ) -> ModelVectors:
        """From listeners (U, D) and songs (N, D) whose dot products are scores, with the encoder fitted to the
        snapshot's histories."""
        listeners, songs = listeners.astype(np.float32), songs.astype(np.float32)
        found = cls.of_songs(snapshot, songs)
        means = mean_of_liked(found.unit, liked_songs(snapshot))
        encoder = fit_encoder(means, listeners)
        whole = replace(found, listeners=listeners, songs=songs, encoder=encoder, meta=dict(meta or {}))
        return replace(whole, encoded=np.asarray(means @ encoder, dtype=np.float32))

    def scores(self, listeners: Array) -> Array:
        """(B, N) dot products of every song with `listeners` (B,) by position.

        Raises: ValueError for a model without listeners.
        """
        if self.listeners is None or self.songs is None:
            raise ValueError("this model has no listener vectors")
        scores: Array = self.listeners[listeners] @ self.songs.T
        return scores

    def encode(self, songs: Array) -> Array:
        """(D,) the listener vector that a history of distinct liked `songs` (H,) stands for; 0 without any."""
        if self.encoder is None or not len(songs):
            return np.zeros(self.unit.shape[1], dtype=np.float32)
        return np.asarray(self.unit[songs].mean(axis=0) @ self.encoder, dtype=np.float32)

    def listener(self, user: int, songs: Array) -> Array:
        """(D,) the vector of listener `user` (-1: unknown) who likes `songs` (H,) by now.

        As trained, moved by what the encoder says of the difference between this history and the one learned from. 0
        for a history without a liked song: what was learned of somebody whose history is gone, or hidden, is not used.
        """
        now = self.encode(songs)
        if not len(songs):
            return now
        if self.listeners is None or self.encoded is None or not 0 <= user < len(self.listeners):
            return now
        return np.asarray(self.listeners[user] + now - self.encoded[user], dtype=np.float32)

    @property
    def raw(self) -> Array:
        """(N, D) as trained, or composed, and not of length 1."""
        whole: Array = self.unit * self.norm[:, None] if self.own is None else self.own
        return whole

    def query(self, snapshot: Snapshot, song: int, gamma: Mapping[str, float] | None = None) -> Array:
        """Unit vector (D,) to search the neighbours of `song` with.

        With `gamma` it is v_song + the sum over r of gamma_r x the mean vector of the song's r-entities, v_song as
        trained; a relation that is not named keeps the gamma that it was trained with. Where all are as trained it is
        the vector that the song is found by. 0 where there is nothing to go by.

        Raises: InvalidInput if `gamma` names a relation without vectors.
        """
        gamma = self._weighed(gamma)
        if gamma == self.gamma:
            trained: Array = self.unit[song]
            return trained
        vector = (self.unit[song] * self.norm[song] if self.own is None else self.own[song]) * bool(self.trained[song])
        for name, weight in gamma.items():
            if name not in self.entities:
                continue
            mine = snapshot.relation(name, "Song").of(song)
            if len(mine):
                vector = vector + weight * self.entities[name][mine].mean(axis=0)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)

    def composed(self, entities: Mapping[str, Array], gamma: Mapping[str, float] | None = None) -> Array:
        """Unit vector (D,) of a song that no training has seen, from the positions of its entities by relation.

        The sum over r of gamma_r x the mean vector of its r-entities, as for a song that nobody has played; relations
        and entities that training has not seen are left out. 0 where nothing is left. `gamma` as in `query`.

        Raises: InvalidInput if `gamma` names a relation without vectors.
        """
        gamma = self._weighed(gamma)
        vector = np.zeros(self.unit.shape[1], dtype=np.float32)
        for name, places in entities.items():
            weight = gamma.get(name, 0.0)
            if weight and len(places) and name in self.entities:
                vector += weight * self.entities[name][places].mean(axis=0)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)

    def _weighed(self, given: Mapping[str, float] | None) -> dict[str, float]:
        """Every gamma, those `given` instead of the trained ones.

        Raises: InvalidInput for one of a relation without vectors.
        """
        # what was trained without vectors of its own may be passed back as it is
        known = self.entities.keys() | self.gamma.keys()
        if unknown := sorted((given or {}).keys() - known):
            raise InvalidInput(f"gamma for unknown relation {unknown[0]!r} (known: {_listed(known)})")
        return {**self.gamma, **(given or {})}

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write to `path`.bin and `path`.json."""
        arrays = {"unit": self.unit, "norm": self.norm, "trained": self.trained}
        arrays |= {f"entities/{name}": value for name, value in self.entities.items()}
        if self.own is not None:
            arrays["own"] = self.own
        if self.outputs is not None:
            arrays["outputs"] = self.outputs
        arrays |= {f"entity_outputs/{name}": value for name, value in self.entity_outputs.items()}
        for name in _OF_PAIRS:
            if (value := getattr(self, name)) is not None:
                arrays[name] = value
        write_arrays(path, arrays, {**self.meta, **meta, "gamma": dict(self.gamma), "described": self.described})

    @classmethod
    def load(cls, release: Release, model: str) -> ModelVectors:
        """The vectors that `model` left in a release.

        Raises: CorruptRelease if there are none.
        """
        arrays, meta = release.arrays(f"vectors/{model}")

        def under(start: str) -> dict[str, Array]:
            return {name[len(start) :]: value for name, value in arrays.items() if name.startswith(start)}

        sides = under("entities/"), meta["gamma"], arrays.get("outputs"), under("entity_outputs/")
        own = meta.get("described", 0.0), arrays.get("own")
        found = cls(arrays["unit"], arrays["norm"], arrays["trained"], *sides, *own, meta=meta)
        listeners, songs, encoder, encoded = (arrays.get(name) for name in _OF_PAIRS)
        return replace(found, listeners=listeners, songs=songs, encoder=encoder, encoded=encoded)


def models_in(release: Release) -> list[str]:
    """Names of the models whose vectors a release holds."""
    return [name for name in release.names("vectors") if "/" not in name]


def song_space(release: Release) -> ModelVectors | None:
    """The vectors by which songs are compared and new songs composed: of the models without listener vectors the one
    that is trained by default, else any; None where the release holds no vectors."""
    usual = models.enabled_by_default()
    named = sorted(models_in(release), key=lambda name: (_pairs(release, name), name not in usual, name))
    return ModelVectors.load(release, named[0]) if named else None


def _pairs(release: Release, name: str) -> bool:
    return "listeners" in release.arrays(f"vectors/{name}")[0]


def liked_songs(snapshot: Snapshot) -> sparse.csr_array:
    """Sparse (U, N), 1 for each song that a listener's events together say is liked."""
    histories = snapshot.histories
    weights = strengths(histories.action, histories.count)
    shape = (histories.users, histories.songs)
    matrix = sparse.csr_array((weights, (histories.user, histories.song)), shape=shape)
    matrix.sum_duplicates()
    matrix.data = (matrix.data > 0).astype(np.float32)
    matrix.eliminate_zeros()
    return matrix


def mean_of_liked(unit: Array, liked: sparse.csr_array) -> Array:
    """(U, D) the mean of the unit vectors (N, D) of each listener's liked songs (U, N); 0 without any."""
    counts = np.maximum(np.diff(liked.indptr), 1)
    return np.asarray((liked @ unit) / counts[:, None], dtype=np.float32)


def fit_encoder(means: Array, listeners: Array, ridge: float = 1e-2) -> Array:
    """The matrix (D, D) that takes the mean unit vector of a listener's liked songs (U, D) closest to the listener's
    vector (U, D), over listeners who like something.

    `ridge` in units of the mean square of what is fitted from.
    Source: fold-in of unknown users by regression; Koren et al. 2009, doi 10.1109/MC.2009.263.
    """
    known = np.flatnonzero(means.any(axis=1))
    means = means[known]
    gram = means.T.astype(np.float64) @ means
    gram[np.diag_indices_from(gram)] += ridge * max(float(np.trace(gram)) / max(len(gram), 1), 1e-12)
    encoder: Array = np.linalg.solve(gram, means.T.astype(np.float64) @ listeners[known]).astype(np.float32)
    return encoder


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _unit(vectors: Array) -> Array:
    """Rows (N, D) at length 1; those of 0 stay 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _means(snapshot: Snapshot, name: str) -> Any:
    """Sparse (N, M) matrix that takes the mean over each song's entities of one relation."""
    matrix = snapshot.relation(name, "Song").matrix()
    matrix.data[:] = 1.0
    counts = np.diff(matrix.indptr)
    matrix.data /= np.repeat(np.maximum(counts, 1), counts).astype(np.float32)
    return matrix
