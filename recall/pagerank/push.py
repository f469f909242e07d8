"""The push of personalised PageRank, compiled; imported by refreshes only."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.compiled import compiled
from graph.snapshot.arrays import Array

CROWDED: Final = 1 / 16


@compiled
def push(
    indptr: Array, indices: Array, restart: float, tolerance: float, sources: Array, people: Array, values: Array
) -> None:
    """Fill people and values (B, K) for `sources` (B,) as `circles.nearest` says; people is -1 throughout before.

    A node is pushed while more of the walk rests on it than its out-degree x tolerance: what rests is settled by
    `restart`, the remainder passed on evenly. Nodes wait in line (a ring of N places) as long as few do; from
    `CROWDED` of all on, sweeps through all of them cost less than keeping the line.
    Source: Andersen et al. 2006; the sweeps after Wu et al. 2021, PowerPush, arXiv 2101.03652.
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
        while 0 < length <= CROWDED * n + 1:
            node = line[head]
            head = head + 1 if head + 1 < n else 0
            length -= 1
            waiting[node] = False
            first, last = indptr[node], indptr[node + 1]
            passed = _settle(node, first, last, restart, resting, settled)
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
        if length:
            _sweep(indptr, indices, restart, limits, resting, settled)
            waiting[:] = False
            reached = np.flatnonzero((settled > 0) | (resting > 0))
            known = len(reached)
            met[:known] = reached
        for i in range(known):
            settled[met[i]] += restart * resting[met[i]]  # so much of what rests stops where it is
        _keep(source, np.sort(met[:known]), settled, people[row], values[row], most)
        for i in range(known):
            resting[met[i]] = settled[met[i]] = 0.0


@compiled
def _settle(node: int, first: int, last: int, restart: float, resting: Array, settled: Array) -> float:
    """Take up what rests on a node; what each of its edges, `first` to `last`, passes on. A walk ends where none is."""
    rest = resting[node]
    resting[node] = 0.0
    settled[node] += restart * rest
    passed: float = (1 - restart) * rest / max(last - first, 1)
    return passed


@compiled
def _sweep(indptr: Array, indices: Array, restart: float, limits: Array, resting: Array, settled: Array) -> None:
    """Push every node over its limit, one after the other, until none is."""
    again = True
    while again:
        again = False
        for node in range(len(limits)):
            if resting[node] > limits[node]:
                again = True
                first, last = indptr[node], indptr[node + 1]
                passed = _settle(node, first, last, restart, resting, settled)
                for edge in range(first, last):
                    resting[indices[edge]] += passed


@compiled
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
