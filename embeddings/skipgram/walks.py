"""Random walks on weighted, directed and typed graphs: what skip-gram learns node vectors from.

A second-order walk that came from t to v goes on to x with a probability proportional to

    w(v, x) x (1/p if x = t;  1 if the graph has the edge t -> x;  1/q otherwise)

and its first step is by weight alone. A step draws x by weight (one slot of an alias table per node, built in place)
and keeps it with its bias over the largest one. The edge test looks for a mark among 64 bits for each of t's
neighbours, and only where that is not enough for the neighbour itself, by binary search. What a return bias has above
all others is drawn with x, so that a small p costs nothing, and after about as many refusals as v has neighbours the
step is drawn from the exact distribution. So no table is kept per edge pair, and memory is linear in the graph. Many
walks take their steps side by side, one part of the step for all of them after another and almost without branches:
reads from memory then do not wait for each other.

Every walk has a generator of its own, a function of the seed and the walk's number alone: the same walks come out for
any number of threads and any block size. Walks of one round start once at every start node, in a random order.

Source: Grover and Leskovec 2016, arXiv 1607.00653; Perozzi et al. 2014, arXiv 1403.6652; Dong et al. 2017
(metapath2vec); rejection after Yang et al. 2019 (KnightKing); the generator is SplitMix (Steele et al. 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from graph import splitmix
from graph.compiled import compiled
from graph.snapshot.arrays import Array
from graph.splitmix import GOLDEN

Progress = Callable[[str, int, int], None]

BLOCK_TOKENS: Final = 1 << 20
_LARGE: Final = 1e18
_NONE: Final = np.empty(0, dtype=np.float32)
_ODD: Final = np.uint64(0xD1B54A32D192ED03)
_U1, _U11, _U32, _U63 = (np.uint64(n) for n in (1, 11, 32, 63))
_SIDE: Final = 256
"""Walks that take their steps side by side; as many as make up for the cost of a call."""
_NO, _PERHAPS, _YES = 0, 1, 2
_MARKS: Final = 64
"""Bits for each neighbour, up to one for each node; then they are exact."""
_KNUTH: Final = np.uint32(2654435761)
_LOW: Final = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class WalkConfig:
    """Walks from every node.

    Raises: ValueError for a p or q that is not above 0, or a count below 1.
    """

    p: float = 1.0
    """Return parameter, above 0: a step straight back has 1 / p of a usual weight."""
    q: float = 1.0
    """In-out parameter, above 0: a step away from the last node has 1 / q of a usual weight."""
    walks: int = 10
    """Walks from each node, 1 or more."""
    length: int = 80
    """Nodes of a walk at most, 1 or more."""

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
    to slot alias[s] of that row. `both_ways`: every edge is there the other way too.
    """

    nodes: int
    edges: int
    indptr: Array
    indices: Array
    weights: Array
    totals: Array
    threshold: Array
    alias: Array
    both_ways: bool = False

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
        weight = _in_range(weight)
        forward, backward = kinds if kinds is not None else (np.zeros(len(source), dtype=np.int64),) * 2
        if not directed:
            back = source != target  # a loop is one way already
            source, target = np.concatenate([source, target[back]]), np.concatenate([target, source[back]])
            weight = np.concatenate([weight, weight[back]])
            forward = np.concatenate([forward, backward[back]])
        used = (weight > 0) & (forward >= 0)
        rows = source if kinds is None else forward.astype(np.int64) * nodes + source
        if not used.all():
            source, target, weight, rows = source[used], target[used], weight[used], rows[used]
        indptr, indices, data = _rows(rows, target, weight, n_kinds * nodes, nodes)
        count = len(indices)
        if not directed:
            count = (count + len(np.unique(rows[source == target]))) // 2
        weights, totals, threshold, alias = _weighed(indptr, data)
        both_ways = not directed and kinds is None
        return cls(nodes, count, indptr, indices, weights, totals, threshold, alias, both_ways)

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
        self._tables = _tables(graph, marked=(config.p, config.q) != (1, 1))
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
        seed, p, q = np.uint64(self.seed), self.config.p, self.config.q
        _second_order(self._tables, 1 / p, 1 / q, seed, first, starts, out)


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


def _in_range(weight: Array) -> Array:
    """Weights whose sums fit into single precision: walks depend on how they compare, not on how large they are."""
    largest = float(weight.max(initial=0.0))
    if largest <= _LARGE:
        return weight
    return np.where(weight > 0, np.maximum(weight / largest, 1 / _LARGE), 0.0)


