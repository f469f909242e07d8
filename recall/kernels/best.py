"""The best songs that may come back, without sorting the others: a heap of k places."""

from __future__ import annotations

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array


@compiled
def index_in(known: Array, key: int) -> int:
    """Where `key` is in `known` (n,), which is in ascending order; -1 where it is not."""
    low, high = 0, len(known)
    while low < high:
        middle = (low + high) >> 1
        if known[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < len(known) and known[low] == key else -1


@compiled
def _arrives_after(i: int, j: int, songs: Array, arrival: Array) -> bool:
    """Of two entries of one score, whether `i` stands behind `j`: by arrival (songs that it does not hold last) and
    position; in the order of the entries where `arrival` is empty."""
    if not len(arrival):
        return i > j
    first_i = arrival[songs[i]] if songs[i] < len(arrival) else np.iinfo(np.int64).max
    first_j = arrival[songs[j]] if songs[j] < len(arrival) else np.iinfo(np.int64).max
    return bool(first_i > first_j) if first_i != first_j else bool(songs[i] > songs[j])


@compiled
def _sink(heap: Array, worth: Array, at: int, count: int, songs: Array, arrival: Array) -> None:
    """Let the entry at a place of the heap, whose root stands last, down to where it belongs."""
    entry, score = heap[at], worth[at]
    while 2 * at + 1 < count:
        child = 2 * at + 1
        # a call costs more than a comparison: only equal scores are looked up
        if child + 1 < count and (
            worth[child + 1] < worth[child]
            or (worth[child + 1] == worth[child] and _arrives_after(heap[child + 1], heap[child], songs, arrival))
        ):
            child += 1
        if worth[child] > score or (worth[child] == score and not _arrives_after(heap[child], entry, songs, arrival)):
            break
        heap[at], worth[at] = heap[child], worth[child]
        at = child
    heap[at], worth[at] = entry, score


@compiled
def best_of(songs: Array, scores: Array, exclude: Array, arrival: Array, floor: float, k: int) -> Array:
    """Rows (m,) of the at most `k` highest `scores` (n,) above `floor` whose songs (n,) are not excluded, the best
    first.

    `exclude` is in ascending order. Equal scores come by `arrival` (songs,), when each song was first heard, those that
    it does not hold last, and then by position; in their given order where it is empty.
    """
    heap, worth, count = np.empty(k, dtype=np.int64), np.empty(k), 0
    for i in range(len(songs) if k else 0):
        score = scores[i]
        if not score > floor or (count == k and score < worth[0]):
            continue
        if count < k:
            if index_in(exclude, songs[i]) < 0:
                heap[count], worth[count] = i, score
                count += 1
                if count == k:
                    for at in range(k // 2 - 1, -1, -1):
                        _sink(heap, worth, at, k, songs, arrival)
        elif (score > worth[0] or _arrives_after(heap[0], i, songs, arrival)) and index_in(exclude, songs[i]) < 0:
            heap[0], worth[0] = i, score
            _sink(heap, worth, 0, k, songs, arrival)
    if count < k:
        for at in range(count // 2 - 1, -1, -1):
            _sink(heap, worth, at, count, songs, arrival)
    for last in range(count - 1, 0, -1):
        heap[0], heap[last] = heap[last], heap[0]
        worth[0], worth[last] = worth[last], worth[0]
        _sink(heap, worth, 0, last, songs, arrival)
    return heap[:count]
