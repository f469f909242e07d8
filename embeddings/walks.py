"""Random walks on weighted, directed and typed graphs: what skip-gram learns node vectors from.

A second-order walk that came from t to v goes on to x with a probability proportional to

    w(v, x) x (1/p if x = t;  1 if the graph has the edge t -> x;  1/q otherwise)

and its first step is by weight alone. A step draws x by weight (one slot of an alias table per node, built in place)
and keeps it with its bias over the largest one; the edge test is a binary search in t's sorted neighbours. A return
bias above all others is drawn on its own, so that a small p costs nothing, and after about as many refusals as v has
neighbours the step is drawn from the exact distribution. So no table is kept per edge pair, and memory is linear in
the graph.

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
_U1, _U11, _U27, _U30, _U31, _U32 = (np.uint64(n) for n in (1, 11, 27, 30, 31, 32))
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
        _build_alias(indptr, data, totals, threshold, alias)
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
        tables = g.indptr, g.indices, g.weights, g.totals, g.threshold, g.alias
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
def _build_alias(indptr: Array, weights: Array, totals: Array, threshold: Array, alias: Array) -> None:
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
def _mix(z: Any) -> Any:
    z = (z ^ (z >> _U30)) * _FIRST
    z = (z ^ (z >> _U27)) * _SECOND
    return z ^ (z >> _U31)


@_compiled
def _generator(seed: Any, walk: int) -> Any:
    """(state, step) of a walk's generator; the step differs too, so that two walks share no stretch of numbers."""
    key = _mix(seed + _GOLDEN) ^ _mix(np.uint64(walk) * _GOLDEN + _ODD)
    return _mix(key), _mix(key + _GOLDEN) | _U1


@_compiled
def _unit(bits: Any) -> float:
    """A number in [0, 1) of the upper 53 bits."""
    return float(bits >> _U11) * 1.1102230246251565e-16


@_compiled
def _draw(begin: int, degree: int, threshold: Array, alias: Array, bits: Any, coin: Any) -> int:
    """An edge by weight: `bits` choose the slot, the lower half of `coin` whether it gives way."""
    slot = min(int(_unit(bits) * degree), degree - 1)
    if len(threshold) and float(coin & _LOW) * 2.3283064365386963e-10 >= threshold[begin + slot]:
        slot = alias[begin + slot]
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
def _kept(
    indptr: Array,
    indices: Array,
    back: float,
    away: float,
    top: float,
    sure: float,
    before: int,
    x: int,
    coin: Any,
) -> Any:
    """Whether the upper half of `coin` keeps a step to x, whose chance is its bias over `top`."""
    mark = float(coin >> _U32) * 2.3283064365386963e-10 * top
    if x == before:
        return mark < back
    if mark < sure:  # every bias is at least this: no need to look
        return True
    return mark < (1.0 if _find(indices, indptr[before], indptr[before + 1], x) >= 0 else away)


@_compiled
def _exact(
    indptr: Array, indices: Array, weights: Array, back: float, away: float, before: int, node: int, unit: float
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
            elif _find(indices, indptr[before], indptr[before + 1], x) >= 0:
                bias = 1.0
            total += bias * (weights[e] if len(weights) else 1.0)
            chosen = x
            if sweep == 1 and total > limit:
                return x
    return chosen


@_compiled
def _second_order(
    indptr: Array,
    indices: Array,
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
    length = out.shape[1]
    plain = back == 1 and away == 1
    top = max(1.0, away)  # the largest bias but that of the return, which is drawn on its own where it is larger
    sure = min(1.0, away)
    for i in range(len(starts)):
        state, step = _generator(seed, first + i)
        node, before = starts[i], -1
        out[i, 0] = node
        for s in range(1, length):
            begin, end = indptr[node], indptr[node + 1]
            degree = end - begin
            if degree == 0:
                out[i, s:] = -1
                break
            extra = 0.0  # the return's share of all that is drawn from
            if before >= 0 and back > top:
                e = _find(indices, begin, end, before)
                if e >= 0:
                    heavier = (weights[e] if len(weights) else 1.0) * (back - top)
                    extra = heavier / (heavier + top * (totals[node] if len(weights) else float(degree)))
            chosen = -1
            for _ in range(degree + 8):
                state += step
                if extra > 0 and _unit(_mix(state)) < extra:
                    chosen = before
                    break
                state += step
                bits = _mix(state)
                state += step
                coin = _mix(state)
                x = indices[_draw(begin, degree, threshold, alias, bits, coin)]
                if plain or before < 0 or _kept(indptr, indices, back, away, top, sure, before, x, coin):
                    chosen = x
                    break
            if chosen < 0:
                state += step
                chosen = _exact(indptr, indices, weights, back, away, before, node, _unit(_mix(state)))
            before, node = node, chosen
            out[i, s] = node


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
        state, step = _generator(seed, first + i)
        node = starts[i]
        out[i, 0] = node
        out[i, 1:] = -1
        for s in range(steps):
            row = path[s % len(path)] * nodes + node
            begin, degree = indptr[row], indptr[row + 1] - indptr[row]
            if degree == 0:
                break
            state += step
            bits = _mix(state)
            state += step
            node = indices[_draw(begin, degree, threshold, alias, bits, _mix(state))]
            out[i, s + 1] = node
