"""EGES: nodes with side information, each kind of it weighed by an attention of the node's own.

    H_v = sum over s of exp(a_v,s) x W_s(v) / sum over s of exp(a_v,s)

where W_0(v) is the node's own vector and W_s(v) the weighted mean of the vectors of what relation s leads to from v;
kinds that v lacks are left out of both sums. H is trained by skip-gram with negative sampling over random walks on the
edges of the base relation, so a node that no walk meets is described by its side information alone: the mean of W_s.

Source: Wang et al. 2018, Billion-scale Commodity Embedding for E-commerce Recommendation in Alibaba, arXiv 1803.02349.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from embeddings.skipgram.corpus import Progress, WalkCorpus
from embeddings.skipgram.edges import Edges
from embeddings.skipgram.node2vec import collected, draw_seed
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.walk_model import WalkModel
from embeddings.skipgram.walks import WalkConfig, Walks
from embeddings.vectors.node_vectors import NodeVectors
from graph.errors import FitError
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation

_NEGATIVES: Final = 512
"""Negatives that all pairs of a batch share, which is a matrix product and not a row of a table for each."""


@dataclass(frozen=True)
class EGESConfig:
    """Hyper-parameters of EGES."""

    walks: WalkConfig = field(default_factory=WalkConfig)
    """Random walks on the edges of the base relation."""
    skipgram: SkipGramConfig = field(default_factory=lambda: SkipGramConfig(epochs=1, learning_rate=0.01))
    """Skip-gram's hyper-parameters. `learning_rate` is Adam's; `sample` has no part in it."""
    base: str | None = None
    """Relation whose edges are walked; None for the edges without a relation."""
    without: tuple[str, ...] = ()
    """Relations that are no side information."""
    batch: int = 8192
    """Pairs of a node and a neighbouring one in a batch, 1 or more."""


class EGES(WalkModel):
    """Nodes, and what describes them, as vectors."""

    @classmethod
    def fit_edges(
        cls,
        edges: Edges,
        config: EGESConfig,
        *,
        rng: np.random.Generator,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> NodeVectors:
        """A vector for every node on a walk, every node described, and all that describes one.

        Raises: InvalidInput for an unknown relation or a base without edges; FitError if the weights are not finite.
        """
        for name in config.without:
            edges.code(name)
        graph = edges.base_graph(config.base)
        side = {n: r for n, r in edges.side(config.base).items() if n not in config.without}
        starts = np.flatnonzero(graph.degrees + np.bincount(graph.indices, minlength=graph.nodes))
        corpus = WalkCorpus(Walks(graph, config.walks, seed=draw_seed(rng), starts=starts, threads=workers), progress)
        began, threads = time.perf_counter(), torch.get_num_threads()
        torch.set_num_threads(workers)
        try:
            matrix, known = _train(corpus, side, config, rng, progress)
        finally:
            torch.set_num_threads(threads)
        found = collected(corpus, graph, edges.ids, matrix, known, time.perf_counter() - began)
        return replace(found, edges=graph.edges + sum(map(len, side.values())))


class AttributeAggregation(nn.Module):
    """H of the module's docstring: N nodes, S kinds of side information, vectors of D numbers.

    One table holds a vector for whatever describes a node by one kind; what does so by two kinds has two.
    """

    def __init__(self, side: Mapping[str, Relation], nodes: int, walked: Array, dim: int, generator: torch.Generator):
        super().__init__()
        self.named = [np.unique(relation.indices) for relation in side.values()]  # by each kind, ascending
        self.firsts = np.cumsum([0, *map(len, self.named)])[:-1]
        # row s N + v: what describes v by kind s, its shares summing to 1
        parts = [r.shares.astype(np.float32)[:, used] for r, used in zip(side.values(), self.named, strict=True)]
        self.shares = sparse.csr_array(sparse.block_diag(parts, format="csr")) if parts else None
        self.own = nn.Embedding(nodes, dim, sparse=True)
        self.described = nn.EmbeddingBag(max(1, sum(map(len, self.named))), dim, mode="sum", sparse=True)
        self.attention = nn.Embedding(nodes, 1 + len(side), sparse=True)
        with torch.no_grad():
            for table in (self.own, self.described):
                table.weight.uniform_(-0.5 / dim, 0.5 / dim, generator=generator)
            self.attention.weight.zero_()
        has = np.stack([walked, *(np.diff(relation.indptr) > 0 for relation in side.values())], axis=1)
        self.has: Tensor
        self.register_buffer("has", torch.from_numpy(has))  # (N, 1 + S)

    def forward(self, nodes: Tensor) -> Tensor:
        """(B,) nodes that have at least one kind -> (B, D)."""
        parts = self.own(nodes)[None]
        if self.shares is not None:
            kinds = np.arange(len(self.named))[:, None] * len(self.has)
            rows = self.shares[(kinds + nodes.numpy()).ravel()]
            indices, offsets = (torch.from_numpy(a.astype(np.int64)) for a in (rows.indices, rows.indptr[:-1]))
            sums = self.described(indices, offsets, per_sample_weights=torch.from_numpy(rows.data))
            parts = torch.cat([parts, sums.view(len(kinds), len(nodes), -1)])
        scores = self.attention(nodes).masked_fill(~self.has[nodes], -torch.inf)
        weights = torch.softmax(scores, dim=1)  # (B, 1 + S)
        return torch.einsum("bs,sbd->bd", weights, parts)


def skipgram_loss(centre: Tensor, context: Tensor, negatives: Tensor, each: float) -> Tensor:
    """Skip-gram with negative sampling, as if every pair had `each` negatives: all K stand for them.

    Shapes: B pairs, K negatives: centre (B, D), context (B, D), negatives (K, D) -> ().
    Units: nats per pair; repeating the batch leaves it unchanged.
    """
    good = nn.functional.logsigmoid((centre * context).sum(dim=1))
    bad = each * nn.functional.logsigmoid(-centre @ negatives.T).mean(dim=1)
    return -(good + bad).mean()


def _train(
    corpus: WalkCorpus,
    side: Mapping[str, Relation],
    config: EGESConfig,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[Array, Array]:
    """Vectors (N, D) and which of them are known (N,)."""
    nodes, settings = len(corpus.counts), config.skipgram
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    model = AttributeAggregation(side, nodes, corpus.counts > 0, settings.embedding_dim, generator)
    contexts = nn.Embedding(nodes, settings.embedding_dim, sparse=True)
    nn.init.zeros_(contexts.weight)
    optimizer = torch.optim.SparseAdam([*model.parameters(), *contexts.parameters()], lr=settings.learning_rate)
    ends = np.cumsum(corpus.counts.astype(np.float64) ** settings.ns_exponent)
    done, total = 0, settings.epochs * corpus.tokens
    for _ in range(settings.epochs):
        for block in corpus.blocks():
            for centres, others in _batches(block, settings.window, config.batch, rng):
                drawn = np.searchsorted(ends, rng.random(_NEGATIVES) * ends[-1], side="right")
                unique, place = torch.unique(torch.from_numpy(centres), return_inverse=True)
                both = contexts(torch.from_numpy(np.concatenate([others, drawn])))
                context, negatives = both[: len(others)], both[len(others) :]
                loss = skipgram_loss(model(unique)[place], context, negatives, settings.negative)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()  # type: ignore[no-untyped-call]
            done += int((block >= 0).sum())
            if progress is not None:
                progress("eges", done, total)
    return _vectors(model)


def _batches(block: Array, window: int, size: int, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """(centre, context) pairs of walks (B, L) in random order, with word2vec's window of random width per centre."""
    step = max(1, size // max(1, block.shape[1] * window))
    for at in range(0, len(block), step):
        walks = block[at : at + step]
        width = rng.integers(1, window + 1, size=walks.shape)
        centres, others = [], []
        for gap in range(1, min(window, walks.shape[1] - 1) + 1):
            left, right = walks[:, :-gap], walks[:, gap:]
            for centre, other, wide in ((left, right, width[:, :-gap]), (right, left, width[:, gap:])):
                # the end of a walk is padding, so `right` alone says whether both are there
                used = (right >= 0) & (wide >= gap)
                centres.append(centre[used])
                others.append(other[used])
        if not centres or not sum(map(len, centres)):
            continue
        order = rng.permutation(sum(map(len, centres)))
        yield np.concatenate(centres)[order].astype(np.int64), np.concatenate(others)[order].astype(np.int64)


def _vectors(model: AttributeAggregation) -> tuple[Array, Array]:
    """H of every node that has a kind of vector; else the mean of the node's vectors as a description."""
    with torch.no_grad():
        described = model.has.any(dim=1)
        matrix = np.zeros((len(described), model.own.embedding_dim), dtype=np.float32)
        nodes = torch.nonzero(described)[:, 0]
        for part in torch.split(nodes, 65_536):
            matrix[part.numpy()] = model(part).numpy()
        describes = np.zeros(len(matrix))
        for first, named in zip(model.firsts, model.named, strict=True):
            alone = ~described.numpy()[named]
            matrix[named[alone]] += model.described.weight.numpy()[first : first + len(named)][alone]
            describes[named[alone]] += 1
        matrix /= np.maximum(describes, 1)[:, None].astype(np.float32)
    if not np.isfinite(matrix).all():
        raise FitError("eges ended with weights that are not finite: lower the learning rate")
    return matrix, described.numpy() | (describes > 0)
