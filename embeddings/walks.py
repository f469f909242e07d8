"""Random walks on weighted, directed and typed graphs: what skip-gram learns node vectors from.

A second-order walk that came from t to v goes on to x with a probability proportional to

    w(v, x) x (1/p if x = t;  1 if the graph has the edge t -> x;  1/q otherwise)

and its first step is by weight alone. A step draws x by weight (one slot of an alias table per node, built in place)
and keeps it with its bias over the largest one. The edge test looks for a mark among 16 bits for each of t's
neighbours, and only where that is not enough for the neighbour itself, by binary search. A return bias above all others
is drawn on its own, so that a small p costs nothing, and after about as many refusals as v has neighbours the step is
drawn from the exact distribution. So no table is kept per edge pair, and memory is linear in the graph. Some walks take
their steps side by side, so that one computes while others wait for memory.

Every walk has a generator of its own, a function of the seed and the walk's number alone: the same walks come out for
any number of threads and any block size. Walks of one round start once at every start node, in a random order.

Source: Grover and Leskovec 2016, arXiv 1607.00653; Perozzi et al. 2014, arXiv 1403.6652; Dong et al. 2017
(metapath2vec); rejection after Yang et al. 2019 (KnightKing); the generator is SplitMix (Steele et al. 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numba import njit
from scipy import sparse

from graph.arrays import Array

Progress = Callable[[str, int, int], None]
F = TypeVar("F", bound=Callable[..., Any])

BLOCK_TOKENS: Final = 1 << 20
_NONE: Final = np.empty(0, dtype=np.float32)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_ODD: Final = np.uint64(0xD1B54A32D192ED03)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U1, _U4, _U11, _U15, _U27, _U30, _U31, _U32 = (np.uint64(n) for n in (1, 4, 11, 15, 27, 30, 31, 32))
_SIDE: Final = 16
"""Walks that take their steps side by side."""
_NO, _PERHAPS, _YES = np.int8(0), np.int8(1), np.int8(2)
_KNUTH: Final = np.uint32(2654435761)
_LOW: Final = np.uint64(0xFFFFFFFF)


def _compiled(function: F) -> F:
    made: F = njit(cache=True, nogil=True)(function)
    return made


@dataclass(frozen=True)
class WalkConfig:
    """Walks from every node, `length` nodes each; p: return parameter, q: in-out parameter.

    Raises: ValueError for a p or q that is not above 0, or a count below 1.
    """

    p: float = 1.0
    q: float = 1.0
    walks: int = 10
    length: int = 80

    def __post_init__(self) -> None:
        for name, value in (("p", self.p), ("q", self.q)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0 (got {value})")
        for name, count in (("walks", self.walks), ("length", self.length)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1 (got {count})")


@dataclass(frozen=True)
class WalkGraph:
    """What walks step on: R rows of sorted neighbours, E of them; a plain graph has a row for each of its N nodes.

    A typed graph of K kinds of edges has R = K x N rows: row k x N + v holds the edges of kind k from v.

    Shapes: indptr (R + 1,) int64; indices (E,) int32; the rest is empty where all edges weigh the same, else weights,
    threshold, alias (E,) and totals (R,): slot s of a row keeps itself with probability threshold[s], else gives way
    to slot alias[s] of that row.
    """

    nodes: int
    edges: int
    indptr: Array
    indices: Array
    weights: Array
    totals: Array
    threshold: Array
    alias: Array

    @classmethod
    def of_edges(
        cls,
        source: Array,
        target: Array,
        weight: Array | None = None,
        *,
        nodes: int,
        directed: bool = False,
        kinds: tuple[Array, Array] | None = None,
        n_kinds: int = 1,
    ) -> WalkGraph:
        """From E unsorted edges; parallel ones add up, those of weight 0 are left out.

        `kinds`: (E,) the kind of each edge as it is, and when it is walked backwards; -1 leaves that direction out.

        Raises: ValueError for a node out of range or a weight that is negative or not finite.
        """
        weight = np.ones(len(source)) if weight is None else np.asarray(weight, dtype=np.float64)
        _check(source, target, weight, nodes)
        forward, backward = kinds if kinds is not None else (np.zeros(len(source), dtype=np.int64),) * 2
        if not directed:
            back = source != target  # a loop is one way already
            source, target = np.concatenate([source, target[back]]), np.concatenate([target, source[back]])
            weight = np.concatenate([weight, weight[back]])
            forward = np.concatenate([forward, backward[back]])
        used = (weight > 0) & (forward >= 0)
        rows = forward[used].astype(np.int64) * nodes + source[used]
        matrix = sparse.csr_array((weight[used], (rows, target[used])), shape=(n_kinds * nodes, nodes))
        matrix.sum_duplicates()
        matrix.sort_indices()
        count = matrix.nnz
        if not directed:
            loops = int((matrix.indices == np.repeat(np.arange(matrix.shape[0]) % nodes, np.diff(matrix.indptr))).sum())
            count = (count + loops) // 2
        return cls._of_rows(matrix, nodes, count)

    @classmethod
    def _of_rows(cls, matrix: Any, nodes: int, edges: int) -> WalkGraph:
        indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
        data = matrix.data
        if not len(data) or (data == data[0]).all():
            return cls(nodes, edges, indptr, indices, _NONE, _NONE.astype(np.float64), _NONE, _NONE.astype(np.int32))
        totals = np.zeros(len(indptr) - 1)
        threshold, alias = np.empty(len(data), dtype=np.float32), np.empty(len(data), dtype=np.int32)
        build_alias(indptr, data, totals, threshold, alias)
        return cls(nodes, edges, indptr, indices, data.astype(np.float32), totals, threshold, alias)

    @property
    def degrees(self) -> Array:
        """(R,) neighbours in each row."""
        return np.diff(self.indptr)


class Walks:
    """Second-order walks in blocks of bounded size; iterating again gives the same walks again.

    `starts`: the nodes to start from (all where None), `config.walks` times each.
    """

    def __init__(
        self,
        graph: WalkGraph,
        config: WalkConfig,
        *,
        seed: int,
        starts: Array | None = None,
        threads: int = 1,
        block_tokens: int = BLOCK_TOKENS,
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1 (got {threads})")
        self.graph, self.config, self.seed, self.threads = graph, config, seed, threads
        self.starts = np.arange(graph.nodes, dtype=np.int32) if starts is None else starts.astype(np.int32)
        self._marks = np.zeros(0 if (config.p, config.q) == (1, 1) else len(graph.indices), dtype=np.uint16)
        _mark(graph.indptr, graph.indices, self._marks)
        self._block = max(1, block_tokens // config.length)

    def __len__(self) -> int:
        """How many walks there are."""
        return self.config.walks * len(self.starts)

    def __iter__(self) -> Iterator[Array]:
        """Blocks (B, L) of nodes, int32, -1 after the end of a walk that could not go on."""
        with ThreadPoolExecutor(self.threads) as pool:
            first = 0
            for turn in range(self.config.walks):
                order = np.random.default_rng([self.seed, turn]).permutation(self.starts)
                for at in range(0, len(order), self._block):
                    starts = order[at : at + self._block]
                    yield self._walk(starts, first, pool)
                    first += len(starts)

    def _walk(self, starts: Array, first: int, pool: ThreadPoolExecutor) -> Array:
        out = np.empty((len(starts), self.config.length), dtype=np.int32)
        # more pieces than threads, since walks from one part of a graph may end early
        size = max(1, -(-len(starts) // (4 * self.threads)))
        pieces = range(0, len(starts), size)
        done = pool.map(lambda a: self._fill(starts[a : a + size], first + a, out[a : a + size]), pieces)
        for _ in done:
            pass
        return out

    def _fill(self, starts: Array, first: int, out: Array) -> None:
        g, back, away = self.graph, 1 / self.config.p, 1 / self.config.q
        tables = g.indptr, g.indices, self._marks, g.weights, g.totals, g.threshold, g.alias
        _second_order(*tables, back, away, np.uint64(self.seed), first, starts, out)


class MetapathWalks(Walks):
    """Walks on a typed graph whose step i takes an edge of the kind `path[i]`, by weight.

    A `cyclic` path begins anew at its end; a walk along another ends there. p and q have no part in it.
    """

    def __init__(
        self,
        graph: WalkGraph,
        config: WalkConfig,
        path: Sequence[int],
        *,
        seed: int,
        cyclic: bool = True,
        starts: Array | None = None,
        threads: int = 1,
        block_tokens: int = BLOCK_TOKENS,
    ) -> None:
        super().__init__(graph, config, seed=seed, starts=starts, threads=threads, block_tokens=block_tokens)
        self._path, self._cyclic = np.asarray(path, dtype=np.int64), cyclic

    def _fill(self, starts: Array, first: int, out: Array) -> None:
        steps = out.shape[1] - 1 if self._cyclic else min(out.shape[1] - 1, len(self._path))
        graph = self.graph
        tables = graph.indptr, graph.indices, graph.threshold, graph.alias
        _along(*tables, graph.nodes, self._path, steps, np.uint64(self.seed), first, starts, out)


def _check(source: Array, target: Array, weight: Array, nodes: int) -> None:
    for name, ends in (("source", source), ("target", target)):
        if len(ends) and (int(ends.min()) < 0 or int(ends.max()) >= nodes):
            raise ValueError(f"{name} must be from 0 to {nodes - 1} (got {ends.min()} to {ends.max()})")
    if not (np.isfinite(weight) & (weight >= 0)).all():
        worst = weight[~(np.isfinite(weight) & (weight >= 0))][0]
        raise ValueError(f"weights must be 0 or more and finite (got {worst})")


@_compiled
def build_alias(indptr: Array, weights: Array, totals: Array, threshold: Array, alias: Array) -> None:
    """Walker's alias table of every row, by Vose's method."""
    widest = 0
    for row in range(len(indptr) - 1):
        widest = max(widest, indptr[row + 1] - indptr[row])
    scaled, small, large = np.empty(widest), np.empty(widest, np.int32), np.empty(widest, np.int32)
    for row in range(len(indptr) - 1):
        begin, degree = indptr[row], indptr[row + 1] - indptr[row]
        total = 0.0
        for e in range(degree):
            total += weights[begin + e]
        totals[row] = total
        lows, highs = 0, 0
        for e in range(degree):
            scaled[e] = weights[begin + e] * degree / total
            if scaled[e] < 1:
                small[lows] = e
                lows += 1
            else:
                large[highs] = e
                highs += 1
        while lows and highs:
            lows -= 1
            low, high = small[lows], large[highs - 1]
            threshold[begin + low], alias[begin + low] = scaled[low], high
            scaled[high] -= 1 - scaled[low]
            if scaled[high] < 1:
                highs -= 1
                small[lows] = high
                lows += 1
        for e in range(highs):
            threshold[begin + large[e]], alias[begin + large[e]] = 1, large[e]
        for e in range(lows):  # left over by rounding alone
            threshold[begin + small[e]], alias[begin + small[e]] = 1, small[e]


@_compiled
def mix(z: Any) -> Any:
    """64 random bits of a state, as SplitMix has them."""
    z = (z ^ (z >> _U30)) * _FIRST
    z = (z ^ (z >> _U27)) * _SECOND
    return z ^ (z >> _U31)


@_compiled
def generator(seed: Any, walk: int) -> Any:
    """(state, step) of a walk's generator; the step differs too, so that two walks share no stretch of numbers."""
    key = mix(seed + _GOLDEN) ^ mix(np.uint64(walk) * _GOLDEN + _ODD)
    return mix(key), mix(key + _GOLDEN) | _U1


