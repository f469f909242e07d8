"""Sums, sets and ranks by key, for a few thousand keys; the time does not depend on the size of the catalogue."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.snapshot.arrays import Array

_FEW: Final = 1024
_BITS: Final = 63


def sum_by_key(keys: Array, values: Array) -> tuple[Array, Array]:
    """The unique `keys` (E,) in ascending order, (n,) int64, and the sum (n,) of the `values` (E,) of each.

    Values are summed in their given order. Where key and index fit into 63 bits they are packed into one integer, which
    sorts several times as fast as `argsort`.
    """
    shift = max(len(keys) - 1, 0).bit_length()
    if len(keys) < _FEW or int(keys.min()) < 0 or int(keys.max()).bit_length() + shift > _BITS:
        found, place = np.unique(keys, return_inverse=True)
        return found.astype(np.int64), np.bincount(place, values, len(found))
    packed = (keys.astype(np.int64) << shift) | np.arange(len(keys))
    packed.sort()
    key = packed >> shift
    begins = np.empty(len(key), dtype=bool)
    begins[0] = True
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    place = np.cumsum(begins)
    place -= 1
    packed &= (1 << shift) - 1
    return key[begins], np.bincount(place, values[packed])


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
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return ranks


def top_k(scores: Array, k: int) -> Array | slice:
    """Selects the `k` highest of `scores` (n,) and all that tie with the last of them; the caller breaks ties."""
    if len(scores) <= k:
        return slice(None)
    border = np.partition(scores, len(scores) - k)[len(scores) - k] if k else np.inf
    contenders: Array = scores >= border
    return contenders
