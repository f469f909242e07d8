"""An edge list as arrays: what node embeddings on any graph are learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from embeddings.skipgram.walks import WalkGraph
from graph.errors import InvalidInput
from graph.importers.edgelist import read_edges
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation

_TYPE_END: Final = ":"


@dataclass(frozen=True)
class Edges:
    """E edges between N nodes, as a file gives them.

    Shapes: ids N texts, sorted; source, target (E,) int32 positions among them; weight (E,) float64; relation (E,)
    positions among `names`, -1 for an edge without one.
    """

    ids: list[str]
    source: Array
    target: Array
    weight: Array
    relation: Array
    names: tuple[str, ...] = ()
    directed: bool = False

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def read(cls, path: Path, *, directed: bool = False) -> Edges:
        """The edges of a text or `.mat` file.

        Raises: InvalidInput for a missing or broken file, a bad line, or no edge with a weight above 0.
        """
        found = cls.of_frame(read_edges(path, both_ways=directed), directed=directed)
        if not (found.weight > 0).any():
            raise InvalidInput(f"{path}: expected at least one edge with a weight above 0, got none")
        return found

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, *, directed: bool = False) -> Edges:
        """From the columns `source`, `target`, `weight`, `relation` (null: none)."""
        ids = pl.concat([frame["source"], frame["target"]]).unique().sort()
        names = frame["relation"].drop_nulls().unique().sort()
        relation = _positions(frame["relation"], names)
        return cls(
            ids.to_list(),
            _positions(frame["source"], ids),
            _positions(frame["target"], ids),
            frame["weight"].to_numpy().astype(np.float64),
            relation,
            tuple(names.to_list()),
            directed,
        )

    def weighed(self, gamma: Mapping[str, float]) -> Array:
        """(E,) weights times the gamma of their relation, 1 for those that `gamma` does not name.

        Raises: InvalidInput for a relation that no edge has; ValueError for a negative gamma.
        """
        factors = np.ones(len(self.names) + 1)
        for name, value in gamma.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"gamma of {name} must be 0 or more (got {value})")
            factors[self.code(name)] = value
        weighed: Array = self.weight * factors[self.relation]
        return weighed

    def code(self, name: str) -> int:
        """The position of a relation among `names`.

        Raises: InvalidInput if no edge has it.
        """
        if name not in self.names:
            raise InvalidInput(f"unknown relation {name!r} (known: {', '.join(self.names) or 'none'})")
        return self.names.index(name)

    def graph(self, gamma: Mapping[str, float] | None = None) -> WalkGraph:
        """All edges as what walks step on; gamma is the transition weight of a relation.

        Raises: InvalidInput, ValueError as `weighed`; InvalidInput if gamma leaves no edge.
        """
        weight = self.weighed(gamma or {})
        if not (weight > 0).any():
            raise InvalidInput("gamma leaves no edge to walk on")
        return WalkGraph.of_edges(self.source, self.target, weight, nodes=len(self.ids), directed=self.directed)

    def base_graph(self, base: str | None) -> WalkGraph:
        """Only the edges of the relation `base`, of those without a relation where None.

        Raises: InvalidInput if there are none, or the relation is unknown.
        """
        mine = self.relation == (-1 if base is None else self.code(base))
        if not (mine & (self.weight > 0)).any():
            what = "without a relation" if base is None else f"of the relation {base!r} with a weight above 0"
            raise InvalidInput(f"no edge {what} to walk on (relations to take as the base: {', '.join(self.names)})")
        ends = self.source[mine], self.target[mine], self.weight[mine]
        return WalkGraph.of_edges(*ends, nodes=len(self.ids), directed=self.directed)

    def side(self, base: str | None) -> dict[str, Relation]:
        """The relations other than `base`, each from nodes to what describes them (N to N), parallel edges added."""
        relations = {}
        for code, name in enumerate(self.names):
            mine = (self.relation == code) & (self.weight > 0)
            if name == base or not mine.any():
                continue
            ends = self.source[mine], self.target[mine], self.weight[mine]
            graph = WalkGraph.of_edges(*ends, nodes=len(self.ids), directed=True)
            weights = graph.weights if len(graph.weights) else np.ones(len(graph.indices), dtype=np.float32)
            n = len(self.ids)
            key = f"{name}:Entity:Entity"
            relations[name] = Relation(key, "Entity", "Entity", graph.indptr, graph.indices, {"weight": weights}, n)
        return relations

    @cached_property
    def types(self) -> dict[str, Array]:
        """The nodes of each type, int32; a node's type is what stands before the first `:` of its id."""
        prefix = pl.Series(self.ids, dtype=pl.String).str.extract(rf"^([^{_TYPE_END}]+){_TYPE_END}")
        named = prefix.drop_nulls().unique().sort().to_list()
        return {name: np.flatnonzero((prefix == name).fill_null(value=False)).astype(np.int32) for name in named}


def _positions(values: pl.Series, sorted_ids: pl.Series) -> Array:
    """(E,) int32 places in `sorted_ids`, -1 for null."""
    places = pl.DataFrame({"id": sorted_ids, "at": np.arange(len(sorted_ids), dtype=np.int32)})
    found = pl.DataFrame({"id": values}).join(places, on="id", how="left", maintain_order="left")
    positions: Array = found["at"].fill_null(-1).to_numpy().astype(np.int32)
    return positions