def _weighed(indptr: Array, weights: Array) -> tuple[Array, Array, Array, Array]:
    """(weights, totals, threshold, alias) as WalkGraph has them."""
    if not len(weights) or (weights == weights[0]).all():
        return _NONE, _NONE.astype(np.float64), _NONE, _NONE.astype(np.int32)
    totals = np.zeros(len(indptr) - 1)
    threshold, alias = np.empty(len(weights), dtype=np.float32), np.empty(len(weights), dtype=np.int32)
    build_alias(indptr, weights, totals, threshold, alias)
    return weights.astype(np.float32), totals, threshold, alias


def _rows(row: Array, target: Array, weight: Array, rows: int, nodes: int) -> tuple[Array, Array, Array]:
    """(indptr, indices, weights): rows of sorted targets, parallel edges added up; a sort by target, then by row."""
    row = row.astype(np.int32 if rows < 1 << 31 else np.int64)
    indptr, row, weight = _grouped(target.astype(np.int32), row, weight.astype(np.float64), nodes)
    target = np.repeat(np.arange(nodes, dtype=np.int32), np.diff(indptr))
    indptr, target, weight = _grouped(row, target, weight, rows)
    count = _merge(indptr, target, weight)
    return indptr, target[:count], weight[:count]


@compiled
def _grouped(keys: Array, values: Array, weights: Array, groups: int) -> Any:
    """(indptr, values, weights) ordered by key, those of one key as they were: counting sort."""
    indptr = np.zeros(groups + 1, np.int64)
    for key in keys:
        indptr[key + 1] += 1
    indptr = np.cumsum(indptr)
    end, ordered, weighed = indptr[:-1].copy(), np.empty_like(values), np.empty_like(weights)
    for e in range(len(keys)):
        at = end[keys[e]]
        end[keys[e]] = at + 1
        ordered[at], weighed[at] = values[e], weights[e]
    return indptr, ordered, weighed


@compiled
def _merge(indptr: Array, indices: Array, weights: Array) -> int:
    """Add up what stands side by side under one index of a row, in place; how many are left."""
    count = 0
    for row in range(len(indptr) - 1):
        begin = indptr[row]
        indptr[row] = count
        for e in range(begin, indptr[row + 1]):
            if count > indptr[row] and indices[count - 1] == indices[e]:
                weights[count - 1] += weights[e]
            else:
                indices[count], weights[count] = indices[e], weights[e]
                count += 1
    indptr[-1] = count
    return count


@compiled
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


mix = compiled(splitmix.mix)


@compiled
def generator(seed: Any, walk: int) -> Any:
    """(state, step) of a walk's generator; the step differs too, so that two walks share no stretch of numbers."""
    key = mix(seed + GOLDEN) ^ mix(np.uint64(walk) * GOLDEN + _ODD)
    return mix(key), mix(key + GOLDEN) | _U1


@compiled
def _unit(bits: Any) -> float:
    """A number in [0, 1) of the upper 53 bits."""
    return float(bits >> _U11) * 1.1102230246251565e-16


@compiled
def _slot(bits: Any, degree: int) -> Any:
    """One of `degree` slots by the upper half of `bits`."""
    return np.int64(((bits >> _U32) * np.uint64(degree)) >> _U32)


@compiled
def _low_unit(bits: Any) -> float:
    """A number in [0, 1) of the lower half of `bits`."""
    return float(bits & _LOW) * 2.3283064365386963e-10


@compiled
def _draw(begin: int, degree: int, threshold: Array, alias: Array, bits: Any) -> Any:
    """An edge by weight: the upper half of `bits` chooses the slot, the lower one whether it gives way."""
    slot = _slot(bits, degree)
    if len(threshold) and _low_unit(bits) >= threshold[begin + slot]:
        slot = np.int64(alias[begin + slot])
    return begin + slot


@compiled
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


class _Tables(NamedTuple):
    """A WalkGraph's arrays, and marks: the bits first[v] to first[v + 1] tell of v's neighbours."""

    nodes: int
    both_ways: bool
    indptr: Array
    indices: Array
    weights: Array
    totals: Array
    threshold: Array
    alias: Array
    first: Array
    marks: Array


