"""Neighbour sampling for PyG's `NodeLoader` and `LinkLoader`, compiled by numba: no pyg-lib, no torch-sparse.

From every seed some of its in-edges are drawn, from every node so reached some of its own, hop after hop. Edges point
the way messages flow, from `row` (the neighbour) to `col` (the node it was drawn for), and nodes are numbered anew in
the order in which they are met, the seeds first; a seed given twice stands there twice.

A node's edges are drawn by a generator that is a function of the seed, the call and the node's place in the sample
alone, so one seed gives the same samples for any number of threads. Without replacement a few of many are drawn by
Floyd's method, and by weight as one ball after the other: those drawn before are refused, and where refusals would cost
more than a look at every edge the smallest of exponential keys are taken instead, which has the same law. The table
that finds a node's new number is as large as the sample, never as the graph.

Source: Hamilton et al. 2017, arXiv 1706.02216; Bentley and Floyd 1987, "A sample of brilliance"; Efraimidis and
Spirakis 2006, "Weighted random sampling with a reservoir"; the generator is SplitMix (Steele et al. 2014).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample

from embeddings.skipgram.walks import mix
from graph.compiled import compiled
from graph.snapshot.arrays import Array
from graph.splitmix import GOLDEN

EdgeType = tuple[str, str, str]

_ONLY: Final = ""
"""The node type of a graph that has but one."""
_ONLY_EDGES: Final[EdgeType] = (_ONLY, "to", _ONLY)
_PIECE: Final = 1024
_U11, _U32 = np.uint64(11), np.uint64(32)


@dataclass(frozen=True)
class SamplerConfig:
    """How many in-edges are drawn for each node, hop after hop.

    Raises: ValueError for no hop, a fan-out below -1, or lists of different lengths.
    """

    fan_outs: Sequence[int] | Mapping[EdgeType, Sequence[int]] = (15, 10)
    """In-edges of a node in each hop, one number a hop or such a list for every edge type; -1 takes all."""
    replace: bool = False
    """Whether an edge may be drawn again."""
    weight: str | None = None
    """Edge attribute to draw by; None gives all edges equal chances. Edges of weight 0 are never drawn."""
    disjoint: bool = False
    """Whether every seed has a sample of its own, which shares no node with another's."""

    def __post_init__(self) -> None:
        lists = list(self.fan_outs.values()) if isinstance(self.fan_outs, Mapping) else [self.fan_outs]
        if not lists or not all(lists) or len({len(fans) for fans in lists}) > 1:
            raise ValueError(f"fan_outs must have the same number of hops, 1 or more, everywhere (got {self.fan_outs})")
        if lowest := [fan for fans in lists for fan in fans if fan < -1]:
            raise ValueError(f"fan_outs must be -1 (all), 0 or more (got {lowest[0]})")

    def of(self, edge_types: Sequence[EdgeType]) -> dict[EdgeType, tuple[int, ...]]:
        """The fan-outs of each edge type.

        Raises: ValueError if they are given for an unknown edge type, or lack one.
        """
        if not isinstance(self.fan_outs, Mapping):
            return dict.fromkeys(edge_types, tuple(self.fan_outs))
        if odd := set(self.fan_outs) ^ set(edge_types):
            raise ValueError(f"fan_outs must name exactly the graph's edge types (differs in {min(odd)})")
        return {kind: tuple(self.fan_outs[kind]) for kind in edge_types}


@dataclass(frozen=True)
class _InEdges:
    """E edges by the node they lead to, T nodes in all.

    Shapes: indptr (T + 1,), indices (E,) the node each comes from, order (E,) where it stands in `edge_index`; ends
    (E,) running sums of the weights within each row, empty where all weigh the same.
    """

    indptr: Array
    indices: Array
    order: Array
    ends: Array

    @classmethod
    def of(cls, edge_index: Array, weight: Array | None, targets: int) -> _InEdges:
        source, target = edge_index
        used = np.ones(len(source), dtype=bool) if weight is None else weight > 0
        indptr = np.zeros(targets + 1, dtype=np.int64)
        np.cumsum(np.bincount(target[used], minlength=targets), out=indptr[1:])
        order = _by_target(target, used, indptr)
        ends = np.empty(0) if weight is None else _running(indptr, weight[order].astype(np.float64))
        return cls(indptr, source[order].astype(np.int64), order, ends)


