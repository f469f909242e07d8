"""node2vec: skip-gram over second-order random walks; DeepWalk is p = q = 1.

Source: Grover and Leskovec 2016, arXiv 1607.00653; Perozzi et al. 2014, arXiv 1403.6652.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from embeddings.skipgram.corpus import Progress, WalkCorpus
from embeddings.skipgram.edges import Edges
from embeddings.skipgram.skipgram import SkipGramConfig, numbered, train_walks
from embeddings.skipgram.walk_model import WalkModel
from embeddings.skipgram.walks import WalkConfig, WalkGraph, Walks
from embeddings.vectors.node_vectors import NodeVectors
from graph.snapshot.arrays import Array


@dataclass(frozen=True)
class Node2VecConfig:
    """Hyper-parameters of node2vec."""

    walks: WalkConfig = field(default_factory=WalkConfig)
    """Walks from every node."""
    skipgram: SkipGramConfig = field(default_factory=SkipGramConfig)
    """Hyper-parameters of skip-gram over the walks."""
    gamma: Mapping[str, float] = field(default_factory=dict)
    """Transition weight of each relation, by its name; 1 where a relation is not named."""


class Node2Vec(WalkModel):
    """Nodes that walks meet together, as near vectors."""

    @classmethod
    def fit_edges(
        cls,
        edges: Edges,
        config: Node2VecConfig,
        *,
        rng: np.random.Generator,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> NodeVectors:
        """A vector for every node of `edges`; the same state of `rng` gives the same ones where `workers` is 1.

        Raises: InvalidInput, ValueError for a gamma that does not fit; FitError if the weights are not finite.
        """
        graph = edges.graph(config.gamma)
        return fit_walks(
            Walks(graph, config.walks, seed=draw_seed(rng), threads=workers),
            edges.ids,
            config.skipgram,
            rng=rng,
            workers=workers,
            progress=progress,
        )


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for walks."""
    return int(rng.integers(2**63))


def fit_walks(
    walks: Walks,
    ids: list[str],
    config: SkipGramConfig,
    *,
    rng: np.random.Generator,
    workers: int,
    progress: Progress | None,
) -> NodeVectors:
    """Skip-gram over the walks: a vector for every node on one of them."""
    corpus = WalkCorpus(walks, progress)
    began = time.perf_counter()
    model = train_walks(corpus, config, seed=int(rng.integers(2**31)), workers=workers)
    matrix = numbered(model, model.wv.vectors, len(ids))
    return collected(corpus, walks.graph, ids, matrix, corpus.counts > 0, time.perf_counter() - began)


def collected(
    corpus: WalkCorpus, graph: WalkGraph, ids: list[str], matrix: Array, known: Array, train_s: float
) -> NodeVectors:
    """The rows of `matrix` (N, D) that are `known` (N,), with what they were learned from."""
    kept = np.flatnonzero(known)
    return NodeVectors(
        [ids[i] for i in kept],
        matrix[kept],
        corpus.counts[kept],
        graph.edges,
        len(corpus.walks),
        corpus.tokens,
        corpus.walk_s,
        train_s,
    )
