"""What GraphSAGE and PinSage share: vectors of songs from their surroundings, those of new songs too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embeddings.gnn.model import SnapshotModel
from graph.errors import InvalidInput
from graph.snapshot.arrays import Array


class InductiveModel(SnapshotModel):
    """A network that makes a song's vector of what surrounds it, and so of a song that it never saw."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def compose(self, relations: Mapping[str, Sequence[int]]) -> Array:
        """The vector (D,) of a song that is not in the snapshot, from the positions of what each relation leads to:
        `{"PERFORMED_BY": [4], "HAS_TAG": [1, 7]}`.

        Raises: InvalidInput for a relation that no song of the snapshot has, or a position out of range.
        """
        raise NotImplementedError


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
