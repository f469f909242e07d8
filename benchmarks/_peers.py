"""What others have made, as benchmarks call it; none of it is ever imported by the product.

PecanPy wants names that numpy 2 has dropped; they are put back before it is imported. GRAPE reads its number of threads
where it is imported.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any, Final

import numpy as np

from embeddings.skipgram.edges import Edges
from embeddings.skipgram.walks import WalkConfig, WalkGraph
from graph.errors import InvalidInput
from graph.snapshot.arrays import Array

THREADS: Final = 2
_DROPPED: Final = {
    "bool8": np.bool_,
    "bytes0": np.bytes_,
    "cfloat": np.complex128,
    "clongfloat": np.clongdouble,
    "complex_": np.complex128,
    "float_": np.float64,
    "int0": np.intp,
    "longcomplex": np.clongdouble,
    "longfloat": np.longdouble,
    "object0": np.object_,
    "singlecomplex": np.complex64,
    "str0": np.str_,
    "string_": np.bytes_,
    "uint0": np.uintp,
    "unicode_": np.str_,
    "void0": np.void,
}


def peer(name: str) -> ModuleType:
    """A peer's module.

    Raises: InvalidInput if it is not installed.
    """
    for dropped, value in _DROPPED.items():
        if dropped not in vars(np):
            setattr(np, dropped, value)
    os.environ.setdefault("RAYON_NUM_THREADS", str(THREADS))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidInput(f"needs {name}: pip install segue-recommender[bench]") from error


class PecanPy:
    """node2vec walks on a graph without weights by one of PecanPy's modes: SparseOTF, DenseOTF or PreComp."""

    def __init__(self, edges: Edges, graph: WalkGraph, mode: str) -> None:
        self._module, self._ids, self._graph, self._mode = peer("pecanpy.pecanpy"), edges.ids, graph, mode

    def walks(self, config: WalkConfig) -> list[list[str]]:
        """Preprocessing, and the walks as texts."""
        graph, nodes = self._graph, self._graph.nodes
        made = getattr(self._module, self._mode)(p=config.p, q=config.q, workers=THREADS, verbose=False)
        made.set_node_ids(self._ids)
        if self._mode == "DenseOTF":
            dense = np.zeros((nodes, nodes), dtype=np.float32)
            dense[np.repeat(np.arange(nodes), np.diff(graph.indptr)), graph.indices] = 1
            made.data = dense
        else:
            made.indptr, made.indices = graph.indptr.astype(np.uint32), graph.indices.astype(np.uint32)
            made.data = np.ones(len(graph.indices), dtype=np.float32)
        made.preprocess_transition_probs()
        found: list[list[str]] = made.simulate_walks(config.walks, config.length - 1)  # it counts steps
        return found


class Grape:
    """A graph of GRAPE's, built once, without weights."""

    def __init__(self, edges: Edges) -> None:
        self.module = peer("ensmallen")
        builder = self.module.GraphBuilder()
        builder.set_directed(False)
        builder.set_name("edges")
        for source, target in zip(edges.source.tolist(), edges.target.tolist(), strict=True):
            builder.add_edge(edges.ids[source], edges.ids[target])
        self.graph: Any = builder.build()
        place = {node: i for i, node in enumerate(edges.ids)}
        self.place = np.array([place[name] for name in self.graph.get_node_names()])  # of its nodes among ours

    def walks(self, config: WalkConfig, seed: int = 1) -> Any:
        """Exact ones: by default it looks at 100 neighbours at most. They are numbers of its own nodes."""
        return self.graph.complete_walks(
            walk_length=config.length,
            return_weight=1 / config.p,
            explore_weight=1 / config.q,
            iterations=config.walks,
            random_state=seed,
            max_neighbours=self.graph.get_number_of_nodes(),
        )

    def vectors(self, settings: dict[str, Any]) -> Array:
        """(N, D) by its skip-gram, in the order of our nodes."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.module.models.SkipGram(**settings).fit_transform(self.graph)
        made: Array = np.zeros_like(found[0])
        made[self.place] = found[0]
        return made
