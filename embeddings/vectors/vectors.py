"""Song vectors beside the vectors of the entities they are described by, as a release stores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graph.errors import InvalidInput
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class SongVectors:
    """What a model learned about N songs, D numbers each.

    Shapes: unit (N, D) float32 of length 1 (0 for a song that has no vector); norm (N,) their lengths before that;
    trained (N,) whether a song was in the training data or is composed from its entities; entities[r] (M_r, D) for
    the targets of relation r; gamma[r] the weight that r was trained with. `described`: how much of what its entities
    say was added to a trained song's vector, both at length 1; own (N, D) the vectors before that, None where nothing
    was added. outputs (N, D) and entity_outputs[r] (M_r, D) are the other side of the model, which training goes on
    from; None and empty where it was not kept.
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

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        raw: Array,
        trained: Array,
        entities: Mapping[str, Array],
        gamma: Mapping[str, float],
        described: float = 0.0,
    ) -> SongVectors:
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
    def of_songs(cls, snapshot: Snapshot, songs: Array) -> SongVectors:
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
        write_arrays(path, arrays, {**meta, "gamma": dict(self.gamma), "described": self.described})

    @classmethod
    def load(cls, release: Release, model: str) -> SongVectors:
        """The vectors that `model` left in a release.

        Raises: CorruptRelease if there are none.
        """
        arrays, meta = release.arrays(f"vectors/{model}")

        def under(start: str) -> dict[str, Array]:
            return {name[len(start) :]: value for name, value in arrays.items() if name.startswith(start)}

        sides = under("entities/"), meta["gamma"], arrays.get("outputs"), under("entity_outputs/")
        own = meta.get("described", 0.0), arrays.get("own")
        return cls(arrays["unit"], arrays["norm"], arrays["trained"], *sides, *own)


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
