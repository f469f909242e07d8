"""One reason: what it says, how strong it is, its path, and the Cypher that returns exactly that path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from graph import schema
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot
from graph.store import queries

Kind = Literal["path", "neighbour", "popular"]
Direction = Literal["out", "in"]


@dataclass(frozen=True)
class Node:
    """A node of a path."""

    label: str
    id: str
    name: str

    @classmethod
    def of(cls, snapshot: Snapshot, label: str, i: int) -> Node:
        return cls(label, snapshot.ids[label][i], snapshot.name(label, i))

    def as_json(self) -> dict[str, Any]:
        return {"label": self.label, "id": self.id, "name": self.name}


@dataclass(frozen=True)
class Hop:
    """A relationship of a path, walked along its direction ("out") or against it ("in")."""

    relationship: str
    direction: Direction
    properties: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, relation: Relation, edge: int, direction: Direction) -> Hop:
        """Edge number `edge` of a relation, with the properties that are known."""
        given = {name: _plain(values[edge]) for name, values in relation.properties.items()}
        return cls(relation.name, direction, {name: value for name, value in given.items() if value is not None})

    def as_json(self) -> dict[str, Any]:
        return {"relationship": self.relationship, "direction": self.direction, "properties": dict(self.properties)}


@dataclass(frozen=True)
class Draft:
    """A reason before its path is written out, as few of those that are found are shown; see `Reason`.

    `hops` reads the relationships of the path from the snapshot when it is called.
    """

    kind: Kind
    text: str
    score: float
    nodes: Sequence[Node]
    hops: Callable[[], Sequence[Hop]]

    def written(self) -> Reason:
        """The reason."""
        return Reason.of(self.kind, self.text, self.score, self.nodes, self.hops())

    def passes(self, node: Node) -> bool:
        """Whether the path leads through `node` to another one."""
        return any((one.label, one.id) == (node.label, node.id) for one in self.nodes[:-1])

    def edges(self) -> set[tuple[str, str, str]]:
        """The relationships of the path: type, id it leads from, id it leads to."""
        found = set()
        for before, hop, after in zip(self.nodes, self.hops(), self.nodes[1:], strict=False):
            ends = (before.id, after.id) if hop.direction == "out" else (after.id, before.id)
            found.add((hop.relationship, *ends))
        return found


@dataclass(frozen=True)
class Reason:
    """`score` is the strength (0..1); `path` holds nodes and relationships in turn, the song last."""

    kind: Kind
    text: str
    score: float
    path: list[dict[str, Any]]
    cypher: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, kind: Kind, text: str, score: float, nodes: Sequence[Node], hops: Sequence[Hop] = ()) -> Reason:
        """The path of `nodes` (n,) joined by `hops` (n - 1,).

        Raises: ValueError if the numbers do not fit.
        """
        path: list[dict[str, Any]] = [nodes[0].as_json()]
        for hop, node in zip(hops, nodes[1:], strict=True):
            path += [hop.as_json(), node.as_json()]
        parameters = {f"id{n}": node.id for n, node in enumerate(nodes)}
        kinds = []
        for n, (hop, node) in enumerate(zip(hops, nodes[1:], strict=True)):
            ends = (nodes[n].label, node.label) if hop.direction == "out" else (node.label, nodes[n].label)
            relationship = schema.relationship(hop.relationship, *ends)
            kinds.append((relationship, hop.direction, hop.properties))
            parameters |= {f"{name}{n}": hop.properties[name] for name in relationship.identity}
        cypher = queries.reason([node.label for node in nodes], kinds)
        return cls(kind, text, float(score), path, cypher, parameters)

    def passes(self, node: Node) -> bool:
        """Whether the path leads through `node` to another one."""
        return any((step["label"], step["id"]) == (node.label, node.id) for step in self.path[:-1:2])

    def edges(self) -> set[tuple[str, str, str]]:
        """The relationships of the path: type, id it leads from, id it leads to."""
        found = set()
        for before, hop, after in zip(self.path[::2], self.path[1::2], self.path[2::2], strict=False):
            ends = (before["id"], after["id"]) if hop["direction"] == "out" else (after["id"], before["id"])
            found.add((hop["relationship"], *ends))
        return found

    def as_json(self) -> dict[str, Any]:
        """With the keys of the contract."""
        return {
            "kind": self.kind,
            "text": self.text,
            "score": round(self.score, 6),
            "path": self.path,
            "cypher": self.cypher,
            "parameters": self.parameters,
        }


def _plain(value: Any) -> Any:
    """A JSON value, None where unknown."""
    number = value.item()
    if isinstance(number, float):
        return None if np.isnan(number) else number
    return None if number in {UNKNOWN_INTEGER, UNKNOWN_TIME} else number
