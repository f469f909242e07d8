"""Weighted sums over neighbourhoods: what a layer of GraphSAGE or PinSage does to the vectors around a node.

The neighbours of a node lie side by side, so a sum is kept in registers and written once; the gradient adds along the
same rows backwards. On the CPU that is a compiled loop, many times faster than torch's scatter and gather.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numba import njit
from torch import Tensor
from torch.nn import functional

from graph.snapshot.arrays import Array

_FAST = {"contract", "reassoc", "nsz"}


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of T nodes: those of node t are indices[indptr[t]:indptr[t + 1]].

    Shapes: indptr (T + 1,) int64, indices (E,) int64, shares (E,) float32, what each counts in the sum.
    """

    indptr: Tensor
    indices: Tensor
    shares: Tensor

    @classmethod
    def of(cls, row: Tensor, col: Tensor, targets: int, weight: Tensor | None = None) -> Neighbours:
        """From E edges row -> col, col (E,) ascending; each node's shares, by `weight` (E,), sum to 1."""
        degree = torch.bincount(col, minlength=targets)
        indptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        weight = torch.ones(len(row), device=row.device) if weight is None else weight.float()
        total = torch.zeros(targets, device=row.device).index_add_(0, col, weight)
        return cls(indptr, row, weight / total[col])

    def first(self, targets: int) -> Neighbours:
        """Those of the first nodes alone."""
        return Neighbours(self.indptr[: targets + 1], self.indices, self.shares)


def aggregate(x: Tensor, neighbours: Neighbours) -> Tensor:
    """(T, D): row t is the sum of its neighbours' rows of x (N, D) by their shares, 0 where it has none."""
    if x.device.type != "cpu":
        return _bags(x, neighbours)
    summed: Tensor = _Aggregate.apply(x, neighbours)
    return summed


def _bags(x: Tensor, neighbours: Neighbours) -> Tensor:
    """The same by torch, on any device."""
    indptr, end = neighbours.indptr, int(neighbours.indptr[-1])
    indices, shares = neighbours.indices[:end], neighbours.shares[:end]
    return functional.embedding_bag(indices, x, indptr, mode="sum", per_sample_weights=shares, include_last_offset=True)


class _Aggregate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbours: Neighbours) -> Tensor:
        ctx.neighbours, ctx.shape = neighbours, x.shape
        out = x.new_zeros(len(neighbours.indptr) - 1, x.shape[1])
        _gather(*_arrays(neighbours), x.detach().contiguous().numpy(), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        out = gradient.new_zeros(ctx.shape)
        _scatter(*_arrays(ctx.neighbours), gradient.contiguous().numpy(), out.numpy())
        return out, None


def _arrays(neighbours: Neighbours) -> tuple[Array, Array, Array]:
    return neighbours.indptr.numpy(), neighbours.indices.numpy(), neighbours.shares.numpy()


@njit(cache=True, nogil=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _gather(indptr: Array, indices: Array, shares: Array, x: Array, out: Array) -> None:
    for t in range(len(indptr) - 1):
        for e in range(indptr[t], indptr[t + 1]):
            for d in range(x.shape[1]):
                out[t, d] += shares[e] * x[indices[e], d]


@njit(cache=True, nogil=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _scatter(indptr: Array, indices: Array, shares: Array, gradient: Array, out: Array) -> None:
    for t in range(len(indptr) - 1):
        for e in range(indptr[t], indptr[t + 1]):
            for d in range(gradient.shape[1]):
                out[indices[e], d] += shares[e] * gradient[t, d]
