"""A ridge regression on how alike two listeners are, over every path of the graph that says so.

A path is relations joined by "/", such as FOLLOWS/LISTENED: what reaches a listener by it is a row M_p of length 1,
and two listeners are as alike as k(u, v) = sum over paths of gamma_p M_p[u] . M_p[v]. With Y what listeners like, the
scores of all songs are k(u, .) A with A = (K + ridge)^-1 Y, or with landmarks m of all listeners, A = (K_mu K_um +
ridge K_mm)^-1 K_mu Y. With `sharp` s above 0 the likeness is exp(s (cos(u, v) - 1)) of the cosine by k, so that those
who are nearest say more than the many who are a little alike.

Source: Saunders et al. 1998, Ridge regression learning algorithm in dual variables; landmarks after Smola and
Schölkopf 2000 (subset of regressors); the two-step form, `propagate`, after Pahikkala et al. 2014, doi
10.1007/978-3-662-44851-9_33; the exponential is the Gaussian kernel on rows of length 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from embeddings.vectors.attributes import song_matrices, unit_rows
from graph.errors import FitError, NothingToLearn
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.linear import matrices

LISTENED: Final = "LISTENED"
TWICE: Final = "LISTENED/LISTENED"
ATTRIBUTE_DAMPING: Final = 2.0


@dataclass(frozen=True)
class Path:
    """What reaches U listeners by one path: `rows` (U, N) of length 1 or 0, sparse; `scale` (N,) is what its columns
    were multiplied by, and `length` the mean length of its rows before they got length 1."""

    name: str
    gamma: float
    rows: sparse.csr_array
    scale: Array
    length: float


def paths(snapshot: Snapshot, gamma: Mapping[str, float], *, beta: float, by_strength: float) -> list[Path]:
    """Those of `gamma` (path -> weight) that the snapshot has; a weight of 0 leaves one out.

    Songs are damped by their degree^beta, attributes by twice the power: they have so many more listeners. On the way
    through a listener's songs the loved ones count more.
    Raises: NothingToLearn if none is left.
    """
    plain, strong = matrices.interaction_matrix(snapshot), matrices.interaction_matrix(snapshot, by_strength)
    follows = matrices.follow_shares(snapshot)
    found = []
    for name, value in gamma.items():
        if value <= 0 or name == TWICE:
            continue
        *way, last = name.split("/")
        hops = way.count(matrices.FOLLOWS)
        if follows is None and (hops or last == matrices.FOLLOWS):
            continue
        if last == matrices.FOLLOWS:
            reached = _with_loop(follows, hops)
        elif last == LISTENED:
            reached = _of_followees(unit_rows(plain), follows, hops) if hops else plain
        else:
            matrix = song_matrices(snapshot, {last: 1.0}).get(last)
            if matrix is None:
                continue
            reached = _of_followees(matrices.shares(strong), follows, hops) @ unit_rows(matrix)
        power = 0.0 if last == matrices.FOLLOWS else beta if last == LISTENED else ATTRIBUTE_DAMPING * beta
        found.append(_path(name, value, sparse.csr_array(reached), power))
    if gamma.get(TWICE, 0.0) > 0:
        found.append(_twice(strong, gamma[TWICE], beta))
    if not any(path.rows.nnz for path in found):
        raise NothingToLearn("nothing to learn from: no listener is reached by a path with a gamma")
    return found


def _path(name: str, gamma: float, reached: sparse.csr_array, beta: float) -> Path:
    rows, scale = matrices.degree_normalised(reached, beta)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    length = float(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0
    return Path(name, gamma, unit_rows(rows).astype(np.float32), scale, length)


def _twice(strong: sparse.csr_array, gamma: float, beta: float) -> Path:
    """Who is alike to the same people: the rows of the likeness by songs, without oneself."""
    rows = unit_rows(matrices.degree_normalised(strong, beta)[0])
    alike = sparse.csr_array(rows @ rows.T)
    alike.setdiag(0)
    alike.eliminate_zeros()
    return Path(TWICE, gamma, unit_rows(alike).astype(np.float32), np.ones(alike.shape[1]), 1.0)


def _of_followees(rows: sparse.csr_array, follows: sparse.csr_array | None, hops: int) -> sparse.csr_array:
    """The mean of the rows of those whom a listener follows, or who are followed by those; one's own is left out."""
    if not hops or follows is None:
        return rows
    spread = follows
    for _ in range(hops - 1):
        spread = sparse.csr_array(spread @ follows)
        spread.setdiag(0)
        spread.eliminate_zeros()
        spread = matrices.shares(spread)
    return sparse.csr_array(spread @ rows)


def _with_loop(follows: sparse.csr_array | None, hops: int) -> sparse.csr_array:
    """Those whom a listener follows, oneself included; with one hop those whom they follow too, by the share of
    walks."""
    assert follows is not None
    ones = follows.copy()
    ones.data = np.ones_like(ones.data)
    looped = sparse.csr_array(ones + sparse.eye_array(ones.shape[0], dtype=np.float32, format="csr"))
    for _ in range(hops):
        looped = sparse.csr_array(matrices.shares(looped) @ matrices.shares(looped))
    return looped


