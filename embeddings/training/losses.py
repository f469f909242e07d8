"""Losses of ranking and of contrast. Each is a mean over its pairs: repeating the batch leaves it unchanged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn import functional

from graph.snapshot.arrays import Array


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking loss: -ln sigmoid(positive - negative).

    Shapes: B pairs; positive (B,), negative (B,) -> (). Units: nats per pair.
    Raises: ValueError if the shapes differ.
    Source: Rendle et al. 2009, arXiv 1205.2618.
    """
    if positive.shape != negative.shape:
        raise ValueError(f"expected scores of one shape (got {tuple(positive.shape)} and {tuple(negative.shape)})")
    return functional.softplus(negative - positive).mean()


def bpr_rows(vectors: Tensor, triples: Tensor) -> Tensor:
    """`bpr` of the scores of rows: -ln sigmoid(v_u . v_i - v_u . v_j), the gradient written by hand.

    Shapes: vectors (N, D); triples (3, B) int64, rows u of listeners, i of positives and j of negatives -> ().
    Units: nats per triple.
    """
    if vectors.device.type != "cpu":
        listener, positive, negative = (vectors[rows] for rows in triples)
        return bpr((listener * positive).sum(1), (listener * negative).sum(1))
    loss: Tensor = _BprRows.apply(vectors, triples)
    return loss


def l2_rows(table: Tensor, rows: Tensor, pairs: int) -> Tensor:
    """Half the squared lengths of the rows that a batch uses, a row as often as it is used, over the number of pairs.

    Shapes: table (N, D); rows (M, B) int64; -> (). Units: squared units of the table per pair.
    Source: He et al. 2020, arXiv 2002.02126 (LightGCN regularises its layer 0 so).
    """
    if table.device.type != "cpu":
        return table[rows.flatten()].square().sum() / (2 * pairs)
    loss: Tensor = _L2Rows.apply(table, rows, pairs)
    return loss


def info_nce(anchor: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """Contrast within a batch: -ln of the softmax over all positives of cos(anchor, own positive) / temperature.

    Shapes: B pairs; anchor (B, D), positive (B, D) -> (). Units: nats per pair; ln B where all pairs are alike. A pair
    that stands in the batch twice is its own negative: give each once.
    Raises: ValueError if the shapes differ, or the temperature is not above 0.
    Source: van den Oord et al. 2018, arXiv 1807.03748; with cosines as in SimGCL, arXiv 2112.08679.
    """
    if anchor.shape != positive.shape:
        raise ValueError(f"expected vectors of one shape (got {tuple(anchor.shape)} and {tuple(positive.shape)})")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0 (got {temperature})")
    scores = functional.normalize(anchor, dim=1) @ functional.normalize(positive, dim=1).T / temperature  # (B, B)
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def sampled_softmax(positive: Tensor, negatives: Tensor, log_chance: Tensor | None = None) -> Tensor:
    """-ln of the softmax over a positive and its K sampled negatives.

    Shapes: positive (B,), negatives (B, K), log_chance (B, K) or (K,), the natural logarithm of the chance with which a
    draw gives that negative -> (). Taken off the scores, it makes the sampled loss lean to the full one.
    Units: nats per positive. A negative that is drawn twice counts twice.
    Raises: ValueError if the numbers of rows differ.
    Source: Bengio and Senécal 2008; Jean et al. 2015, arXiv 1412.2007.
    """
    if len(positive) != len(negatives):
        raise ValueError(f"expected negatives for each positive (got {len(negatives)} rows for {len(positive)})")
    if log_chance is not None:
        # K draws of chance q stand for 1 / (K q) items each
        negatives = negatives - log_chance - math.log(negatives.shape[1])
    scores = torch.cat([positive[:, None], negatives], dim=1)  # (B, 1 + K)
    return (torch.logsumexp(scores, dim=1) - positive).mean()


def perturbed(vectors: Tensor, size: float) -> Tensor:
    """Vectors (N, D) with noise of the Euclidean length `size` that stays in each vector's own orthant.

    Drawn from torch's generator. A component that is 0 gets none.
    Source: SimGCL, Yu et al. 2022, arXiv 2112.08679.
    """
    noise = functional.normalize(torch.rand_like(vectors), dim=1)
    return vectors + size * noise * torch.sign(vectors)


class _BprRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, triples: Tensor) -> Tensor:
        slopes = vectors.new_empty(triples.shape[1])
        ctx.save_for_backward(vectors, triples, slopes)
        return vectors.new_tensor(bpr_forward(vectors.detach().numpy(), triples.numpy(), slopes.numpy()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        vectors, triples, slopes = ctx.saved_tensors
        out = torch.zeros_like(vectors)
        bpr_backward(vectors.detach().numpy(), triples.numpy(), (slopes * gradient).numpy(), out.numpy())
        return out, None


class _L2Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, pairs: int) -> Tensor:
        ctx.save_for_backward(table, rows)
        ctx.pairs = pairs
        return table.new_tensor(l2_forward(table.detach().numpy(), rows.numpy(), 1 / pairs))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        table, rows = ctx.saved_tensors
        out = torch.zeros_like(table)
        l2_backward(table.detach().numpy(), rows.numpy(), (gradient / ctx.pairs).numpy()[()], out.numpy())
        return out, None, None


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[untyped-decorator]
def bpr_forward(vectors: Array, triples: Array, slopes: Array) -> Any:
    """The value of `bpr_rows`, and in slopes (B,) its derivative by each difference of scores."""
    batch, total = triples.shape[1], 0.0
    for b in range(batch):
        u, i, j = triples[0, b], triples[1, b], triples[2, b]
        margin = vectors.dtype.type(0)
        for d in range(vectors.shape[1]):
            margin += vectors[u, d] * (vectors[i, d] - vectors[j, d])
        total += max(-margin, 0.0) + np.log1p(np.exp(-abs(margin)))
        slopes[b] = -1 / (1 + np.exp(margin)) / batch
    return total / batch


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
def bpr_backward(vectors: Array, triples: Array, slopes: Array, out: Array) -> None:
    """Add to out (N, D) the gradient of `bpr_rows` by the vectors."""
    for b in range(triples.shape[1]):
        u, i, j, slope = triples[0, b], triples[1, b], triples[2, b], slopes[b]
        for d in range(vectors.shape[1]):
            out[u, d] += slope * (vectors[i, d] - vectors[j, d])
            out[i, d] += slope * vectors[u, d]
            out[j, d] -= slope * vectors[u, d]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[untyped-decorator]
def l2_forward(table: Array, rows: Array, weight: float) -> Any:
    """Half the squared lengths of the rows (M, B), times `weight`."""
    total = 0.0
    for row in rows.flat:
        square = table.dtype.type(0)
        for d in range(table.shape[1]):
            square += table[row, d] * table[row, d]
        total += square
    return total * weight / 2


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})  # type: ignore[untyped-decorator]
def l2_backward(table: Array, rows: Array, weight: Any, out: Array) -> None:
    """Add to out (N, D) the gradient of `l2_forward`."""
    for row in rows.flat:
        for d in range(table.shape[1]):
            out[row, d] += weight * table[row, d]
