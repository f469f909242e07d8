"""Sums by key of a few thousand entries, without sorting them: an open hash table, and a sort of what is unique."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_DENSE: Final = 8
"""Keys below so many times the entries are counted in a table of all of them, which needs no hash and no sort."""
_SOME: Final = 64


@compiled
def bits_for(entries: int) -> int:
    """Of a hash table that so many entries fill by half at most."""
    bits = 4
    while (1 << bits) < 2 * entries:
        bits += 1
    return bits


@compiled
def slot_of(key: Any, bits: int) -> Any:
    """Where a search for `key` begins in a hash table of 2^bits places."""
    # numba would make a float of unsigned and signed numbers together
    return np.int64((np.uint64(key) * _MIX) >> np.uint64(64 - bits))


@compiled
def table_of(keys: Array, values: Array) -> tuple[Array, Array]:
    """A hash table of unique `keys` (n,), 0 or above: the key in each slot (T,), -1 in an empty one, and its value
    (T,)."""
    bits = bits_for(len(keys))
    last = (1 << bits) - 1
    slots, theirs = np.full(last + 1, -1, dtype=np.int64), np.zeros(last + 1)
    for i in range(len(keys)):
        slot = slot_of(keys[i], bits)
        while slots[slot] >= 0:
            slot = (slot + 1) & last
        slots[slot], theirs[slot] = keys[i], values[i]
    return slots, theirs


@compiled
def bits_of(slots: Array) -> int:
    """Those of the hash table with these slots (T,)."""
    bits = 4
    while (1 << bits) < len(slots):
        bits += 1
    return bits


@compiled
def slot_in(key: int, slots: Array, bits: int) -> int:
    """The slot of a key in a hash table of `bits_of(slots)`, an empty one where it has none."""
    slot = slot_of(key, bits)
    while slots[slot] >= 0 and slots[slot] != key:
        slot = (slot + 1) & (len(slots) - 1)
    return int(slot)


@compiled
def looked_up(key: int, slots: Array, theirs: Array, bits: int) -> float:
    """The value of a key there, 0 where it has none."""
    return float(theirs[slot_in(key, slots, bits)])


@compiled
def sums_of(keys: Array, values: Array) -> tuple[Array, Array]:
    """The unique `keys` (E,), (n,) ascending, and the sum (n,) float64 of the `values` (E,) of each, in their order."""
    n, least, highest = len(keys), np.int64(0), np.int64(-1)
    for i in range(n):
        least, highest = min(least, np.int64(keys[i])), max(highest, np.int64(keys[i]))
    if least >= 0 and highest < _DENSE * n + _SOME:
        table, met = np.zeros(highest + 1), np.zeros(highest + 1, dtype=np.bool_)
        count = 0
        for i in range(n):
            key = keys[i]
            table[key] += values[i]
            if not met[key]:
                met[key] = True
                count += 1
        found, sums, at = np.empty(count, dtype=np.int64), np.empty(count), 0
        for key in range(highest + 1):
            if met[key]:
                found[at], sums[at] = key, table[key]
                at += 1
        return found, sums
    bits = bits_for(n)
    size = 1 << bits
    slots, used, adds = np.empty(size, dtype=np.int64), np.zeros(size, dtype=np.bool_), np.zeros(size)
    found, count = np.empty(n, dtype=np.int64), 0
    for i in range(n):
        key = keys[i]
        at = slot_of(key, bits)
        while not used[at] or slots[at] != key:
            if not used[at]:
                slots[at], used[at] = key, True
                found[count] = key
                count += 1
                break
            at = (at + 1) & (size - 1)
        adds[at] += values[i]
    found = np.sort(found[:count])
    sums = np.empty(count)
    for i in range(count):
        at = slot_of(found[i], bits)
        while slots[at] != found[i]:
            at = (at + 1) & (size - 1)
        sums[i] = adds[at]
    return found, sums


@compiled
def ranks_within(groups: Array) -> Array:
    """(n,) how many entries before each one have the same `groups` (n,) value."""
    bits = bits_for(len(groups))
    last = (1 << bits) - 1
    slots, counts = np.empty(last + 1, dtype=np.int64), np.zeros(last + 1, dtype=np.int64)
    ranks = np.empty(len(groups), dtype=np.int64)
    for i in range(len(groups)):
        slot = slot_of(groups[i], bits)
        while counts[slot] and slots[slot] != groups[i]:
            slot = (slot + 1) & last
        slots[slot], ranks[i] = groups[i], counts[slot]
        counts[slot] += 1
    return ranks


@compiled
def neighbour_sums(songs: Array, weights: Array, seeds: Array, seed_weights: Array) -> tuple[Array, Array]:
    """The neighbours (n,) of `seeds` (S,), ascending, and the sums (n,) float64 over seeds of seed weight x neighbour
    weight; songs (N, M), weights (N, M) as in `Neighbours`."""
    width, n = songs.shape[1], 0
    keys, values = np.empty(len(seeds) * width, dtype=np.int64), np.empty(len(seeds) * width)
    for i in range(len(seeds)):
        seed, weight = seeds[i], seed_weights[i]
        for j in range(width):
            song = songs[seed, j]
            if song >= 0:
                keys[n], values[n] = song, weights[seed, j] * weight
                n += 1
    return sums_of(keys[:n], values[:n])