class NeighbourSampler(BaseSampler):  # type: ignore[misc]
    """PyG's sampler interface over a `Data` or `HeteroData`: hand it to `NodeLoader` or `LinkLoader`.

    Negatives of `sample_from_edges` are drawn by PyG from torch's global generator. In a loader's worker processes the
    loader's own seed joins in, so that no two of them draw alike.
    """

    def __init__(self, data: Data | HeteroData, config: SamplerConfig, *, seed: int, threads: int = 1) -> None:
        """Sort the graph's edges for sampling; `data` itself is left as it is.

        Raises: ValueError for anything but a graph with node counts and edges between its nodes, a missing weight or
        one that is negative or not finite, fan-outs that do not fit, or `threads` below 1.
        """
        if not isinstance(data, Data | HeteroData):
            raise ValueError(f"data must be a PyG Data or HeteroData (got {type(data).__name__})")  # noqa: TRY004
        if threads < 1:
            raise ValueError(f"threads must be at least 1 (got {threads})")
        self.config, self.seed, self.threads = config, seed, threads
        self._typed = isinstance(data, HeteroData)
        self._counts = (
            {kind: int(data[kind].num_nodes) for kind in data.node_types}
            if self._typed
            else {_ONLY: int(data.num_nodes)}
        )
        stores = {kind: data[kind] for kind in data.edge_types} if self._typed else {_ONLY_EDGES: data}
        self._edges = {kind: self._in_edges(kind, store) for kind, store in stores.items()}
        self._fans = config.of(list(stores))
        self._calls = 0

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> SamplerOutput | HeteroSamplerOutput:  # noqa: ARG002
        """The sampled surroundings of some nodes.

        Raises: ValueError for a node out of range, or a time.
        """
        return node_sample(index, self._sample)

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput | HeteroSamplerOutput:
        """The sampled surroundings of both ends of some edges, and of negatives where asked for.

        Raises: ValueError for a node out of range, or a time.
        """
        if index.time is not None:
            raise ValueError("sampling by time is not supported: give no edge_label_time")
        nodes = self._counts if self._typed else self._counts[_ONLY]
        return edge_sample(index, self._sample, nodes, self.config.disjoint, None, neg_sampling)

    def restarted(self, seed: int) -> NeighbourSampler:
        """One on the same graph that begins anew with another seed."""
        other = copy.copy(self)
        other.seed, other._calls = seed, 0
        return other

    @property
    def edge_permutation(self) -> Tensor | dict[EdgeType, Tensor]:
        """(E,) where each sampled edge stands in `edge_index`, for each edge type where there are several."""
        orders = {kind: torch.from_numpy(edges.order) for kind, edges in self._edges.items()}
        return orders if self._typed else orders[_ONLY_EDGES]

    def _in_edges(self, kind: EdgeType, store: Any) -> _InEdges:
        if getattr(store, "edge_index", None) is None:
            raise ValueError(f"the edges {kind} have no edge_index" if self._typed else "data has no edge_index")
        edge_index = store.edge_index.cpu().numpy()
        for ends, label in zip(edge_index, (kind[0], kind[2]), strict=True):
            _check_range(f"edge_index of {kind}", ends, self._counts[label])
        weight = None
        if self.config.weight is not None:
            if self.config.weight not in store:
                raise ValueError(f"the edges {kind} have no attribute {self.config.weight!r} to draw by")
            weight = store[self.config.weight].cpu().numpy()
            bad = ~(np.isfinite(weight) & (weight >= 0))
            if weight.shape != edge_index.shape[1:] or bad.any():
                got = weight[bad][0] if bad.any() else f"shape {weight.shape}"
                raise ValueError(
                    f"{self.config.weight} of {kind} must be one finite number, 0 or more, an edge (got {got})"
                )
        return _InEdges.of(edge_index, weight, self._counts[kind[2]])

    def _sample(self, seed: Any, seed_time: Any = None) -> SamplerOutput | HeteroSamplerOutput:
        """PyG's sampling function: seeds (B,), or such for some node types."""
        if seed_time is not None and (
            not isinstance(seed_time, dict) or any(t is not None for t in seed_time.values())
        ):
            raise ValueError("sampling by time is not supported: give no input_time")
        seeds = {kind: nodes.numpy() for kind, nodes in (seed.items() if self._typed else [(_ONLY, seed)])}
        sample = _Sample(self._counts, self._checked(seeds), self.config.disjoint)
        key = self._next_key()
        with ThreadPoolExecutor(self.threads) as pool:
            for hop in range(len(next(iter(self._fans.values()), ()))):
                frontier = sample.next_hop()
                for i, (kind, edges) in enumerate(self._edges.items()):
                    fan = self._fans[kind][hop]
                    stream = hop * len(self._edges) + i
                    sample.add(kind, edges, self._draw(edges, frontier[kind[2]], fan, (key, stream), pool))
        sample.next_hop()
        return sample.typed(self._edges) if self._typed else sample.plain()

    def _checked(self, seeds: dict[str, Array]) -> dict[str, Array]:
        for kind, nodes in seeds.items():
            if kind not in self._counts:
                raise ValueError(f"unknown node type {kind!r} (known: {', '.join(self._counts)})")
            _check_range("seeds", nodes, self._counts[kind])
        return seeds

    def _next_key(self) -> Any:
        worker = get_worker_info()
        words = [self.seed, self._calls] if worker is None else [self.seed, self._calls, worker.seed]
        self._calls += 1
        return np.random.SeedSequence(words).generate_state(1, np.uint64)[0]

    def _draw(
        self, edges: _InEdges, nodes: Array, fan: int, stream: tuple[Any, int], pool: ThreadPoolExecutor
    ) -> tuple[Array, Array]:
        """Of F nodes: (F + 1,) where the edges of each begin, and those edges."""
        offsets = _offsets(edges.indptr, nodes, fan, self.config.replace)
        drawn = np.empty(offsets[-1], dtype=np.int64)

        def fill(at: int) -> None:
            _draw(edges.indptr, edges.ends, nodes, offsets, at, at + size, self.config.replace, *stream, drawn)

        size = len(nodes) if self.threads == 1 else max(_PIECE, -(-len(nodes) // (4 * self.threads)))
        pieces = range(0, len(nodes), max(1, size))
        for _ in map(fill, pieces) if len(pieces) == 1 else pool.map(fill, pieces):  # waking a thread takes longer
            pass
        return offsets, drawn


class _Sample:
    """What one call has met so far.

    A node is known by its key: its number, and where every seed has a sample of its own the seed's times the count of
    nodes besides.
    """

    def __init__(self, counts: Mapping[str, int], seeds: Mapping[str, Array], disjoint: bool) -> None:
        self._counts, self._disjoint = counts, disjoint
        self._met, first = {}, 0
        for kind, n in counts.items():
            nodes = seeds.get(kind, np.empty(0, dtype=np.int64)).astype(np.int64)
            trees = np.arange(first, first + len(nodes)) if disjoint else 0
            first += len(nodes)
            self._met[kind] = _Numbering(nodes + trees * n)
        self._ends: dict[str, list[int]] = {kind: [0] for kind in counts}
        self._rows: dict[EdgeType, list[Array]] = {}
        self._cols: dict[EdgeType, list[Array]] = {}
        self._drawn: dict[EdgeType, list[Array]] = {}

    def next_hop(self) -> dict[str, Array]:
        """The nodes of each type that the last hop met first."""
        for kind, met in self._met.items():
            self._ends[kind].append(met.count)
        return {kind: self._nodes(kind)[ends[-2] : ends[-1]] for kind, ends in self._ends.items()}

    def add(self, kind: EdgeType, edges: _InEdges, drawn: tuple[Array, Array]) -> None:
        """Take in the edges drawn for the nodes of the last `next_hop`."""
        offsets, places = drawn
        source, _, target = kind
        begin, end = self._ends[target][-2:]
        cols = np.repeat(np.arange(begin, end), np.diff(offsets))
        keys = edges.indices[places]
        if self._disjoint:
            keys += self._met[target].keys[cols] // self._counts[target] * self._counts[source]
        rows = self._met[source].of(keys, len(keys) if self._disjoint else self._counts[source])
        for parts, value in ((self._rows, rows), (self._cols, cols), (self._drawn, places)):
            parts.setdefault(kind, []).append(value)

    def plain(self) -> SamplerOutput:
        """As PyG wants it for one node type."""
        kind = _ONLY_EDGES
        return SamplerOutput(
            node=torch.from_numpy(self._nodes(_ONLY)),
            row=_joined(self._rows[kind]),
            col=_joined(self._cols[kind]),
            edge=_joined(self._drawn[kind]),
            batch=self._trees(_ONLY),
            num_sampled_nodes=np.diff(self._ends[_ONLY]).tolist(),
            num_sampled_edges=[len(part) for part in self._rows[kind]],
        )

    def typed(self, kinds: Mapping[EdgeType, _InEdges]) -> HeteroSamplerOutput:
        """As PyG wants it for several node and edge types."""
        return HeteroSamplerOutput(
            node={label: torch.from_numpy(self._nodes(label)) for label in self._counts},
            row={kind: _joined(self._rows[kind]) for kind in kinds},
            col={kind: _joined(self._cols[kind]) for kind in kinds},
            edge={kind: _joined(self._drawn[kind]) for kind in kinds},
            batch={label: self._trees(label) for label in self._counts} if self._disjoint else None,
            num_sampled_nodes={label: np.diff(ends).tolist() for label, ends in self._ends.items()},
            num_sampled_edges={kind: [len(part) for part in self._rows[kind]] for kind in kinds},
        )

    def _nodes(self, kind: str) -> Array:
        keys = self._met[kind].keys
        return keys % max(1, self._counts[kind]) if self._disjoint else keys

    def _trees(self, kind: str) -> Tensor | None:
        return torch.from_numpy(self._met[kind].keys // max(1, self._counts[kind])) if self._disjoint else None


class _Numbering:
    """Numbers 0, 1, … for keys in the order in which they are met, by open addressing."""

    def __init__(self, keys: Array) -> None:
        self._keys, self.count = keys.copy(), len(keys)
        self._table = _table(keys, 2 * len(keys))

    @property
    def keys(self) -> Array:
        """(count,) the keys in order."""
        return self._keys[: self.count]

    def of(self, keys: Array, most: int) -> Array:
        """(K,) the numbers of K keys, of which at most `most` are new."""
        room = self.count + min(len(keys), most)
        if 2 * room > len(self._table):
            self._table = _table(self.keys, 2 * room)
        if room > len(self._keys):
            self._keys = np.concatenate([self.keys, np.empty(room - self.count, dtype=np.int64)])
        numbers = np.empty(len(keys), dtype=np.int64)
        self.count = _number(self._table, keys, self._keys, self.count, numbers)
        return numbers


def _check_range(what: str, nodes: Array, count: int) -> None:
    if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < count:
        raise ValueError(f"{what} must be from 0 to {count - 1} (got {nodes.min()} to {nodes.max()})")


def _joined(parts: list[Array]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))


def _table(keys: Array, room: int) -> Array:
    """(2^n, 2) of keys and their numbers, at least `room` rows, -1 where empty; the first of equal keys counts."""
    table = np.full((1 << max(4, (room - 1).bit_length()), 2), -1, dtype=np.int64)
    _insert(table, keys)
    return table


@compiled
def _stream(key: Any, number: int) -> Any:
    """The key of one of many generators."""
    return mix(mix(key) + np.uint64(number + 1) * GOLDEN)


@compiled
def _below(bits: Any, n: int) -> Any:
    """A whole number from 0 to n - 1 of the upper 32 bits."""
    return np.int64(((bits >> _U32) * np.uint64(n)) >> _U32)


@compiled
def _unit(bits: Any) -> float:
    """A number in (0, 1) of the upper 53 bits."""
    return (float(bits >> _U11) + 0.5) * 1.1102230246251565e-16


@compiled
def _by_target(target: Array, used: Array, indptr: Array) -> Array:
    """(E,) the places of the used edges by their targets, each target's in the order in which they come."""
    order, following = np.empty(indptr[-1], dtype=np.int64), indptr.copy()
    for e in range(len(target)):
        if used[e]:
            order[following[target[e]]] = e
            following[target[e]] += 1
    return order


@compiled
def _running(indptr: Array, weight: Array) -> Array:
    for row in range(len(indptr) - 1):
        for e in range(indptr[row] + 1, indptr[row + 1]):
            weight[e] += weight[e - 1]
    return weight


@compiled
def _offsets(indptr: Array, nodes: Array, fan: int, replace: bool) -> Array:
    """(F + 1,) where the edges of each of F nodes begin among those drawn."""
    offsets = np.zeros(len(nodes) + 1, dtype=np.int64)
    for i in range(len(nodes)):
        degree = indptr[nodes[i] + 1] - indptr[nodes[i]]
        wanted = degree if fan < 0 or (degree < fan and not replace) or degree == 0 else fan
        offsets[i + 1] = offsets[i] + wanted
    return offsets


@compiled
def _draw(
    indptr: Array,
    ends: Array,
    nodes: Array,
    offsets: Array,
    begin: int,
    end: int,
    replace: bool,
    key: Any,
    stream: int,
    out: Array,
) -> None:
    """Draw the edges of nodes[begin:end] into `out`."""
    mixed = _stream(key, stream)
    for i in range(begin, min(end, len(nodes))):
        low, high = indptr[nodes[i]], indptr[nodes[i] + 1]
        mine = out[offsets[i] : offsets[i + 1]]
        own = _stream(mixed, i)
        if len(mine) == high - low and not replace:
            for e in range(low, high):
                mine[e - low] = e
        elif replace and len(ends):
            for k in range(len(mine)):
                mine[k] = _by_weight(ends, low, high, mix(own + np.uint64(k) * GOLDEN))
        elif replace:
            for k in range(len(mine)):
                mine[k] = low + _below(mix(own + np.uint64(k) * GOLDEN), high - low)
        elif len(ends):
            _distinct_by_weight(ends, low, high, own, mine)
        else:
            _distinct(low, high, own, mine)


@compiled
def _distinct(low: int, high: int, key: Any, out: Array) -> None:
    """Different edges of [low, high), every set of them as likely."""
    n, k = high - low, len(out)
    if k * k > 4 * n:  # Floyd's method looks back at all it has; one look at every edge is cheaper
        left = k
        for e in range(n):
            if left and _below(mix(key + np.uint64(e) * GOLDEN), n - e) < left:
                out[k - left] = low + e
                left -= 1
        return
    for i in range(k):
        top = n - k + i
        e = low + _below(mix(key + np.uint64(i) * GOLDEN), top + 1)
        out[i] = low + top if _has(out, i, e) else e


@compiled
def _distinct_by_weight(ends: Array, low: int, high: int, key: Any, out: Array) -> None:
    """Different edges of [low, high), drawn one after the other by weight among those left."""
    done, tries = 0, 0
    while done < len(out) and tries < 4 * len(out):
        e = _by_weight(ends, low, high, mix(key + np.uint64(tries) * GOLDEN))
        tries += 1
        if not _has(out, done, e):
            out[done] = e
            done += 1
    if done == len(out):
        return
    keys = np.empty(high - low)
    for e in range(low, high):
        weight = ends[e] - (ends[e - 1] if e > low else 0.0)
        unit = _unit(mix(key + np.uint64(tries + e - low) * GOLDEN))
        keys[e - low] = np.inf if _has(out, done, e) else -np.log(unit) / max(weight, 1e-300)
    order = np.argsort(keys)
    for i in range(done, len(out)):
        out[i] = low + order[i - done]


@compiled
def _has(values: Array, n: int, value: int) -> bool:
    """Whether `value` is one of the first n."""
    for i in range(n):  # noqa: SIM110 - numba compiles no generator
        if values[i] == value:
            return True
    return False


@compiled
def _by_weight(ends: Array, low: int, high: int, bits: Any) -> int:
    """An edge of [low, high) by weight: the first whose running sum is above a random share of the last."""
    mark = _unit(bits) * ends[high - 1]
    last = high - 1
    while low < last:
        middle = (low + last) >> 1
        if ends[middle] > mark:
            last = middle
        else:
            low = middle + 1
    return low


@compiled
def _slot(table: Array, key: int) -> Any:
    """The row that holds `key`, or the empty one where it belongs."""
    mask = len(table) - 1
    at = np.int64(mix(np.uint64(key) * GOLDEN)) & mask
    while table[at, 0] != key and table[at, 0] >= 0:
        at = (at + 1) & mask
    return at


@compiled
def _insert(table: Array, keys: Array) -> None:
    for i in range(len(keys)):
        at = _slot(table, keys[i])
        if table[at, 0] < 0:
            table[at, 0], table[at, 1] = keys[i], i


@compiled
def _number(table: Array, keys: Array, known: Array, count: int, out: Array) -> int:
    """Number the keys into `out`, new ones from `count` on, which are added to `known`; the new count."""
    for i in range(len(keys)):
        at = _slot(table, keys[i])
        if table[at, 0] < 0:
            table[at, 0], table[at, 1] = keys[i], count
            known[count] = keys[i]
            count += 1
        out[i] = table[at, 1]
    return count
