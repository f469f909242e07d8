"""Second-order walks on BlogCatalog against PecanPy and GRAPE.

p = q = 0.25, 10 walks of 80 nodes from every node, 2 threads. Ours builds its graph within its time; PecanPy is given
its arrays, preprocesses within its time, and is let off its compilation, which it repeats at every call: the seconds
that a ring of 20 nodes takes. GRAPE is given its graph, and looks at all neighbours as the others do. Quality: of the
20,000 pairs (t, v) stepped from most often, how often walks that came from t to v went on to a common neighbour, or
away, against the exact shares, and how often they went back, as p-values of the chi-square: of all pairs in one, and of
the two ways on pair by pair. Below 0.01 is beyond chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._peers import THREADS, Grape, PecanPy
from benchmarks.node2vec import WALKS, blogcatalog
from embeddings.skipgram.edges import Edges
from embeddings.skipgram.walks import WalkConfig, WalkGraph, Walks
from graph.snapshot.arrays import Array

SHORT = WalkConfig(p=0.25, q=0.25, walks=1, length=3)
RUNS = 3
PAIRS = 20_000


def run(modes: tuple[str, ...] = ("SparseOTF", "DenseOTF", "PreComp")) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, one for each of PecanPy's modes and one for GRAPE.

    Raises: InvalidInput if the data set or a peer is missing.
    """
    edges, ring = Edges.read(blogcatalog()), _ring(20)
    graph, grape = edges.graph(), Grape(edges)

    def ours(config: WalkConfig) -> Array:
        return np.concatenate(list(Walks(edges.graph(), config, seed=1, threads=THREADS)))

    _timed(ours, SHORT)
    mine, walks = _timed(ours, WALKS)
    found: dict[str, tuple[float, float, Any]] = {}
    for mode in modes:
        compiling = _timed(PecanPy(ring, ring.graph(), mode).walks, SHORT)[0]
        seconds, theirs = _timed(PecanPy(edges, graph, mode).walks, WALKS)
        found[f"PecanPy {mode}"] = max(seconds - compiling, 1e-9), compiling, _numbers(theirs, edges)
        mine = min(mine, _timed(ours, WALKS)[0])
    seconds, theirs = _timed(grape.walks, WALKS)
    found["GRAPE"] = seconds, 0.0, grape.place[theirs]
    mine = min(mine, _timed(ours, WALKS)[0])
    quality = chance(walks, graph, WALKS)
    return [
        _row(len(walks), mine, quality, name, seconds, compiling, chance(theirs, graph, WALKS))
        for name, (seconds, compiling, theirs) in found.items()
    ]


def _ring(nodes: int) -> Edges:
    names, source = [f"{i:02}" for i in range(nodes)], np.arange(nodes, dtype=np.int32)
    none = np.full(nodes, -1, dtype=np.int32)
    return Edges(names, source, np.roll(source, 1), np.ones(nodes), none)


def _timed(walk: Callable[[WalkConfig], Any], config: WalkConfig) -> tuple[float, Any]:
    """The least seconds of some runs, of a single one where it takes more than ten."""
    seconds, walks = np.inf, None
    for _ in range(RUNS):
        began = time.perf_counter()
        walks = walk(config)
        seconds = min(seconds, time.perf_counter() - began)
        if seconds > 10:
            break
    return float(seconds), walks


def _numbers(walks: list[list[str]], edges: Edges) -> Array:
    """PecanPy's walks as ours: (B, L) of our nodes."""
    place = {node: i for i, node in enumerate(edges.ids)}
    full = max(map(len, walks))
    return np.array([[place[node] for node in walk] for walk in walks if len(walk) == full])


def _row(
    count: int,
    mine: float,
    quality: tuple[float, float],
    name: str,
    theirs: float,
    compiling: float,
    their_quality: tuple[float, float],
) -> dict[str, Any]:
    return {
        "what": f"{count:,} walks of {WALKS.length}",
        "ours": round(mine, 3),
        "peer": round(theirs, 3),
        "peer_name": name,
        "ratio": round(theirs / mine, 1),
        "unit": "s",
        "ours_quality": "p {:.3f}, {:.3f}".format(*quality),
        "peer_quality": "p {:.3f}, {:.3f}".format(*their_quality)
        + (f"; and {compiling:.1f} s of compiling" if compiling else ""),
    }


def chance(walks: Array, graph: WalkGraph, config: WalkConfig, pairs: int = PAIRS) -> tuple[float, float]:
    """(p of all pairs in one, p of all one by one) of walks (B, L) that are all full; see the module.

    One by one, pairs are left out where one of the two ways on is expected fewer than five times.
    """
    from scipy import stats

    key = walks[:, :-2].astype(np.int64) * graph.nodes + walks[:, 1:-1]
    keys, times = np.unique(key, return_counts=True)
    chosen = np.sort(keys[np.argsort(-times, kind="stable")[:pairs]])
    at = np.minimum(np.searchsorted(chosen, key), len(chosen) - 1)
    mine = chosen[at] == key
    order = np.argsort(at[mine], kind="stable")
    after = np.split(walks[:, 2:][mine][order], np.cumsum(np.bincount(at[mine], minlength=len(chosen)))[:-1])
    value, freedom = 0.0, 0
    sums = np.zeros((2, 3))  # returns, common neighbours among the rest: seen, expected, variance
    for pair, x in zip(chosen.tolist(), after, strict=True):
        before, node = divmod(pair, graph.nodes)
        around, near = (graph.indices[graph.indptr[v] : graph.indptr[v + 1]] for v in (node, before))
        seen = _kinds(x, before, near)
        back, common, away = _kinds(around, before, near) * [1 / config.p, 1, 1 / config.q]
        n, rest = len(x), len(x) - seen[0]
        for row, times_, count, share in ((0, n, seen[0], back / (back + common + away)),
                                          (1, rest, seen[1], common / max(common + away, 1e-9))):  # fmt: skip
            sums[row] += [count, times_ * share, times_ * share * (1 - share)]
        expected = rest * np.array([common, away]) / max(common + away, 1e-9)
        if expected.min() >= 5:
            value += float(((seen[1:] - expected) ** 2 / expected).sum())
            freedom += 1
    pooled = ((sums[:, 0] - sums[:, 1]) ** 2 / np.maximum(sums[:, 2], 1e-9)).sum()
    return float(stats.chi2.sf(pooled, 2)), float(stats.chi2.sf(value, freedom))


def _kinds(nodes: Array, before: int, near: Array) -> Array:
    """How many of the nodes are a return, common neighbours (they are `near`), and away."""
    return np.bincount(np.where(nodes == before, 0, np.where(np.isin(nodes, near), 1, 2)), minlength=3)
