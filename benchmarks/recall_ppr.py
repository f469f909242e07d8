"""Personalised PageRank by compiled push against networkx, with scikit-network reported.

Friendships of Gowalla (CAPRI) and of BlogCatalog, both ways, and a made graph of 50,000 people who follow 10 others,
the well known ones more. One row a graph and peer: milliseconds for the nearest 100 of one person, mean over people
drawn with a seed of its own each time, ours and the peers one after the other for the same person, the least of
several times. Quality is the share of the 100 that stand among the true 100, by power iteration to 1e-14; what ties
with the last of those counts as among them. +- is the standard deviation over the seeds. networkx runs with its own
tolerance, scikit-network by power iteration (its `push` takes seconds). Ours runs on one thread; compiling is not
counted, nor is making the peer's graph.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._peers import peer
from benchmarks._plots import needed, plotted
from graph.errors import InvalidInput
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation
from recall.pagerank.circles import nearest

TOP: Final = 100
SEEDS: Final = (0, 1, 2)
PEOPLE: Final = 4
RESTART: Final = 0.15
RUNNERS: Final = ("ours", "networkx", "scikit-network")
TOLERANCES: Final = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
TOLERANCE: Final = 1e-7


def run(seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot.

    Raises: InvalidInput if the data or a peer are missing.
    """
    needed()
    peer("sknetwork")
    rows, curves = [], {}
    for name, follows in graphs().items():
        found = [_measured(follows, seed) for seed in seeds]
        rows += [_row(name, other, found) for other in RUNNERS[1:]]
        curves[name] = _curve(follows, seeds[0])
    _plot(curves)
    return rows


def graphs() -> dict[str, Relation]:
    """The follow graphs.

    Raises: InvalidInput if a data set is missing.
    """
    root = Path(os.environ.get("SEGUE_DATA", "../shared/data"))
    friends = root / "gowalla-capri" / "socialRelations.txt"
    blogs = root / "blogcatalog"
    for path in (friends, blogs):
        if not path.exists():
            raise InvalidInput(f"{path}: expected a data set (set SEGUE_DATA)")
    rng = np.random.default_rng(7)
    people = 50_000
    made = np.stack(
        [np.repeat(np.arange(people), 10), (people * rng.random(10 * people) ** 2).astype(np.int64)], axis=1
    )
    return {
        "gowalla-capri": _follows(_both(np.loadtxt(friends, dtype=np.int64))),
        "blogcatalog": _follows(_both(_blogs(blogs))),
        "50,000 people": _follows(made),
    }


def _blogs(folder: Path) -> Array:
    from scipy.io import loadmat

    network = loadmat(folder / "blogcatalog.mat")["network"].tocoo()
    return np.stack([network.row, network.col], axis=1).astype(np.int64)


def _both(edges: Array) -> Array:
    return np.concatenate([edges, edges[:, ::-1]])


def _follows(edges: Array) -> Relation:
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    people = int(edges.max()) + 1
    return Relation.of_edges("FOLLOWS:User:User", edges[:, 0], edges[:, 1], {}, people, people)


def _measured(follows: Relation, seed: int) -> dict[str, float]:
    """Milliseconds a person of ours and of the peers, and the shares of the top that are right."""
    import networkx as nx
    from scipy import sparse
    from sknetwork.ranking import PageRank

    shape = (follows.sources, follows.targets)
    matrix = sparse.csr_matrix((np.ones(len(follows)), follows.indices, follows.indptr), shape=shape)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(follows.sources))
    graph.add_edges_from(zip(follows.edge_sources.tolist(), follows.indices.tolist(), strict=True))
    people = _drawn(follows, PEOPLE, seed)
    nearest(follows, people[:1], TOP, restart=RESTART, tolerance=1e-3)  # compiles
    ms: dict[str, list[float]] = {name: [] for name in RUNNERS}
    right: dict[str, list[float]] = {name: [] for name in RUNNERS}
    for person in people.tolist():
        one, exact = np.array([person], dtype=np.int32), _exact(matrix, person)
        circles, spent = _timed(lambda one=one: nearest(follows, one, TOP, tolerance=TOLERANCE, threads=1), 5)
        mass, theirs = _timed(lambda person=person: nx.pagerank(graph, 1 - RESTART, {person: 1}), 2)
        ranker = PageRank(1 - RESTART, solver="piteration", n_iter=200, tol=TOLERANCE)
        scores, other = _timed(lambda person=person, ranker=ranker: ranker.fit_predict(matrix, {person: 1}), 3)
        tops = (circles.people[0], _top(np.array([mass[i] for i in range(len(graph))]), person), _top(scores, person))
        for name, took, top in zip(RUNNERS, (spent, theirs, other), tops, strict=True):
            ms[name].append(took)
            right[name].append(_right(top, exact))
    means = {f"{name} right": float(np.mean(values)) for name, values in right.items()}
    return means | {name: float(np.mean(values)) for name, values in ms.items()}


