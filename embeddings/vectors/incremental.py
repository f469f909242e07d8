"""Song2Vec taken on from the last release: only what new events and songs touch is trained.

1. Every song and entity that the last release knows starts from its vectors, a new song from what describes it.
2. The sessions that hold a new event are trained, and with them a sample of older sessions around the songs touched,
   so that what they were near to is not forgotten.
3. Negatives are drawn from all songs and entities, as in a full training; nothing else moves.

An update costs what the new events cost, not what the log does. Updates drift: `segue release diff` says how far, and a
full training, rotated into the frame of the last release (`embeddings.vectors.alignment`), starts afresh.

Source: Kaji and Kobayashi 2017, Incremental Skip-gram Model with Negative Sampling, arXiv 1704.03956.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from embeddings.vectors.alignment import common, rotation
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class UpdateConfig:
    """When vectors are updated, and how.

    Raises: ValueError for a number out of range.
    """

    share: float = 0.05
    """An update is made where at most this share of the events is new, 0 to 1; 0 for never."""
    most: int = 24
    """Updates in a row before a full training, 1 or more."""
    epochs: int = 4
    """Passes over the sessions that are trained, 1 or more."""
    learning_rate: float = 0.01
    """Step at the beginning, above 0."""
    replay: float = 0.1
    """Older events around which a session is trained again, for each new one, 0 to 1."""

    def __post_init__(self) -> None:
        check_positive(self, "most", "epochs", "learning_rate")
        for name in ("share", "replay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1 (got {getattr(self, name)})")


@dataclass(frozen=True)
class LastTraining:
    """What the last release learned, in the places that its songs and entities have in a newer snapshot.

    `fresh` (E,): the newer snapshot's events that it did not learn from; `beyond`: whether it learned from events that
    the newer one may not (late events move the cuts of a log); `config` as it was stored; `updates`: how many in a row
    made it; `found`: the settings that its training searched for, by name.
    """

    vectors: ModelVectors
    fresh: Array
    beyond: bool
    config: Mapping[str, Any]
    updates: int
    found: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, release: Release, model: str, learned: Snapshot, newer: Snapshot) -> LastTraining:
        """`learned`: the release's own snapshot, with the events that it learned from.

        Raises: CorruptRelease if the release holds no vectors of the model.
        """
        vectors = ModelVectors.load(release, model)
        meta = vectors.meta
        offsets = [snapshot.histories.offset for snapshot in (learned, newer)]
        seen, seeing = (np.zeros(max(int(o.max(initial=0)) for o in offsets) + 1, dtype=bool) for _ in offsets)
        seen[offsets[0]] = seeing[offsets[1]] = True
        beyond = bool((seen & ~seeing).any())
        fresh, updates = ~seen[offsets[1]], int(meta.get("updates", 0))
        carried_on = carried(vectors, learned, newer)
        return cls(carried_on, fresh, beyond, meta["config"], updates, meta.get("found", {}))

    def leads_to(self, config: Any, how: UpdateConfig) -> bool:
        """Whether an update will do: the same settings, little that is new, nothing that it should not have seen, and
        not too many updates in a row."""
        same = json.loads(json.dumps(asdict(config))) == json.loads(json.dumps(self.config))
        new = float(self.fresh.mean()) if len(self.fresh) else 1.0
        usable = self.vectors.outputs is not None and not self.beyond
        return same and usable and new <= how.share and self.updates < how.most


def carried(vectors: ModelVectors, old: Snapshot, new: Snapshot) -> ModelVectors:
    """Vectors learned on `old` in the places that their songs and entities have in `new`.

    A song that `old` has no vector of is composed from what describes it in `new`; a new entity has none.
    """
    was, now = common(old.ids["Song"].to_list(), new.ids["Song"].to_list())

    def placed(matrix: Array, size: int, places: tuple[Array, Array]) -> Array:
        moved = np.zeros((size, matrix.shape[1]), dtype=np.float32)
        moved[places[1]] = matrix[places[0]]
        return moved

    raw = placed(vectors.raw, new.songs, (was, now))
    trained = np.zeros(new.songs, dtype=bool)
    trained[now] = vectors.trained[was]
    entities, entity_outputs = {}, {}
    for relation in new.song_relations():
        name = relation.name
        if name not in vectors.entities:
            continue
        places = common(old.ids[relation.target].to_list(), new.ids[relation.target].to_list())
        entities[name] = placed(vectors.entities[name], relation.targets, places)
        if name in vectors.entity_outputs:
            entity_outputs[name] = placed(vectors.entity_outputs[name], relation.targets, places)
    gamma = {name: weight for name, weight in vectors.gamma.items() if name in entities}
    outputs = None if vectors.outputs is None else placed(vectors.outputs, new.songs, (was, now))
    found = ModelVectors.of(new, raw, trained, entities, gamma, vectors.described)
    return replace(found, outputs=outputs, entity_outputs=entity_outputs)


def aligned(vectors: ModelVectors, last: ModelVectors) -> ModelVectors:
    """`vectors` turned into the frame of `last`, by the songs that both trained; not a dot product among them changes.

    Both stand in the places of one snapshot. Vectors of another length are left as they are.
    """
    if vectors.unit.shape[1] != last.unit.shape[1]:
        return vectors
    both = vectors.trained & last.trained
    turn = rotation(vectors.unit[both], last.unit[both])
    return replace(
        vectors,
        listeners=None if vectors.listeners is None else vectors.listeners @ turn,
        songs=None if vectors.songs is None else vectors.songs @ turn,
        encoder=None if vectors.encoder is None else turn.T @ vectors.encoder @ turn,
        encoded=None if vectors.encoded is None else vectors.encoded @ turn,
        unit=vectors.unit @ turn,
        entities={name: matrix @ turn for name, matrix in vectors.entities.items()},
        own=None if vectors.own is None else vectors.own @ turn,
        outputs=None if vectors.outputs is None else vectors.outputs @ turn,
        entity_outputs={name: matrix @ turn for name, matrix in vectors.entity_outputs.items()},
    )
