"""The edges that a path may use: all of a snapshot but one that is left out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from graph.reasons.listeners import listeners_who_like
from graph.reasons.reason import Node
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot

Edge = tuple[str, str, str]
"""A relationship's type, the id it leads from and the id it leads to."""


class Edges:
    """A snapshot as if it did not hold the relationship `without`.

    Made for one asker, whose songs lead to the same nodes again and again: what was read once is kept.
    """

    def __init__(self, snapshot: Snapshot, without: Edge | None = None) -> None:
        self.snapshot, self._without = snapshot, without
        self._nodes: dict[tuple[str, int], Node] = {}
        self._likers: dict[int, Array] = {}

    def node(self, label: str, i: int) -> Node:
        """The node at a position."""
        if (label, i) not in self._nodes:
            self._nodes[label, i] = Node.of(self.snapshot, label, i)
        return self._nodes[label, i]

    def likers(self, song: int) -> Array:
        """Who likes a song (see `listeners_who_like`)."""
        if song not in self._likers:
            self._likers[song] = listeners_who_like(self.snapshot, song)
        return self._likers[song]

    def common_listeners(self, one: int, other: int) -> int:
        """How many listeners like both songs."""
        return len(np.intersect1d(self.likers(one), self.likers(other), assume_unique=True))

    def without_one_of(self, type_: str) -> bool:
        """Whether the relationship that is left out is of this type."""
        return self._without is not None and type_ == self._without[0]

    def used(self, relation: Relation, edges: Iterable[int]) -> list[int]:
        """Those of the `edges` that a path may use."""
        if not self.without_one_of(relation.name):
            return list(edges)
        source, target = self.snapshot.ids[relation.source], self.snapshot.ids[relation.target]
        return [
            edge
            for edge in edges
            if not self.left_out(
                relation.name, source[int(relation.edge_sources[edge])], target[int(relation.indices[edge])]
            )
        ]

    def left_out(self, type_: str, source: str, target: str) -> bool:
        """Whether this relationship, between two ids, is the one that is left out."""
        return self._without == (type_, source, target)
