"""Sums, sets and ranks by key, for a few thousand keys; the time does not depend on the size of the catalogue."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array
from recall.kernels.edges import gathered_from_targets
from recall.kernels.sums import ranks_within, sums_of


def sum_by_key(keys: Array, values: Array) -> tuple[Array, Array]:
    """The unique `keys` (E,) in ascending order, (n,) int64, and the sum (n,) of the `values` (E,) of each.

    Values are summed in their given order.
    """
    found, sums = sums_of(np.ascontiguousarray(keys, dtype=np.int64), np.ascontiguousarray(values, dtype=np.float64))
    return found, sums


def sorted_unique(keys: Array) -> Array:
    """The unique keys (n,) in ascending order; for a few thousand several times as fast as `np.unique`."""
    keys = np.sort(keys)
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def isin_sorted(keys: Array, known: Array) -> Array:
    """(E,) whether each key is in `known`, which is in ascending order."""
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)


def index_in_sorted(known: Array, keys: Array) -> Array:
    """(E,) the index of each key in `known`, which is in ascending order; `len(known)` for a key that it lacks."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, place, len(known))


def worth_of_targets(edges: sparse.csr_array, songs: Array, targets: tuple[Array, Array]) -> Array:
    """(n,) for each of `songs` (n,), rows of `edges`, the sum over its edges of weight x what the target is worth;
    `targets` are a hash table of that (`table_of`), others are worth nothing."""
    songs = np.ascontiguousarray(songs, dtype=np.int64)
    return np.asarray(gathered_from_targets(edges.indptr, edges.indices, edges.data, songs, *targets))


def csr_entries(indptr: Array, rows: Array, most: int | None = None) -> tuple[Array, Array]:
    """The entries of some `rows` (R,) of a CSR matrix: (m,) the index into `rows`, and (m,) the position of each entry.

    At most the last `most` entries of each row.
    """
    first, last = indptr[rows].astype(np.int64), indptr[rows + 1].astype(np.int64)
    if most is not None:
        first = np.maximum(first, last - most)
    return ranges(first, last)


def ranges(first: Array, last: Array) -> tuple[Array, Array]:
    """The numbers from each of `first` (R,) up to each of `last`: which (m,) of the ranges, and the numbers (m,)."""
    sizes = last - first
    which = np.repeat(np.arange(len(sizes)), sizes)
    return which, np.arange(len(which)) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)


def rank_within_group(groups: Array) -> Array:
    """(n,) how many entries before each one have the same `groups` (n,) value: 0 for the first of a group."""
    return np.asarray(ranks_within(np.ascontiguousarray(groups, dtype=np.int64)))


def top_k(scores: Array, k: int) -> Array | slice:
    """Selects the `k` highest of `scores` (n,) and all that tie with the last of them; the caller breaks ties."""
    if len(scores) <= k:
        return slice(None)
    border = np.partition(scores, len(scores) - k)[len(scores) - k] if k else np.inf
    contenders: Array = scores >= border
    return contenders