def likeness(found: list[Path], listeners: Array | slice, others: Array, sharp: float = 0.0) -> Array:
    """k (B, M) of two groups of listeners, float32, not yet scaled; with `sharp` in its exponential form, which is 0
    for whom no path reaches."""
    total: Array = np.zeros((1, 1), dtype=np.float32)
    for path in found:
        total = total + np.float32(path.gamma) * _products(path.rows[listeners], path.rows[others])
    if not sharp:
        return total
    reach = lengths(found)
    mine, theirs = reach[listeners, None], reach[others]
    total /= np.maximum(mine, 1e-6) * np.maximum(theirs, 1e-6)
    return np.asarray(np.exp(np.float32(sharp) * (total - 1)) * (mine > 0) * (theirs > 0))


def lengths(found: list[Path]) -> Array:
    """(U,) the square root of each listener's k to himself: a path reaches him by a row of length 1, or not at all."""
    squares = sum(path.gamma * (np.diff(path.rows.indptr) > 0) for path in found)
    return np.sqrt(squares, dtype=np.float32)


def _products(rows: sparse.csr_array, others: sparse.csr_array) -> Array:
    """rows x others'; where many columns are filled a dense part at a time, far faster than sparse by sparse."""
    if rows.nnz < 0.02 * np.prod(rows.shape):
        return np.asarray((rows @ others.T).toarray())
    total = np.zeros((rows.shape[0], others.shape[0]), dtype=np.float32)
    one, other = sparse.csc_array(rows), sparse.csc_array(others)
    for part in matrices.blocks(rows.shape[1], 4096):
        total += one[:, part].toarray() @ other[:, part].toarray().T
    return total


class ListenerRidge:
    """The regression's solution: `weights` A (M, S) of M landmarks, and k in units of a listener's mean likeness to
    himself."""

    def __init__(
        self, found: list[Path], landmarks: Array, targets: sparse.csr_array, ridge: float, sharp: float = 0.0
    ) -> None:
        """`targets` Y, sparse (U, S).

        Raises: FitError if the solution is not finite.
        """
        self.paths, self.landmarks, self.sharp = found, landmarks, sharp
        sizes = np.diff(targets.indptr)
        self.mean_songs = float(sizes[sizes > 0].mean()) if targets.nnz else 1.0
        gram = likeness(found, landmarks, landmarks, sharp)
        self.unit = float(np.trace(gram)) / max(len(gram), 1) or 1.0
        gram /= self.unit
        whole = len(landmarks) == targets.shape[0]
        self._whole = gram.copy() if whole else None
        right = targets.toarray() if whole else np.zeros((len(landmarks), targets.shape[1]), dtype=np.float32)
        if not whole:
            left = np.float32(ridge) * gram
            left[np.diag_indices_from(left)] += 1e-4  # landmarks may be alike as one
            for block in matrices.blocks(targets.shape[0]):
                here = self.likeness(block)
                left += here.T @ here
                right += np.asarray((targets[block].T @ here).T)
            gram = left
        else:
            gram[np.diag_indices_from(gram)] += ridge
        from scipy import linalg  # slow to import, and serving solves nothing

        try:
            factor = linalg.cho_factor(gram, lower=True, overwrite_a=True)
        except linalg.LinAlgError as error:
            raise FitError(f"listener kernel: not positive definite with a ridge of {ridge:g}; raise it") from error
        self.weights: Array = linalg.cho_solve(factor, np.asfortranarray(right, dtype=np.float32), overwrite_b=True)
        if not np.isfinite(self.weights).all():
            raise FitError("listener kernel ended with weights that are not finite")

    def likeness(self, listeners: slice) -> Array:
        """(B, M) of a block of listeners to the landmarks."""
        if self._whole is not None:
            return self._whole[listeners]
        return likeness(self.paths, listeners, self.landmarks, self.sharp) / np.float32(self.unit)

    def by_song(self, snapshot: Snapshot, songs: slice) -> Array:
        """(B, S) what one more of each song adds to the scores of a listener whose history is as long as the mean, if
        the likeness is not `sharp`: only then is it a sum."""
        total = np.zeros((songs.stop - songs.start, self.weights.shape[1]), dtype=np.float32)
        for path in self.paths:
            start, _, last = path.name.partition("/")
            if start != LISTENED or path.name == TWICE:
                continue
            own = sparse.eye_array(len(path.scale), format="csr", dtype=np.float32)[songs]
            if last:
                own = unit_rows(song_matrices(snapshot, {last: 1.0})[last][songs])
                own = own / np.float32(max(self.mean_songs, 1.0))
            rows = matrices.scaled(sparse.csr_array(own), path.scale * (path.gamma / path.length / self.unit))
            told = np.flatnonzero(np.diff(rows.indptr))
            alike = rows[told] @ path.rows[self.landmarks].T
            dense = alike.nnz > 0.05 * max(np.prod(alike.shape), 1)
            total[told] += (alike.toarray() if dense else alike) @ self.weights
        return total
