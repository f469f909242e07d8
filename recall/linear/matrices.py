"""Linear recall from the interaction graph: what its channels share.

Each learns how much a song that a listener likes says about every other song, from the matrix X of what listeners
like, and keeps the best few of every song as `Neighbours`; an answer is a sum over the listener's own songs, so
somebody who came a minute ago is served like anybody else. The side graph comes in as rows that stand below the
listeners': a row for each tag, artist or genre (`attributes`), and a row for each listener of what the people
followed like (`followed`), each weighed by the gamma of its relation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy import sparse

from embeddings.vectors.attributes import popularity, song_matrices, unit_rows
from graph.errors import FitError
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.by_interest import for_each, sums_by_interest
from recall.item_lists.neighbours import Neighbours
from recall.item_lists.top_k import top_k_of_rows
from recall.listeners.listener import Listener
from recall.listeners.preferences import liking_matrix

FOLLOWS: Final = "FOLLOWS"
BLOCK: Final = 512


def interaction_matrix(snapshot: Snapshot, by_strength: float = 0.0) -> sparse.csr_array:
    """X, sparse (users, songs) float32: what each listener likes.

    With `by_strength` 0 every liked song counts 1, with 1 it counts by its decayed strength over the listener's mean.
    """
    matrix = liking_matrix(snapshot)
    sizes = np.diff(matrix.indptr)
    means = matrix.sum(axis=1) / np.maximum(sizes, 1)
    matrix.data = (1 - by_strength + by_strength * matrix.data / np.repeat(means, sizes)).astype(np.float32)
    return matrix


def interaction_row(listener: Listener, now: int, most: int, by_strength: float = 0.0) -> tuple[Array, Array]:
    """The listener's row of `interaction_matrix` at `now`, the `most` top songs of it: songs (S,), weights (S,)."""
    songs, weights = listener.top_songs(now, most)
    if len(songs):
        weights = 1 - by_strength + by_strength * weights / weights.mean()
    return songs, weights


def degree_normalised(matrix: sparse.csr_array, beta: float) -> tuple[sparse.csr_array, Array]:
    """Columns divided by their degree^beta, so popular songs count less; the mean weight stays the same.

    Returns: the matrix, and what each column was multiplied by (songs,).
    """
    degrees = popularity(matrix)
    scale = np.maximum(degrees, 1) ** -beta
    scale *= max(degrees.sum(), 1) / max((degrees * scale).sum(), 1e-12)
    return sparse.csr_array(matrix @ sparse.diags_array(scale)), scale


