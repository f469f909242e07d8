"""Sums by key and sets of a few thousand numbers, in a time that has nothing to do with the size of the catalogue."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.snapshot.arrays import Array

_FEW: Final = 1024
_BITS: Final = 63


def added(keys: Array, values: Array) -> tuple[Array, Array]:
    """Keys (n,) int64, rising, each once, and the sums (n,) of the `values` (E,) that `keys` (E,) give to each.

    Numbers are added in the order in which they come. Key and place are packed into one whole number where they fit,
    which sorts several times as fast as places by key do.
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


def distinct(keys: Array) -> Array:
    """Keys (n,), rising, each once; of a few thousand several times as fast as by hashing."""
    keys = np.sort(keys)
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def among(keys: Array, known: Array) -> Array:
    """(E,) whether each key is in `known`, which rises."""
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)


def places(known: Array, keys: Array) -> Array:
    """(E,) where each key stands in `known`, which rises; its length where it does not."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, place, len(known))


def spread(indptr: Array, rows: Array, most: int | None = None) -> tuple[Array, Array]:
    """The entries of some rows of a CSR: which (m,) of the rows, and where (m,) each entry stands.

    Of each row the last `most` ones.
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


def highest(scores: Array, k: int) -> Array | slice:
    """Where the `k` highest of `scores` stand, and with them all that tie with the last: whoever sorts decides."""
    if len(scores) <= k:
        return slice(None)
    border = np.partition(scores, len(scores) - k)[len(scores) - k] if k else np.inf
    contenders: Array = scores >= border
    return contenders
