"""metapath2vec: skip-gram over walks that follow a path of node types or of relations.

A metapath is `user,song,user`, types of nodes as their ids name them (`user:17`), or `performed_by,has_genre`,
relations of the edge list. A path of types that ends where it begins goes round for as long as a walk lasts, another
one is walked once; a path of relations always goes round, along edges in either direction unless the graph is directed.
Without a metapath each step first chooses among the relations that the node has, all alike, and then a neighbour by
weight, so that a relation with many edges does not drown the others.

Source: Dong, Chawla and Swami 2017, metapath2vec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from embeddings.skipgram.corpus import Progress
from embeddings.skipgram.edges import Edges
from embeddings.skipgram.node2vec import draw_seed, fit_walks
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.walk_model import WalkModel
from embeddings.skipgram.walks import MetapathWalks, WalkConfig, WalkGraph, Walks
from embeddings.vectors.node_vectors import NodeVectors
from graph.errors import InvalidInput
from graph.snapshot.arrays import Array


@dataclass(frozen=True)
class Metapath2VecConfig:
    """Hyper-parameters of metapath2vec."""

    metapath: tuple[str, ...] = ()
    """Types of nodes, or relations, in the order of a walk; empty to choose among a node's relations at each step."""
    walks: WalkConfig = field(default_factory=WalkConfig)
    """Walks from every node; p and q have to be 1."""
    skipgram: SkipGramConfig = field(default_factory=SkipGramConfig)
    """Hyper-parameters of skip-gram over the walks."""
    gamma: Mapping[str, float] = field(default_factory=dict)
    """Transition weight of each relation, by its name; 1 where a relation is not named."""


class Metapath2Vec(WalkModel):
    """Nodes of several types in one space."""

    @classmethod
    def fit_edges(
        cls,
        edges: Edges,
        config: Metapath2VecConfig,
        *,
        rng: np.random.Generator,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> NodeVectors:
        """A vector for every node on a walk; the same state of `rng` gives the same ones where `workers` is 1.

        Raises: InvalidInput for a metapath of unknown names, or one that no edge follows; ValueError for p or q.
        """
        if (config.walks.p, config.walks.q) != (1, 1):
            raise ValueError(f"metapaths know no p and q (got p {config.walks.p}, q {config.walks.q})")
        walks = metapath_walks(edges, config, seed=draw_seed(rng), threads=workers)
        return fit_walks(walks, edges.ids, config.skipgram, rng=rng, workers=workers, progress=progress)


def metapath_walks(edges: Edges, config: Metapath2VecConfig, *, seed: int, threads: int) -> Walks:
    """The walks of a metapath, from every node that it can begin with.

    Raises: InvalidInput as `fit_edges`.
    """
    path = config.metapath
    if not path:
        return Walks(_balanced(edges, config.gamma), config.walks, seed=seed, threads=threads)
    by_type = not all(name in edges.names for name in path)
    if not by_type:
        kinds, steps, cyclic = (edges.relation, edges.relation), [edges.code(name) for name in path], True
        n_kinds = len(edges.names)
    elif len(path) > 1 and all(name in edges.types for name in path):
        kinds, n_kinds = _kinds_by_type(edges), len(edges.types)
        steps, cyclic = [list(edges.types).index(name) for name in path[1:]], path[0] == path[-1]
    else:
        raise InvalidInput(
            f"metapath {','.join(path)}: expected relations ({', '.join(edges.names) or 'none'}) or two or more types "
            f"of nodes ({', '.join(edges.types) or 'none, ids such as user:17 have one'})"
        )
    graph = WalkGraph.of_edges(
        edges.source,
        edges.target,
        edges.weighed(config.gamma),
        nodes=len(edges.ids),
        directed=edges.directed,
        kinds=kinds,
        n_kinds=n_kinds,
    )
    row = steps[0] * graph.nodes
    starts = np.flatnonzero(graph.degrees[row : row + graph.nodes])
    if by_type:
        starts = np.intersect1d(starts, edges.types[path[0]])
    if not len(starts):
        raise InvalidInput(f"metapath {','.join(path)}: no edge follows its first step")
    return MetapathWalks(graph, config.walks, steps, seed=seed, cyclic=cyclic, starts=starts, threads=threads)


def _kinds_by_type(edges: Edges) -> tuple[Array, Array]:
    """The type that each edge leads to, and the one it leads to backwards; -1 for a node without a type."""
    kind = np.full(len(edges.ids), -1, dtype=np.int64)
    for code, nodes in enumerate(edges.types.values()):
        kind[nodes] = code
    return kind[edges.target], kind[edges.source]


def _balanced(edges: Edges, gamma: Mapping[str, float]) -> WalkGraph:
    """Each relation of a node with the same share in all, gamma apart; edges without a relation count as one more."""
    nodes = len(edges.ids)
    kind = edges.relation.astype(np.int64) + 1
    factors = np.ones(len(edges.names) + 1)
    edges.weighed(gamma)  # checks gamma
    for name, value in gamma.items():
        factors[edges.code(name) + 1] = value
    source, target, weight = edges.source, edges.target, edges.weight
    if not edges.directed:
        back = source != target
        source, target = np.concatenate([source, target[back]]), np.concatenate([target, source[back]])
        weight, kind = np.concatenate([weight, weight[back]]), np.concatenate([kind, kind[back]])
    totals = np.bincount(kind * nodes + source, weights=weight, minlength=nodes * (len(edges.names) + 1))
    shares = factors[kind] * weight / np.maximum(totals[kind * nodes + source], 1e-300)
    if not (shares > 0).any():
        raise InvalidInput("gamma leaves no edge to walk on")
    graph = WalkGraph.of_edges(source, target, shares, nodes=nodes, directed=True)
    return graph if edges.directed else replace(graph, edges=edges.graph(gamma).edges)
