"""The push of personalised PageRank, compiled; imported by refreshes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

from graph.arrays import Array

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    made: F = njit(cache=True, nogil=True)(function)
    return made


@_compiled
def push(
    indptr: Array, indices: Array, restart: float, tolerance: float, sources: Array, people: Array, values: Array
) -> None:
    """Fill people and values (B, K) for `sources` (B,) as `recall.ppr.nearest` says; people is -1 throughout before.

    A node waits in line (a ring of N places) while more of the walk rests on it than its out-degree x tolerance; what
    rests is settled by `restart` and the remainder passed on evenly.
    """
    n, most = len(indptr) - 1, people.shape[1]
    limits = tolerance * np.maximum(indptr[1:] - indptr[:-1], 1)
    resting, settled = np.zeros(n), np.zeros(n)
    waiting = np.zeros(n, dtype=np.bool_)
    line, met = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    for row in range(len(sources)):
        source = sources[row]
        resting[source] = 1.0
        line[0], waiting[source], head, length = source, True, 0, 1
        met[0], known = source, 1
        while length:
            node = line[head]
            head = head + 1 if head + 1 < n else 0
            length -= 1
            waiting[node] = False
            rest, first, last = resting[node], indptr[node], indptr[node + 1]
            resting[node] = 0.0
            settled[node] += restart * rest
            if first == last:
                continue  # the walk ends here
            passed = (1 - restart) * rest / (last - first)
            for edge in range(first, last):
                to = indices[edge]
                if resting[to] == 0.0 and settled[to] == 0.0:
                    met[known] = to
                    known += 1
                resting[to] += passed
                if not waiting[to] and resting[to] > limits[to]:
                    waiting[to] = True
                    place = head + length
                    line[place if place < n else place - n] = to
                    length += 1
        for i in range(known):
            settled[met[i]] += restart * resting[met[i]]  # so much of what rests stops where it is
        _keep(source, np.sort(met[:known]), settled, people[row], values[row], most)
        for i in range(known):
            resting[met[i]] = settled[met[i]] = 0.0


@_compiled
def _keep(source: int, met: Array, settled: Array, people: Array, values: Array, most: int) -> None:
    """The `most` highest of what is settled, equal ones by position."""
    settled[source] = 0.0
    scores = settled[met]
    if len(met) > most:
        border = np.partition(scores, len(scores) - most)[len(scores) - most]
        met, scores = met[scores >= border], scores[scores >= border]
    order = np.argsort(-scores, kind="mergesort")
    for i in range(min(most, len(order))):
        if scores[order[i]] > 0:
            people[i], values[i] = met[order[i]], scores[order[i]]