class _Lanes(NamedTuple):
    """Walks side by side, (_SIDE,) each: the walk that came from `before` to `node` and has `left` refusals to go.

    A return is drawn on its own with the chance home / (home + largest bias). Proposed: the step to x; it is taken
    where mark < 0.
    """

    walk: Array
    at: Array
    left: Array
    node: Array
    before: Array
    begin: Array
    degree: Array
    home: Array
    state: Array
    step: Array
    edge: Array
    x: Array
    joined: Array
    mark: Array
    bits: Array


def _tables(graph: WalkGraph, *, marked: bool) -> _Tables:
    g = graph
    widths = np.minimum(_MARKS * g.degrees[: g.nodes], g.nodes) if marked else np.zeros(0, dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(widths)])
    marks = np.zeros((int(first[-1]) >> 6) + 1, dtype=np.uint64)
    _mark(g.nodes, g.indptr, g.indices, first, marks)
    return _Tables(g.nodes, g.both_ways, g.indptr, g.indices, g.weights, g.totals, g.threshold, g.alias, first, marks)


@compiled
def _place(first: int, width: int, node: int, nodes: int) -> Any:
    """The bit of a node among the `width` ones of a row; one of its own where there are as many as nodes."""
    spread = np.int64(((np.uint64(np.uint32(node) * _KNUTH) & _LOW) * np.uint64(width)) >> _U32)
    return first + (spread if width < nodes else node)


