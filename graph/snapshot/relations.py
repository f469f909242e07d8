"""One relationship type of a snapshot as compressed sparse rows, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array


class Relation:
    """Edges of one type between two labels, sorted by source and then by target.

    Shapes: S sources, T targets, E edges; indptr (S + 1,), indices (E,) of positions among the targets, each of
    `properties` (E,); the reverse direction has reverse_indptr (T + 1,), reverse_indices (E,), and reverse_edges (E,)
    that lead from a reverse edge to its place among the forward ones.
    """

    def __init__(
        self, key: str, source: str, target: str, indptr: Array, indices: Array, properties: Mapping[str, Array], n: int
    ) -> None:
        self.key, self.source, self.target = key, source, target
        self.indptr, self.indices, self.properties, self.targets = indptr, indices, dict(properties), n

    @property
    def name(self) -> str:
        """The type as users write it, such as `HAS_GENRE` or `RELATED:film.actor`."""
        return self.key.rsplit(":", 2)[0]

    @property
    def sources(self) -> int:
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    def of_edges(
        cls, key: str, source: Array, target: Array, properties: Mapping[str, Array], sources: int, targets: int
    ) -> Relation:
        """From E unsorted edges; equal (source, target) pairs keep the order in which they come."""
        order = np.lexsort((target, source))
        indptr = np.zeros(sources + 1, dtype=np.int64)
        np.cumsum(np.bincount(source, minlength=sources), out=indptr[1:])
        _, source_label, target_label = key.rsplit(":", 2)
        return cls(
            key,
            source_label,
            target_label,
            indptr,
            target[order].astype(np.int32),
            {name: value[order] for name, value in properties.items()},
            targets,
        )

    def where(self, keep: Array) -> Relation:
        """The edges for which `keep` (E,) is true."""
        indptr = np.zeros_like(self.indptr)
        np.cumsum(np.bincount(self.edge_sources[keep], minlength=self.sources), out=indptr[1:])
        properties = {name: values[keep] for name, values in self.properties.items()}
        return Relation(self.key, self.source, self.target, indptr, self.indices[keep], properties, self.targets)

    def of(self, i: int) -> Array:
        """Targets of source `i`."""
        return self.indices[self.indptr[i] : self.indptr[i + 1]]

    def edges_of(self, i: int) -> slice:
        """Where the edges of source `i` stand in `indices` and `properties`."""
        return slice(int(self.indptr[i]), int(self.indptr[i + 1]))

    @cached_property
    def edge_sources(self) -> Array:
        """Source of every edge (E,)."""
        return np.repeat(np.arange(self.sources, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def _reverse(self) -> tuple[Array, Array, Array]:
        order = np.argsort(self.indices, kind="stable")
        indptr = np.zeros(self.targets + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.indices, minlength=self.targets), out=indptr[1:])
        return indptr, self.edge_sources[order], order.astype(np.int64)

    @property
    def reverse_indptr(self) -> Array:
        return self._reverse[0]

    @property
    def reverse_indices(self) -> Array:
        return self._reverse[1]

    @property
    def reverse_edges(self) -> Array:
        return self._reverse[2]

    def into(self, j: int) -> Array:
        """Sources that lead to target `j`."""
        indptr, indices, _ = self._reverse
        return indices[indptr[j] : indptr[j + 1]]

    def edges_into(self, j: int) -> Array:
        """Forward positions of the edges that lead to target `j`."""
        indptr, _, edges = self._reverse
        return edges[indptr[j] : indptr[j + 1]]

    def weights(self) -> Array:
        """`weight` of every edge (E,), 1 where it is unknown or the relation has none."""
        given = self.properties.get("weight")
        if given is None:
            return np.ones(len(self.indices), dtype=np.float32)
        return np.where(np.isnan(given), 1.0, given).astype(np.float32)

    def matrix(self) -> sparse.csr_array:
        """Sparse (S, T) matrix of the weights."""
        return sparse.csr_array((self.weights(), self.indices, self.indptr), shape=(self.sources, self.targets))

    @cached_property
    def shares(self) -> sparse.csr_array:
        """Sparse (S, T) matrix of the weights in which every row that is not empty sums to 1."""
        matrix = self.matrix().astype(np.float64)
        sums = np.maximum(matrix.sum(axis=1), 1e-12)
        matrix.data = matrix.data / np.repeat(sums, np.diff(matrix.indptr))
        return matrix

    def arrays(self, prefix: str) -> dict[str, Array]:
        """As named arrays, for `write_arrays`; the reverse direction is stored so that opening stays cheap."""
        indptr, indices, edges = self._reverse
        return {
            f"{prefix}/indptr": self.indptr,
            f"{prefix}/indices": self.indices,
            f"{prefix}/reverse_indptr": indptr,
            f"{prefix}/reverse_indices": indices,
            f"{prefix}/reverse_edges": edges,
            **{f"{prefix}/properties/{name}": value for name, value in self.properties.items()},
        }

    @classmethod
    def from_arrays(cls, key: str, arrays: Mapping[str, Array], prefix: str) -> Relation:
        _, source, target = key.rsplit(":", 2)
        start = f"{prefix}/properties/"
        relation = cls(
            key,
            source,
            target,
            arrays[f"{prefix}/indptr"],
            arrays[f"{prefix}/indices"],
            {name[len(start) :]: value for name, value in arrays.items() if name.startswith(start)},
            len(arrays[f"{prefix}/reverse_indptr"]) - 1,
        )
        relation.__dict__["_reverse"] = tuple(
            arrays[f"{prefix}/{part}"] for part in ("reverse_indptr", "reverse_indices", "reverse_edges")
        )
        return relation
