"""One way to train every graph network, and what LightGCN and its kin share: a table of vectors, a loss of triples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from embeddings.gnn.propagation import Propagation, bipartite, normalised, pool, pull
from embeddings.training.fit import FitConfig, History, Progress, Trainable, fit
from embeddings.training.interactions import Interactions
from embeddings.training.losses import (
    bpr_backward,
    bpr_forward,
    bpr_rows,
    info_nce,
    l2_backward,
    l2_forward,
    l2_rows,
)
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

Validate = Callable[[Array, Array], float]
"""How good listener vectors (U, D) and song vectors (S, D) are; higher is better."""


@dataclass(frozen=True)
class GraphModelConfig:
    """Hyper-parameters of every model here.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 64
    """Numbers of a vector, 1 or more."""
    layers: int = 2
    """Hops of propagation, 1 or more."""
    decay: float = 1e-4
    """Weight of the L2 term on layer 0, 0 or more."""
    batch_size: int = 2048
    """Pairs of a listener and a liked song in a batch, 1 or more."""
    spread: float = 0.1
    """Standard deviation of the first vectors, above 0."""
    training: FitConfig = field(default_factory=FitConfig)
    """Epochs, learning rate and early stopping."""

    def __post_init__(self) -> None:
        check_positive(self, "embedding_dim", "layers", "batch_size", "spread")
        if self.decay < 0:
            raise ValueError(f"decay must be 0 or more (got {self.decay})")