def shares(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows that sum to 1; empty ones stay empty."""
    sums = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1e-12).astype(matrix.dtype)
    return sparse.csr_array(sparse.diags_array(1 / sums) @ matrix)


def attributes(snapshot: Snapshot, gamma: Mapping[str, float]) -> list[sparse.csr_array]:
    """A row for each attribute (attributes, songs): what the songs have of it, columns of length sqrt(gamma).

    An attribute of one song says nothing of any other, and is left out.
    """
    found = []
    for name, matrix in song_matrices(snapshot, gamma).items():
        rows = sparse.csr_array(unit_rows(matrix).T)
        rows = rows[np.flatnonzero(np.diff(rows.indptr) > 1)]
        found.append(sparse.csr_array(rows * np.float32(np.sqrt(gamma[name]))))
    return found


def follow_shares(snapshot: Snapshot) -> sparse.csr_array | None:
    """Sparse (users, users): every row the same share of each person followed; None where nobody follows anybody."""
    for relation in snapshot.relations():
        if relation.name == FOLLOWS and relation.source == relation.target == "User" and len(relation):
            ones = np.ones(len(relation), dtype=np.float32)
            return shares(sparse.csr_array((ones, relation.indices, relation.indptr), shape=(relation.sources,) * 2))
    return None


def stacked(snapshot: Snapshot, matrix: sparse.csr_array, gamma: Mapping[str, float]) -> sparse.csr_array:
    """The rows of `matrix` (users, songs), below them those of the side graph: sparse (rows, songs) float32.

    A row of what followees like is as long as a listener's row is on the mean, times sqrt(gamma).
    """
    parts = [matrix, *attributes(snapshot, gamma)]
    follows = follow_shares(snapshot) if gamma.get(FOLLOWS, 0.0) > 0 else None
    if follows is not None:
        length = np.sqrt(gamma[FOLLOWS] * np.square(matrix.data, dtype=np.float64).sum() / max(matrix.shape[0], 1))
        parts.append(sparse.csr_array(unit_rows(follows @ matrix) * np.float32(length)))
    return sparse.csr_array(sparse.vstack(parts, format="csr").astype(np.float32))


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """0..n in slices of at most `size`."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def nearest(n: int, count: int, weights: Callable[[slice], Any], *, signed: bool = False) -> Neighbours:
    """The `count` highest positive weights of each of N songs, equal ones in the order of the songs; if `signed` those
    farthest from 0, by descending absolute value: in a regression a negative weight corrects what others add too much.

    `weights` gives a block of rows, dense or sparse (B, N); a song is never its own neighbour.

    Raises: FitError if a weight is not finite.
    """
    return Neighbours(*best_of_rows(n, n, count, weights, itself=False, signed=signed))


def best_of_rows(
    n: int, columns: int, count: int, weights: Callable[[slice], Any], *, itself: bool = True, signed: bool = False
) -> tuple[Array, Array]:
    """The `count` highest positive weights of each of N rows: columns (N, count) int32, -1 where there are fewer, and
    weights (N, count) float32, descending.

    Raises: FitError if a weight is not finite.
    """
    count = max(1, min(count, columns))
    found = np.full((n, count), -1, dtype=np.int32)
    kept = np.zeros((n, count), dtype=np.float32)
    for rows in blocks(n):
        block = weights(rows)
        dense = isinstance(block, np.ndarray)
        if not np.isfinite(block if dense else block.data).all():
            raise FitError("linear recall ended with weights that are not finite")
        if dense:
            own = None if itself else np.arange(rows.start, rows.stop)
            found[rows], kept[rows] = top_k_of_rows(block, count, own, signed=signed)
            continue
        for place, row in enumerate(range(rows.start, rows.stop)):
            mine = slice(block.indptr[place], block.indptr[place + 1])
            songs, values = block.indices[mine], block.data[mine]
            said = values != 0 if signed else values > 0
            songs, values = songs[said], values[said]
            if not itself:
                songs, values = songs[songs != row], values[songs != row]
            songs, values = _top_k(songs, values.astype(np.float32), count)
            found[row, : len(songs)], kept[row, : len(songs)] = songs, values
    return found, kept


def _top_k(songs: Array, values: Array, count: int) -> tuple[Array, Array]:
    size = np.abs(values)
    if len(songs) > count:
        border = np.partition(size, len(size) - count)[len(size) - count]
        songs, values, size = songs[size >= border], values[size >= border], size[size >= border]
    order = np.lexsort((songs, -size))[:count]
    return songs[order], values[order]


def answer(near: Neighbours, query: Query, songs: Array, weights: Array, k: int) -> Candidates:
    """The allowed songs with the highest sum over the listener's songs of weight x neighbour weight, for each of the
    listener's interests; ties in order of arrival."""
    if not len(songs):
        return Candidates.none()
    if len(query.interests) > 1:
        found, adds = _entries(near, songs, weights)
        interest = query.interest_of(songs)[np.nonzero(near.songs[songs] >= 0)[0]]
        first_seen = query.listener.snapshot.histories.first_seen
        return for_each(*sums_by_interest(found, adds, interest, len(query.interests)), query, k, first_seen)
    return Candidates.of_songs(*sums(near, songs, weights), query, k)


def sums(near: Neighbours, songs: Array, weights: Array) -> tuple[Array, Array]:
    """The neighbours (n,) of `songs` (S,), ascending, and the sums (n,) over `songs` of weight x neighbour weight."""
    return near.sums(songs, weights.astype(np.float32))


def _entries(near: Neighbours, songs: Array, weights: Array) -> tuple[Array, Array]:
    """Every neighbour (E,) of `songs` (S,), and its weight (E,) times that of the song."""
    found = near.songs[songs]
    known = found >= 0
    return found[known], (near.weights[songs] * weights[:, None].astype(np.float32))[known]


def check_gamma(gamma: Mapping[str, float]) -> None:
    """For a config's `__post_init__`.

    Raises: ValueError if a gamma is negative or not finite.
    """
    for name, value in gamma.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"gamma of {name} must be 0 or more (got {value})")


def check_between(config: Any, low: float, high: float, *names: str) -> None:
    """For a config's `__post_init__`.

    Raises: ValueError if one of the named fields is not from `low` to `high`.
    """
    for name in names:
        if not low <= getattr(config, name) <= high:
            raise ValueError(f"{name} must be between {low:g} and {high:g} (got {getattr(config, name)})")


def scaled(matrix: sparse.csr_array, columns: Array | Sequence[float]) -> sparse.csr_array:
    """Columns of a sparse matrix times `columns` (songs,)."""
    return sparse.csr_array(matrix @ sparse.diags_array(np.asarray(columns, dtype=matrix.dtype)))