@compiled
def _mark(nodes: int, indptr: Array, indices: Array, first: Array, marks: Array) -> None:
    for row in range(len(first) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            bit = _place(first[row], first[row + 1] - first[row], indices[e], nodes)
            marks[bit >> 6] |= _U1 << (np.uint64(bit) & _U63)


@compiled
def _marked(g: Any, a: int, b: int) -> Any:
    """Whether there is an edge a -> b, as far as marks know: _NO, _PERHAPS or _YES."""
    width = g.first[a + 1] - g.first[a]
    bit = _place(g.first[a], width, b, g.nodes)
    found = np.int64((g.marks[bit >> 6] >> (np.uint64(bit) & _U63)) & _U1)
    return found << (width >= g.nodes) if width else _NO


@compiled
def _joined(g: Any, marked: int, a: int, b: int) -> bool:
    """Whether there is an edge a -> b, of which `_marked` has said `marked`."""
    return bool(marked == _YES or (marked == _PERHAPS and _find(g.indices, g.indptr[a], g.indptr[a + 1], b) >= 0))


@compiled
def _exact(g: Any, back: float, away: float, before: int, node: int, unit: float) -> Any:
    """The second-order step by the sum over all neighbours; for where refusals cost more."""
    total = 0.0
    chosen = -1
    for sweep in range(2):
        limit = unit * total
        total = 0.0
        for e in range(g.indptr[node], g.indptr[node + 1]):
            x = g.indices[e]
            bias = away
            if x == before:
                bias = back
            elif _joined(g, _marked(g, before, x), before, x):
                bias = 1.0
            total += bias * (g.weights[e] if len(g.weights) else 1.0)
            chosen = x
            if sweep == 1 and total > limit:
                return x
    return chosen


@compiled
def _home(g: Any, excess: float, before: int, node: int) -> float:
    """What `excess` of the bias gives a return, over the weight of all edges of the node."""
    e = _find(g.indices, g.indptr[node], g.indptr[node + 1], before)
    if e < 0:
        return 0.0
    if len(g.weights):
        return float(excess * g.weights[e] / g.totals[node])
    return float(excess / (g.indptr[node + 1] - g.indptr[node]))


@compiled
def _empty() -> Any:
    n, u, f = np.zeros((10, _SIDE), np.int64), np.zeros((3, _SIDE), np.uint64), np.zeros((2, _SIDE))
    return _Lanes(n[0], n[1], n[2], n[3], n[4], n[5], n[6], f[0], u[0], u[1], n[7], n[8], n[9], f[1], u[2])


@compiled
def _begin(g: Any, s: Any, i: int, seed: Any, number: int, walk: int, start: int) -> None:
    s.state[i], s.step[i] = generator(seed, number)
    s.walk[i], s.at[i], s.node[i], s.before[i], s.home[i] = walk, 0, start, -1, 0.0
    s.begin[i], s.degree[i] = g.indptr[start], g.indptr[start + 1] - g.indptr[start]
    s.left[i] = s.degree[i] + 8


@compiled
def _end(s: Any, running: int, out: Array) -> int:
    """Put the last lane in the place of each that is done; how many are left."""
    i = 0
    while i < running:
        if s.at[i] + 1 < out.shape[1] and s.degree[i]:
            i += 1
            continue
        out[s.walk[i], s.at[i] + 1 :] = -1
        running -= 1
        for values in (s.walk, s.at, s.left, s.node, s.before, s.begin, s.degree):
            values[i] = values[running]
        s.home[i], s.state[i], s.step[i] = s.home[running], s.state[running], s.step[running]
    return running


@compiled
def _propose(g: Any, s: Any, running: int, top: float) -> None:
    """Draw the step to x by weight, or back; and the mark below `top`, the largest bias, below 0 for a step back."""
    for i in range(running):
        s.state[i] += s.step[i]
        s.bits[i] = mix(s.state[i])
        s.edge[i] = s.begin[i] + _slot(s.bits[i], s.degree[i])
    if len(g.threshold):
        for i in range(running):
            if _low_unit(s.bits[i]) >= g.threshold[s.edge[i]]:
                s.edge[i] = s.begin[i] + g.alias[s.edge[i]]
            s.state[i] += s.step[i]
            s.bits[i] = mix(s.state[i])
    for i in range(running):
        s.mark[i] = _low_unit(s.bits[i]) * (s.home[i] + top) - s.home[i]
        x = np.int64(g.indices[s.edge[i]])
        s.x[i] = s.before[i] if s.mark[i] < 0 else x


@compiled
def _judge(g: Any, s: Any, running: int, back: float, away: float) -> None:
    """Take the bias of x off the mark; draw anew after too many refusals."""
    low, high = min(1.0, away), max(1.0, away)
    for i in range(running):
        s.joined[i] = _marked(g, max(s.before[i], 0), s.x[i])
    for i in range(running):
        before, x, mark = s.before[i], s.x[i], s.mark[i]
        if s.joined[i] == _PERHAPS and (low <= mark) & (mark < high) & (before != x) & (before >= 0):
            s.joined[i] = _joined(g, _PERHAPS, before, x)
        bias = 1.0 if s.joined[i] else away
        bias = back if x == before else bias
        s.mark[i] = -1.0 if before < 0 else mark - bias
    for i in range(running):
        if s.left[i] == 1 and s.mark[i] >= 0:
            s.state[i] += s.step[i]
            s.x[i] = _exact(g, back, away, s.before[i], s.node[i], _unit(mix(s.state[i])))
            s.mark[i] = -1


@compiled
def _advance(g: Any, s: Any, running: int, excess: float, out: Array) -> None:
    """Take the steps that are kept; `excess`: the bias of a return above all others."""
    for i in range(running):
        kept = s.mark[i] < 0
        node = s.x[i] if kept else s.node[i]
        s.before[i] = s.node[i] if kept else s.before[i]
        s.node[i] = node
        s.at[i] += kept
        out[s.walk[i], s.at[i]] = node
        s.begin[i], s.degree[i] = g.indptr[node], g.indptr[node + 1] - g.indptr[node]
        s.left[i] = s.degree[i] + 8 if kept else s.left[i] - 1
    if excess <= 0:
        return
    if g.both_ways and not len(g.weights):
        for i in range(running):
            s.home[i] = excess / s.degree[i]
        return
    for i in range(running):
        if s.mark[i] < 0:
            s.home[i] = _home(g, excess, s.before[i], s.node[i])


@compiled
def _second_order(g: Any, back: float, away: float, seed: Any, first: int, starts: Array, out: Array) -> None:
    """Fill out (B, L) with the walks numbered from `first`; back = 1/p, away = 1/q."""
    top = max(1.0, away)  # the largest bias but that of a return, which is drawn on its own where it is larger
    s = _empty()
    running, begun = 0, 0
    while running or begun < len(starts):
        while running < _SIDE and begun < len(starts):
            out[begun, 0] = starts[begun]
            _begin(g, s, running, seed, first + begun, begun, starts[begun])
            running, begun = running + 1, begun + 1
        running = _end(s, running, out)
        _propose(g, s, running, top)
        if back == 1 and away == 1:
            s.mark[:running] = -1
        else:
            _judge(g, s, running, back, away)
        _advance(g, s, running, back - top, out)


@compiled
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
