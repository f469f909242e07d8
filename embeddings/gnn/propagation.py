"""Propagation over a whole graph: products of a sparse matrix with the vectors of all its nodes.

Every node's neighbours lie side by side in a CSR, so a row of the product is summed where it stays in the cache and
written once; scattering messages along an edge list would write and read a vector for every edge. The gradient is the
product with the transpose. On the CPU it runs in a compiled loop over rows, which gives the same numbers for any number
of threads; elsewhere as torch's sparse product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numba import njit, prange
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from embeddings.training.losses import perturbed
from graph.snapshot.arrays import Array

# sums may be reordered and fused, but NaN and infinity stay what they are: `fit` looks for them
_FAST = {"contract", "reassoc", "nsz", "arcp"}
# less than this is done before a second thread has begun
_WORTH_THREADS = 1 << 20


def bipartite(matrix: sparse.csr_array) -> sparse.csr_array:
    """The symmetric adjacency (U + S, U + S) of a graph whose edges are the entries of `matrix` (U, S)."""
    return sparse.csr_array(sparse.block_array([[None, matrix], [matrix.T, None]], format="csr"))


def normalised(adjacency: sparse.csr_array, alpha: float = 0.5, beta: float = 0.5) -> sparse.csr_array:
    """(N, N) float32 with entry (i, j) = a_ij / (d_i^alpha d_j^beta), d_i the sum of row i and d_j that of column j.

    alpha = beta = 1/2 is LightGCN's symmetric normalisation, alpha = 1 with beta = 0 the mean over neighbours. Rows and
    columns without an entry stay empty.

    Raises: ValueError for a weight that is not above 0, or not finite.
    """
    if len(adjacency.data) and not (adjacency.data.min() > 0 and np.isfinite(adjacency.data).all()):
        raise ValueError(f"weights must be above 0 and finite (got {adjacency.data.min()})")
    rows = np.repeat(np.asarray(adjacency.sum(axis=1), dtype=np.float64), np.diff(adjacency.indptr))
    columns = np.asarray(adjacency.sum(axis=0), dtype=np.float64)[adjacency.indices]
    data = adjacency.data * rows**-alpha * columns**-beta
    return sparse.csr_array((data.astype(np.float32), adjacency.indices, adjacency.indptr), shape=adjacency.shape)


class Propagation:
    """One square matrix A (N, N), float32, ready to be multiplied with node vectors on a device."""

    def __init__(self, matrix: sparse.csr_array, device: str = "cpu") -> None:
        """Raises: ValueError if the matrix is not square."""
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"the matrix must be square (got {matrix.shape[0]} x {matrix.shape[1]})")
        self.nodes = int(matrix.shape[0])
        matrix, transpose = (_in_order(m) for m in (matrix, sparse.csr_array(matrix.T)))
        same = all(np.array_equal(getattr(matrix, n), getattr(transpose, n)) for n in ("indptr", "indices", "data"))
        self.rows = Rows(matrix, torch.device(device))
        self.columns = self.rows if same else Rows(transpose, torch.device(device))

    def __call__(self, x: Tensor) -> Tensor:
        """A x, for x (N, D)."""
        product: Tensor = _Product.apply(x, self)
        return product

    def pooled(self, x: Tensor, weights: Sequence[float], *, unit: bool = False) -> Tensor:
        """weights[0] x_0 + weights[1] x_1 + …, for x_0 = x (N, D) and x_(l+1) = A x_l; `unit`: A (x_l / |x_l|).

        A row of zeros stays one when it is brought to length 1, and has no gradient through that.
        """
        if x.device.type != "cpu":
            return self._pooled_elsewhere(x, weights, unit)
        pooled: Tensor = _Pooled.apply(x, self, tuple(weights), unit)
        return pooled

    def layers(self, x: Tensor, count: int, noise: float = 0.0) -> list[Tensor]:
        """[A x, A^2 x, …] for x (N, D), `count` of them, every one `perturbed` by `noise` before it is passed on."""
        found: list[Tensor] = []
        for _ in range(count):
            x = self(x)
            if noise:
                x = perturbed(x, noise)
            found.append(x)
        return found

    def _pooled_elsewhere(self, x: Tensor, weights: Sequence[float], unit: bool) -> Tensor:
        total = weights[0] * x
        for weight in weights[1:]:
            x = self(functional.normalize(x, dim=1) if unit else x)
            total = total + weight * x
        return total


class Rows:
    """The rows of a sparse matrix A on a device."""

    def __init__(self, matrix: sparse.csr_array, device: torch.device) -> None:
        self.indptr, self.indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
        self.data = matrix.data.astype(np.float32)
        self.elsewhere: Tensor | None = None
        if device.type != "cpu":
            indptr, indices = torch.from_numpy(self.indptr), torch.from_numpy(self.indices.astype(np.int64))
            whole = torch.sparse_csr_tensor(indptr, indices, torch.from_numpy(self.data), matrix.shape)
            self.elsewhere = whole.to(device)

    def times(self, x: Tensor) -> Tensor:
        """A x."""
        if self.elsewhere is not None:
            return self.elsewhere @ x
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        self.add_times(x.contiguous().numpy(), 1, x.numpy(), 0, out.numpy())
        return out

    def add_times(self, x: Array, scale: float, base: Array, weight: float, out: Array) -> None:
        """out = scale A x + weight base, on the CPU; `out` is neither of the two."""
        use_threads_of_torch(len(self.data) * x.shape[1])
        factors = x.dtype.type(scale), x.dtype.type(weight)
        _multiply(self.indptr, self.indices, self.data, x, factors[0], base, factors[1], out)


def pool(propagation: Propagation, x: Array, weights: Sequence[float], unit: bool) -> tuple[Array, list[Array]]:
    """The value of `Propagation.pooled` on the CPU, and the layers with which `pull` finds its gradient."""
    if unit:
        return _pool_unit(propagation.rows, x, weights)
    # Horner: w0 x + A (w1 x + A (w2 x)): one product a layer, and no layer is kept
    return _horner(propagation.rows, x, weights), []


def pull(propagation: Propagation, gradient: Array, weights: Sequence[float], layers: list[Array]) -> Array:
    """(N, D) the gradient by x of a loss whose `gradient` by the value of `pool` is given, with its `layers`."""
    if not layers:
        return _horner(propagation.columns, gradient, weights)
    columns, scale, passed = propagation.columns, weights[-1], gradient
    use_threads_of_torch(len(columns.data) * gradient.shape[1])
    for layer, weight in zip(reversed(layers), reversed(weights[:-1]), strict=True):
        out, kind = np.empty_like(gradient), gradient.dtype.type
        _pull_unit(
            columns.indptr, columns.indices, columns.data, passed, kind(scale), layer, gradient, kind(weight), out
        )
        passed, scale = out, 1.0
    return passed


def _horner(rows: Rows, x: Array, weights: Sequence[float]) -> Array:
    pooled, scale = x, weights[-1]
    for weight in reversed(weights[:-1]):
        out = np.empty_like(x)
        rows.add_times(pooled, scale, x, weight, out)
        pooled, scale = out, 1.0
    return pooled if len(weights) > 1 else x * x.dtype.type(scale)


def _pool_unit(rows: Rows, x: Array, weights: Sequence[float]) -> tuple[Array, list[Array]]:
    layers, total = [], x * x.dtype.type(weights[0])
    use_threads_of_torch(len(rows.data) * x.shape[1])
    for weight in weights[1:]:
        layers.append(x)
        out = np.empty_like(x)
        _multiply_unit(rows.indptr, rows.indices, rows.data, x, _inverse_lengths(x), out, x.dtype.type(weight), total)
        x = out
    return total, layers


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, propagation: Propagation) -> Tensor:
        ctx.propagation = propagation
        return propagation.rows.times(x.detach())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.propagation.columns.times(gradient), None


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, propagation: Propagation, weights: tuple[float, ...], unit: bool) -> Tensor:
        ctx.save_for_backward(x)  # so that torch notices a change before the gradient is taken
        ctx.propagation, ctx.weights = propagation, weights
        value, ctx.layers = pool(propagation, x.detach().contiguous().numpy(), weights, unit)
        return torch.from_numpy(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        _ = ctx.saved_tensors
        found = pull(ctx.propagation, gradient.contiguous().numpy(), ctx.weights, ctx.layers)
        return torch.from_numpy(found), None, None, None


def _in_order(matrix: sparse.csr_array) -> sparse.csr_array:
    matrix = sparse.csr_array(matrix, copy=True)
    matrix.sum_duplicates()
    return matrix


def use_threads_of_torch(work: int) -> None:
    """Let compiled loops run on as many threads as torch does, on one where there is little `work` (numbers read)."""
    count = torch.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS) if work >= _WORTH_THREADS else 1)
    if torch.get_num_threads() != count:  # at its first start numba's pool changes OpenMP's number, which is torch's
        torch.set_num_threads(count)


@njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _multiply(
    indptr: Array, indices: Array, data: Array, x: Array, scale: Any, base: Array, weight: Any, out: Array
) -> None:
    """out = scale A x + weight base."""
    for row in prange(len(out)):
        out[row, :] = 0
        for e in range(indptr[row], indptr[row + 1]):
            factor, column = scale * data[e], indices[e]
            for d in range(x.shape[1]):
                out[row, d] += factor * x[column, d]
        if weight != 0:
            for d in range(x.shape[1]):
                out[row, d] += weight * base[row, d]


@njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _multiply_unit(
    indptr: Array, indices: Array, data: Array, x: Array, inverse: Array, out: Array, weight: Any, total: Array
) -> None:
    """out = A (x / |x|), inverse (N,) being 1 / |x|; and total += weight out."""
    for row in prange(len(out)):
        out[row, :] = 0
        for e in range(indptr[row], indptr[row + 1]):
            column = indices[e]
            factor = data[e] * inverse[column]
            for d in range(x.shape[1]):
                out[row, d] += factor * x[column, d]
        for d in range(x.shape[1]):
            total[row, d] += weight * out[row, d]


@njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _pull_unit(
    indptr: Array, indices: Array, data: Array, passed: Array, scale: Any,
    x: Array, gradient: Array, weight: Any, out: Array,
) -> None:  # fmt: skip
    """out = weight gradient + (v - (v . u) u) / |x|, where v = scale A passed and u = x / |x|."""
    for row in prange(len(out)):
        out[row, :] = 0
        for e in range(indptr[row], indptr[row + 1]):
            factor, column = scale * data[e], indices[e]
            for d in range(x.shape[1]):
                out[row, d] += factor * passed[column, d]
        square, along = x.dtype.type(0), x.dtype.type(0)
        for d in range(x.shape[1]):
            square += x[row, d] * x[row, d]
            along += x[row, d] * out[row, d]
        inverse = 1 / np.sqrt(square) if square > 0 else x.dtype.type(0)
        along *= inverse * inverse
        for d in range(x.shape[1]):
            out[row, d] = weight * gradient[row, d] + (out[row, d] - along * x[row, d]) * inverse


@njit(cache=True, nogil=True, parallel=True, fastmath=_FAST)  # type: ignore[untyped-decorator]
def _inverse_lengths(x: Array) -> Array:
    """(N,) 1 / |x|, 0 for rows of zeros."""
    inverse = np.zeros(len(x), dtype=x.dtype)
    for row in prange(len(x)):
        square = x.dtype.type(0)
        for d in range(x.shape[1]):
            square += x[row, d] * x[row, d]
        if square > 0:
            inverse[row] = 1 / np.sqrt(square)
    return inverse
