"""What GraphSAGE and PinSage share: vectors of songs from their surroundings, and one way to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from embeddings.fit import FitConfig, History, Progress, Trainable, fit
from embeddings.gnn.model import Validate
from embeddings.graph_vectors import GraphVectors
from graph.arrays import Array
from graph.errors import InvalidInput
from graph.snapshot import Snapshot


class InductiveModel(Trainable):
    """A network that makes a song's vector of what surrounds it, and so of a song that it never saw."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def build(cls, snapshot: Snapshot, config: Any, *, rng: np.random.Generator) -> Self:
        """The untrained network for a snapshot.

        Raises: FitError if there is nothing to learn from.
        """
        raise NotImplementedError

    def vectors(self) -> tuple[Array, Array]:
        """Listeners (U, D) and songs (S, D) as they are now, float32."""
        raise NotImplementedError

    def compose(self, relations: Mapping[str, Sequence[int]]) -> Array:
        """The vector (D,) of a song that is not in the snapshot, from the positions of what each relation leads to:
        `{"PERFORMED_BY": [4], "HAS_TAG": [1, 7]}`.

        Raises: InvalidInput for a relation that no song of the snapshot has, or a position out of range.
        """
        raise NotImplementedError

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: Any,
        *,
        rng: np.random.Generator,
        validate: Validate | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> GraphVectors:
        """Build, `learn`, and the vectors of all listeners and songs.

        Raises: FitError if there is nothing to learn from, or a weight is not finite; InvalidInput for a checkpoint of
        another training.
        """
        model = cls.build(snapshot, config, rng=rng)
        history = model.learn(
            rng=rng, validate=validate, progress=progress, checkpoint=checkpoint, device=device, threads=threads
        )
        meta = {"config": asdict(config), "epochs": len(history.losses), "best_epoch": history.best_epoch}
        return GraphVectors(*model.vectors(), meta=meta | ({"best": history.best} if history.evaluations else {}))

    def learn(
        self,
        *,
        rng: np.random.Generator,
        validate: Validate | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> History:
        """Train in place (see `embeddings.fit.fit`); `validate` chooses the epoch.

        Raises: FitError if a weight is not finite; InvalidInput for a checkpoint of another training.
        """
        return fit(
            self,
            self.config.training,
            rng=rng,
            validate=None if validate is None else lambda: validate(*self.vectors()),
            progress=progress,
            checkpoint=checkpoint,
            device=device,
            threads=threads,
        )

    def settings(self) -> str:
        return repr(replace(self.config, training=FitConfig()))


def relation_type(name: str) -> str:
    """`RELATED` of `RELATED:film.actor`: all relations of a knowledge graph are one type here, for weights of its
    own for each of dozens would cost more than they tell."""
    return name.partition(":")[0]


def check_places(name: str, places: Sequence[int], count: int) -> None:
    """Raises: InvalidInput for one that is not from 0 to `count` - 1."""
    wrong = [place for place in places if not 0 <= place < count]
    if wrong:
        raise InvalidInput(f"{name}: positions must be from 0 to {count - 1} (got {wrong[0]})")


def unknown_relation(name: str, known: Sequence[str]) -> InvalidInput:
    """The error for a relation that songs do not have."""
    return InvalidInput(f"unknown relation {name!r} (known: {', '.join(sorted(known)) or 'none'})")
