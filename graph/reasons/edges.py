"""The edges that a path may use: all of a snapshot but one that is left out."""

from __future__ import annotations

from collections.abc import Iterable

from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot

Edge = tuple[str, str, str]
"""A relationship's type, the id it leads from and the id it leads to."""


class Edges:
    """A snapshot as if it did not hold the relationship `without`."""

    def __init__(self, snapshot: Snapshot, without: Edge | None = None) -> None:
        self.snapshot, self._without = snapshot, without

    def used(self, relation: Relation, edges: Iterable[int]) -> list[int]:
        """Those of the `edges` that a path may use."""
        if self._without is None or relation.name != self._without[0]:
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