@_compiled
def _unit(bits: Any) -> float:
    """A number in [0, 1) of the upper 53 bits."""
    return float(bits >> _U11) * 1.1102230246251565e-16


@_compiled
def _slot(bits: Any, degree: int) -> Any:
    """One of `degree` slots by the upper half of `bits`."""
    return np.int64(((bits >> _U32) * np.uint64(degree)) >> _U32)


@_compiled
def _low_unit(bits: Any) -> float:
    """A number in [0, 1) of the lower half of `bits`."""
    return float(bits & _LOW) * 2.3283064365386963e-10


@_compiled
def _draw(begin: int, degree: int, threshold: Array, alias: Array, bits: Any) -> Any:
    """An edge by weight: the upper half of `bits` chooses the slot, the lower one whether it gives way."""
    slot = _slot(bits, degree)
    if len(threshold) and _low_unit(bits) >= threshold[begin + slot]:
        slot = np.int64(alias[begin + slot])
    return begin + slot


@_compiled
def _find(indices: Array, low: int, high: int, node: int) -> Any:
    """Where `node` stands in indices[low:high], or -1."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < node:
            low = middle + 1
        else:
            high = middle
    return low if low < end and indices[low] == node else -1


@_compiled
def _place(begin: int, degree: int, node: int, nodes: int) -> Any:
    """(word, bit) of a node's mark in a row's 16 bits for each neighbour; a bit of its own where they are enough."""
    at = np.uint64(node)
    if 16 * degree < nodes:
        at = ((np.uint64(np.uint32(node) * _KNUTH) & _LOW) * np.uint64(16 * degree)) >> _U32
    return begin + np.int64(at >> _U4), np.uint16(1) << np.uint16(at & _U15)


@_compiled
def _mark(indptr: Array, indices: Array, marks: Array) -> None:
    if not len(marks):
        return
    nodes = len(indptr) - 1
    for row in range(nodes):
        begin, degree = indptr[row], indptr[row + 1] - indptr[row]
        for e in range(begin, begin + degree):
            word, bit = _place(begin, degree, indices[e], nodes)
            marks[word] |= bit


@_compiled
def _marked(indptr: Array, marks: Array, a: int, b: int) -> Any:
    """Whether there is an edge a -> b, as far as marks know: _NO, _PERHAPS or _YES."""
    nodes, degree = len(indptr) - 1, indptr[a + 1] - indptr[a]
    if degree == 0:
        return _NO
    word, bit = _place(indptr[a], degree, b, nodes)
    if not marks[word] & bit:
        return _NO
    return _YES if 16 * degree >= nodes else _PERHAPS


@_compiled
def _joined(indptr: Array, indices: Array, marked: Any, a: int, b: int) -> bool:
    """Whether there is an edge a -> b, of which `_marked` has said `marked`."""
    return bool(marked == _YES or (marked == _PERHAPS and _find(indices, indptr[a], indptr[a + 1], b) >= 0))


@_compiled
def _exact(
    indptr: Array,
    indices: Array,
    marks: Array,
    weights: Array,
    back: float,
    away: float,
    before: int,
    node: int,
    unit: float,
) -> Any:
    """The second-order step by the sum over all neighbours; for where refusals cost more."""
    total = 0.0
    chosen = -1
    for sweep in range(2):
        limit = unit * total
        total = 0.0
        for e in range(indptr[node], indptr[node + 1]):
            x = indices[e]
            bias = away
            if x == before:
                bias = back
            elif _joined(indptr, indices, _marked(indptr, marks, before, x), before, x):
                bias = 1.0
            total += bias * (weights[e] if len(weights) else 1.0)
            chosen = x
            if sweep == 1 and total > limit:
                return x
    return chosen


@_compiled
def _returning(
    indptr: Array, indices: Array, weights: Array, totals: Array, back: float, top: float, before: int, node: int
) -> Any:
    """(edge, share): the way back and its share of all that is drawn from, where a return is likelier than `top`."""
    e = _find(indices, indptr[node], indptr[node + 1], before)
    if e < 0:
        return e, 0.0
    heavier = (weights[e] if len(weights) else 1.0) * (back - top)
    return e, heavier / (heavier + top * (totals[node] if len(weights) else float(indptr[node + 1] - indptr[node])))


@_compiled
def _kept(
    indptr: Array, indices: Array, back: float, away: float, mark: float, marked: Any, before: int, x: int
) -> bool:
    """Whether a step to x is kept: `mark`, a number below the largest bias, is below that of x."""
    if x == before:
        return mark < back
    if mark < min(1.0, away):  # no bias is below it: no need to look
        return True
    return bool(mark < (1.0 if _joined(indptr, indices, marked, before, x) else away))


@_compiled
def _draw_or_return(
    threshold: Array,
    alias: Array,
    begin: int,
    degree: int,
    home: int,
    share: float,
    state: Any,
    step: Any,
    bits: Any,
) -> Any:
    """(edge, bits, state): `home` with the chance `share`, else an edge by weight; the lower half of bits is new."""
    if share > 0:
        if _unit(bits) < share:
            return home, bits, state
        state += step
        bits = mix(state)
    edge = _draw(begin, degree, threshold, alias, bits)
    if len(threshold):
        state += step
        bits = mix(state)
    return edge, bits, state


@_compiled
def _look(
    indptr: Array,
    indices: Array,
    marks: Array,
    edge: Array,
    before: Array,
    x: Array,
    marked: Array,
    running: int,
) -> None:
    """Where the edges lead, and what marks say of them: reads that do not wait for each other."""
    for i in range(running):
        x[i] = indices[edge[i]]
    if len(marks):
        for i in range(running):
            marked[i] = _marked(indptr, marks, max(before[i], 0), x[i])


@_compiled
def _forget(lanes: Any, lane: int, last: int) -> None:
    """Put the last lane in the place of another."""
    for values in lanes:
        values[lane] = values[last]


@_compiled
def _second_order(
    indptr: Array,
    indices: Array,
    marks: Array,
    weights: Array,
    totals: Array,
    threshold: Array,
    alias: Array,
    back: float,
    away: float,
    seed: Any,
    first: int,
    starts: Array,
    out: Array,
) -> None:
    """Fill out (B, L) with the walks numbered from `first`; back = 1/p, away = 1/q."""
    plain = back == 1 and away == 1
    top = max(1.0, away)  # the largest bias but that of the return, which is drawn on its own where it is larger
    walk, at, left = np.empty(_SIDE, np.int64), np.empty(_SIDE, np.int64), np.empty(_SIDE, np.int64)
    node, before, x = np.empty(_SIDE, np.int64), np.empty(_SIDE, np.int64), np.empty(_SIDE, np.int64)
    begin, degree, edge = np.empty(_SIDE, np.int64), np.empty(_SIDE, np.int64), np.empty(_SIDE, np.int64)
    state, step, bits = np.empty(_SIDE, np.uint64), np.empty(_SIDE, np.uint64), np.empty(_SIDE, np.uint64)
    home, share, marked = np.empty(_SIDE, np.int64), np.empty(_SIDE), np.empty(_SIDE, np.int8)
    running, begun = 0, 0
    while running or begun < len(starts):
        while running < _SIDE and begun < len(starts):
            state[running], step[running] = generator(seed, first + begun)
            walk[running], at[running], node[running], before[running] = begun, 0, starts[begun], -1
            out[begun, 0] = starts[begun]
            begin[running], degree[running] = indptr[starts[begun]], indptr[starts[begun] + 1] - indptr[starts[begun]]
            home[running], share[running], left[running] = -1, 0.0, degree[running] + 8
            running, begun = running + 1, begun + 1
        i = 0
        while i < running:
            if at[i] + 1 < out.shape[1] and degree[i]:
                i += 1
                continue
            out[walk[i], at[i] + 1 :] = -1
            running -= 1
            _forget((walk, at, left, node, before, begin, degree, home), i, running)
            _forget((state, step), i, running)
            share[i] = share[running]
        for i in range(running):
            state[i] += step[i]
            bits[i] = mix(state[i])
            edge[i] = begin[i] + _slot(bits[i], degree[i])
        if len(threshold) or back > top:
            for i in range(running):
                edge[i], bits[i], state[i] = _draw_or_return(
                    threshold, alias, begin[i], degree[i], home[i], share[i], state[i], step[i], bits[i]
                )
        _look(indptr, indices, marks, edge, before, x, marked, running)
        for i in range(running):
            if not (
                plain
                or before[i] < 0
                or edge[i] == home[i]  # the way back, where it is drawn on its own
                or _kept(indptr, indices, back, away, _low_unit(bits[i]) * top, marked[i], before[i], x[i])
            ):
                left[i] -= 1
                if left[i]:
                    continue
                state[i] += step[i]
                x[i] = _exact(indptr, indices, marks, weights, back, away, before[i], node[i], _unit(mix(state[i])))
            before[i], node[i] = node[i], x[i]
            at[i] += 1
            out[walk[i], at[i]] = x[i]
            begin[i], degree[i] = indptr[x[i]], indptr[x[i] + 1] - indptr[x[i]]
            left[i] = degree[i] + 8
            if back > top:
                home[i], share[i] = _returning(indptr, indices, weights, totals, back, top, before[i], node[i])


@_compiled
def _along(
    indptr: Array,
    indices: Array,
    threshold: Array,
    alias: Array,
    nodes: int,
    path: Array,
    steps: int,
    seed: Any,
    first: int,
    starts: Array,
    out: Array,
) -> None:
    """Fill out (B, L) with walks whose step s takes an edge of the kind path[s % P]."""
    for i in range(len(starts)):
        state, step = generator(seed, first + i)
        node = starts[i]
        out[i, 0] = node
        out[i, 1:] = -1
        for s in range(steps):
            row = path[s % len(path)] * nodes + node
            begin, degree = indptr[row], indptr[row + 1] - indptr[row]
            if degree == 0:
                break
            state += step
            node = indices[_draw(begin, degree, threshold, alias, mix(state))]
            out[i, s + 1] = node
