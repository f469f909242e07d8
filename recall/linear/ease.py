"""EASE in closed form: each song as a ridge regression on all others, exact and sparse.

With X (rows, songs) and P = (X'X + ridge)^-1 the weights are B_ij = -P_ij / P_jj, the diagonal 0: of all songs but
itself, which linear sum says best who likes the song.

`exact` inverts the smaller side of X, whichever it is: songs x songs, or by Woodbury's identity rows x rows.
`sparse_form` is for catalogues whose inverse fits nowhere: the regression of a song sees only the songs that are most
alike to it. Where it sees all of them, both give the same weights.

Source: Steck 2019, Embarrassingly shallow autoencoders, arXiv 1905.03375; the sparse form after fsSLIM in Ning and
Karypis 2011, SLIM; side rows after Jeunen et al. 2020, Closed-form models for collaborative filtering with
side-information.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from graph.errors import FitError
from graph.snapshot.arrays import Array
from recall.linear.matrices import blocks, nearest

LONGEST = 1000
"""Songs of one row that the sparse form reads, the strongest: a row of n songs makes n^2 pairs."""


def exact(rows: sparse.csr_array, ridge: float) -> Callable[[slice], Array]:
    """Blocks of the weights B (B, songs) of a sparse (rows, songs) matrix, the diagonal 0.

    Holds one square of the smaller side, float32. Raises: FitError if the Gram matrix is not positive definite.
    """
    if rows.shape[0] < rows.shape[1]:
        return _by_rows(rows, ridge)
    square = _inverse((rows.T @ rows).toarray(), ridge)
    diagonal = square.diagonal().copy()
    return lambda block: _without_diagonal(-square[block] / diagonal, block)


def _by_rows(rows: sparse.csr_array, ridge: float) -> Callable[[slice], Array]:
    """P = (1 - X'CX) / ridge with C = (XX' + ridge)^-1, of which the rows are made when they are asked for."""
    inner, by_song = _inverse((rows @ rows.T).toarray(), ridge), sparse.csr_array(rows.T)
    diagonal = np.empty(rows.shape[1], dtype=np.float32)
    for block in blocks(rows.shape[1]):
        explained = by_song[block].multiply(by_song[block] @ inner).sum(axis=1)
        diagonal[block] = 1 - np.asarray(explained).ravel()
    return lambda block: _without_diagonal(np.asarray(by_song[block] @ inner @ rows) / diagonal, block)


def _without_diagonal(block: Array, rows: slice) -> Array:
    block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = 0
    return block


def _inverse(gram: Array, ridge: float) -> Array:
    """(gram + ridge)^-1, in place of `gram`."""
    gram = np.asfortranarray(gram, dtype=np.float32)
    gram[np.diag_indices_from(gram)] += ridge
    factor, wrong = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if not wrong:
        factor, wrong = lapack.spotri(factor, lower=1, overwrite_c=1)
    if wrong:
        raise FitError(f"ease: the Gram matrix is not positive definite with a ridge of {ridge:g}; raise it")
    for block in blocks(len(factor)):  # its upper half, a strip at a time
        square = np.tril(factor[block, block])
        factor[block, block] = square + np.tril(square, -1).T
        factor[block, block.stop :] = factor[block.stop :, block].T
    return np.asarray(factor)


def sparse_form(rows: sparse.csr_array, ridge: float, seen: int) -> sparse.csr_array:
    """B, sparse (songs, songs): the regression of a song on the `seen` songs that are most alike to it by cosine.

    Likeness between two of them counts only where one is among the most alike of the other. Costs seen^3 / 3 a song;
    the Gram matrix is made a block at a time, and `seen` of each of its rows are kept.
    Raises: FitError if a weight is not finite.
    """
    from recall.linear.sparse_ease import regressions

    rows = _strongest(rows, LONGEST)
    by_song = sparse.csr_array(rows.T)
    squares = np.asarray(rows.multiply(rows).sum(axis=0)).ravel().astype(np.float32)
    lengths = 1 / np.sqrt(np.maximum(squares, 1e-12))

    def likeness(block: slice) -> sparse.csr_array:
        common = sparse.csr_array(by_song[block] @ rows)
        return sparse.csr_array(sparse.diags_array(lengths[block]) @ common @ sparse.diags_array(lengths))

    near = nearest(rows.shape[1], seen, likeness)
    # from cosines back to products
    products = near.weights / lengths[:, None] / lengths[np.maximum(near.songs, 0)]
    weights = regressions(near.songs, products, squares, ridge)
    if not np.isfinite(weights).all():
        raise FitError("ease: a weight of the sparse form is not finite; raise the ridge")
    known = near.songs >= 0
    target = np.repeat(np.arange(len(near.songs)), known.sum(axis=1))
    return sparse.csr_array((weights[known], (near.songs[known], target)), shape=(rows.shape[1],) * 2)


def _strongest(rows: sparse.csr_array, most: int) -> sparse.csr_array:
    """The `most` highest weights of each row."""
    sizes = np.diff(rows.indptr)
    if not len(sizes) or sizes.max() <= most:
        return rows
    of = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rows.indices, -rows.data, of))
    kept = np.sort(order[np.arange(len(order)) - rows.indptr[of] < most])
    return sparse.csr_array((rows.data[kept], (of[kept], rows.indices[kept])), shape=rows.shape)