class SnapshotModel(Trainable):
    """A network that gives the listeners and the songs of a snapshot their vectors, and one way to train it."""

    config: Any

    @classmethod
    def build(cls, snapshot: Snapshot, config: Any, *, rng: np.random.Generator, device: str = "cpu") -> Self:
        """The untrained network for a snapshot; training goes on on `device`.

        Raises: FitError if there is nothing to learn from.
        """
        raise NotImplementedError

    def vectors(self) -> tuple[Array, Array]:
        """Listeners (U, D) and songs (S, D) as they are now, float32."""
        raise NotImplementedError

    @classmethod
    def fit(
        cls,
        snapshot: Snapshot,
        config: Any,
        *,
        rng: np.random.Generator,
        previous: ModelVectors | None = None,  # noqa: ARG003  it is trained anew
        validate: Validate | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> ModelVectors:
        """Build, `learn`, and the vectors of all listeners and songs; the same state of `rng` gives the same ones,
        interrupted or not.

        Raises: FitError if there is nothing to learn from, or a weight is not finite; InvalidInput for a checkpoint of
        another training.
        """
        model = cls.build(snapshot, config, rng=rng, device=device)
        history = model.learn(
            rng=rng, validate=validate, progress=progress, checkpoint=checkpoint, device=device, threads=threads
        )
        meta = {"config": asdict(config), "epochs": len(history.losses), "best_epoch": history.best_epoch}
        meta |= {"best": history.best} if history.evaluations else {}
        return ModelVectors.of_pairs(snapshot, *model.vectors(), meta)

    def learn(
        self,
        *,
        rng: np.random.Generator,
        validate: Validate | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> History:
        """Train in place (see `embeddings.training.fit.fit`); `validate` chooses the epoch, without it all are trained.

        Raises: FitError if a weight is not finite; InvalidInput for a checkpoint of another training.
        """
        return fit(
            self,
            self.config.training,
            rng=rng,
            validate=None if validate is None else lambda: validate(*self.vectors()),
            progress=progress,
            checkpoint=checkpoint,
            device=device,
            threads=threads,
        )

    def settings(self) -> str:
        return repr(replace(self.config, training=FitConfig()))


class GraphModel(SnapshotModel):
    """Vectors of N nodes, the U listeners first, then the S songs, then whatever else the graph holds.

    A model says in `forward` how the table becomes the vectors that are scored; its graph is that of listeners and the
    songs they like, normalised as LightGCN does, and its loss BPR with L2 on layer 0, unless it says otherwise.
    """

    config: GraphModelConfig

    def __init__(
        self, interactions: Interactions, config: GraphModelConfig, *, rng: np.random.Generator, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.interactions, self.config = interactions, config
        self.propagation = Propagation(self.adjacency(), device)
        shape = (self.propagation.nodes, config.embedding_dim)
        first = rng.standard_normal(shape, dtype=np.float32) * np.float32(config.spread)
        self.table = nn.Parameter(torch.from_numpy(first))

    @classmethod
    def build(cls, snapshot: Snapshot, config: Any, *, rng: np.random.Generator, device: str = "cpu") -> Self:
        return cls(Interactions.of(snapshot), config, rng=rng, device=device)

    def adjacency(self) -> sparse.csr_array:
        """(N, N) float32 by which vectors are propagated."""
        return normalised(bipartite(self.interactions.matrix()))

    def forward(self) -> Tensor:
        """(N, D) the vectors whose dot products are scores."""
        raise NotImplementedError

    def batches(self, rng: np.random.Generator) -> Iterator[Tensor]:
        for triples in self.interactions.triples(self.config.batch_size, rng):
            yield torch.from_numpy(triples).to(self.table.device)

    def loss(self, batch: Tensor) -> Tensor:
        return bpr_rows(self(), batch) + self.config.decay * l2_rows(self.table, batch, batch.shape[1])

    def data(self) -> Iterator[tuple[str, Array]]:
        yield "indptr", self.interactions.indptr
        yield "indices", self.interactions.indices

    def vectors(self) -> tuple[Array, Array]:
        with torch.no_grad():
            nodes = self().cpu().numpy().astype(np.float32)
        first, last = self.interactions.listeners, self.interactions.listeners + self.interactions.songs
        return nodes[:first], nodes[first:last]


def pooled_loss(
    table: Tensor, propagation: Propagation, weights: Sequence[float], unit: bool, triples: Tensor, decay: float
) -> Tensor:
    """`bpr_rows` of `propagation.pooled(table, …)` plus decay x `l2_rows` of the table, with one gradient by hand.

    Shapes: table (N, D), triples (3, B) -> (). It is what the two would give, without the passes over all nodes that
    lie between them.
    """
    if table.device.type != "cpu":
        scored = propagation.pooled(table, weights, unit=unit)
        return bpr_rows(scored, triples) + decay * l2_rows(table, triples, triples.shape[1])
    loss: Tensor = _PooledLoss.apply(table, propagation, tuple(weights), unit, triples, decay)
    return loss


class _PooledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        propagation: Propagation,
        weights: tuple[float, ...],
        unit: bool,
        triples: Tensor,
        decay: float,
    ) -> Tensor:
        slopes, nodes = table.new_empty(triples.shape[1]), table.detach().numpy()
        ctx.propagation, ctx.weights, ctx.decay = propagation, weights, decay / triples.shape[1]
        ctx.scored, ctx.layers = pool(propagation, nodes, weights, unit)
        ctx.save_for_backward(table, triples, slopes)
        loss = bpr_forward(ctx.scored, triples.numpy(), slopes.numpy())
        return table.new_tensor(loss + l2_forward(nodes, triples.numpy(), ctx.decay))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        table, triples, slopes = ctx.saved_tensors
        by_scored = np.zeros_like(ctx.scored)
        bpr_backward(ctx.scored, triples.numpy(), (slopes * gradient).numpy(), by_scored)
        by_table = pull(ctx.propagation, by_scored, ctx.weights, ctx.layers)
        l2_backward(table.detach().numpy(), triples.numpy(), (gradient * ctx.decay).numpy()[()], by_table)
        return torch.from_numpy(by_table), None, None, None, None, None


def contrast(first: Tensor, second: Tensor, triples: Tensor, temperature: float) -> Tensor:
    """`info_nce` between two views of a batch's listeners, and of its positive songs, each taken once; their sum.

    Shapes: first and second (N, D), triples (3, B) as `Interactions.triples` gives them -> (). Units: nats.
    """
    listeners, songs = torch.unique(triples[0]), torch.unique(triples[1])
    views = [info_nce(first[rows], second[rows], temperature) for rows in (listeners, songs)]
    return views[0] + views[1]