def _drawn(follows: Relation, count: int, seed: int) -> Array:
    """People who follow somebody."""
    able = np.flatnonzero(np.diff(follows.indptr) > 0)
    return np.random.default_rng(seed).choice(able, count, replace=False).astype(np.int32)


def _exact(matrix: Any, person: int) -> Array:
    """(N,) the mass of everybody, that of the person left out; dead ends lead back."""
    degrees = np.asarray(matrix.sum(axis=1)).ravel()
    steps = matrix.T.tocsr()
    mass = np.zeros(matrix.shape[0])
    mass[person] = 1
    for _ in range(200):
        moved = (1 - RESTART) * (steps @ np.divide(mass, degrees, out=np.zeros_like(mass), where=degrees > 0))
        moved[person] += 1 - moved.sum()
        mass = moved
    mass[person] = 0
    return mass


def _top(scores: Array, person: int) -> Array:
    scores = np.array(scores)
    scores[person] = 0
    return np.argsort(-scores, kind="stable")[:TOP]


def _timed(work: Any, times: int) -> tuple[Any, float]:
    """What it gives, and its least milliseconds."""
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        found = work()
        best = min(best, (time.perf_counter() - began) * 1000)
    return found, best


def _right(people: Array, exact: Array) -> float:
    """Share of the top that stands among the top of `exact`, ties with its last one included."""
    most = min(TOP, int((exact > 0).sum()))
    border = np.sort(exact)[-most]
    people = people[people >= 0][:most]
    return float((exact[people] >= border * (1 - 1e-6)).sum() / most)


def _row(name: str, peer: str, found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    def of(key: str) -> tuple[float, float]:
        values = [one[key] for one in found]
        return float(np.mean(values)), float(np.std(values))

    (ours, spread), (theirs, other) = of("ours"), of(peer)
    mine, also = of("ours right")[0], of(f"{peer} right")[0]
    return {
        "what": f"{name}: nearest {TOP} of one person",
        "ours": round(ours, 3),
        "peer": round(theirs, 3),
        "peer_name": peer,
        "ratio": round(theirs / ours, 1),
        "unit": "ms",
        "ours_quality": f"{mine:.1%} of the top {TOP}, +- {spread:.3f} ms",
        "peer_quality": f"{also:.1%} of the top {TOP}, +- {other:.1f} ms",
    }


def _curve(follows: Relation, seed: int) -> list[tuple[float, float]]:
    """(milliseconds, share of the top right) of ours by tolerance, beside the finest of them."""
    people = _drawn(follows, 2 * PEOPLE, seed)
    finest = nearest(follows, people, follows.sources, tolerance=TOLERANCES[-1] / 10)
    exact = np.zeros((len(people), follows.sources))
    for row, found, mass in zip(exact, finest.people, finest.mass, strict=True):
        row[found[found >= 0]] = mass[found >= 0]
    curve = []
    for tolerance in TOLERANCES:
        circles, spent = _timed(lambda t=tolerance: nearest(follows, people, TOP, tolerance=t, threads=1), 2)
        right = [_right(found, row) for found, row in zip(circles.people, exact, strict=True)]
        curve.append((spent / len(people), float(np.mean(right))))
    return curve


def _plot(curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    with plotted("recall-ppr", size=(6, 3.4)) as (axes,):
        for name, curve in curves.items():
            axes.plot([ms for ms, _ in curve], [right for _, right in curve], marker="o", label=name)
        axes.axhline(0.99, linestyle=":", color="grey")
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds a person")
        axes.set_ylabel(f"of the nearest {TOP} right")
        axes.set_title(f"push, tolerance {TOLERANCES[0]:g} to {TOLERANCES[-1]:g}")
        axes.legend()
