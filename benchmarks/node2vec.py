"""node2vec on BlogCatalog: walks against PecanPy, labels predicted from the vectors against the published figure.

p = q = 0.25, 10 walks of 80 nodes, dimension 128, window 10, 5 negatives, 1 epoch, 2 threads. Walks: the graph is built
and walked; PecanPy in the mode that keeps no table per edge pair. Quality: macro-F1 of one-vs-rest logistic regression
on half of the nodes, the number of labels of each of the others known; +- is the standard deviation over the splits.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.edges import Edges
from embeddings.node2vec import Node2Vec, Node2VecConfig
from embeddings.node_vectors import NodeVectors
from embeddings.skipgram import SkipGramConfig
from embeddings.walks import WalkConfig, Walks
from graph.errors import InvalidInput
from graph.importers.edgelist import read_labels

WALKS = WalkConfig(p=0.25, q=0.25, walks=10, length=80)
THREADS = 2
RUNS = 3
PUBLISHED = 0.258


def run(seeds: tuple[int, ...] = (0,), splits: int = 5) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data set or scikit-learn is missing.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise InvalidInput("needs scikit-learn: pip install scikit-learn") from error
    path = Path(os.environ.get("SEGUE_DATA", "../shared/data")) / "blogcatalog" / "blogcatalog.mat"
    edges, labels = Edges.read(path), _labels(path)
    rows = [_walk_row(edges)]
    scores, seconds = [], []
    for seed in seeds:
        config = Node2VecConfig(WALKS, SkipGramConfig())
        found = Node2Vec.fit(edges, config, rng=np.random.default_rng(seed), workers=THREADS)
        seconds.append(found.walk_s + found.train_s)
        scores += [f1_scores(found, labels, split) for split in range(splits)]
    macro, micro = np.array(scores).T
    rows.append(
        {
            "what": "macro-F1, half of the nodes",
            "ours": round(float(macro.mean()), 4),
            "peer": PUBLISHED,
            "peer_name": "node2vec as published",
            "ratio": round(float(macro.mean()) / PUBLISHED, 3),
            "unit": "macro-F1",
            "ours_quality": f"+- {macro.std():.4f}, micro {micro.mean():.4f}, {min(seconds):.1f} s",
            "peer_quality": None,
        }
    )
    return rows


def f1_scores(found: NodeVectors, labels: dict[str, set[int]], seed: int) -> tuple[float, float]:
    """(macro-F1, micro-F1) on half of the labelled nodes, trained on the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.multiclass import OneVsRestClassifier

    place = {node: i for i, node in enumerate(found.ids)}
    nodes = [node for node in found.ids if node in labels]
    features = found.vectors[[place[node] for node in nodes]]
    classes = sorted({label for mine in labels.values() for label in mine})
    truth = np.array([[label in labels[node] for label in classes] for node in nodes], dtype=np.int8)
    order = np.random.default_rng(seed).permutation(len(nodes))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels that no training node has
        model = OneVsRestClassifier(LogisticRegression(solver="liblinear")).fit(features[train], truth[train])
        chances = model.predict_proba(features[test])
    ranks = (-chances).argsort(axis=1).argsort(axis=1)
    guessed = (ranks < truth[test].sum(axis=1)[:, None]).astype(np.int8)
    return tuple(float(f1_score(truth[test], guessed, average=kind, zero_division=0)) for kind in ("macro", "micro"))


def _labels(path: Path) -> dict[str, set[int]]:
    found = read_labels(path)
    if found is None:
        raise InvalidInput(f"{path}: expected labels `group`")
    labels: dict[str, set[int]] = {}
    for node, label in found.rows():
        labels.setdefault(node, set()).add(int(label))
    return labels


def _walk_row(edges: Edges) -> dict[str, Any]:
    def ours(config: WalkConfig) -> float:
        began = time.perf_counter()
        for _ in Walks(edges.graph(), config, seed=1, threads=THREADS):
            pass
        return time.perf_counter() - began

    name, theirs = _peer(edges)
    for walk in (ours, theirs):
        walk(WalkConfig(p=WALKS.p, q=WALKS.q, walks=1, length=2))  # compiles
    times = [(ours(WALKS), theirs(WALKS)) for _ in range(RUNS)]
    mine, peer = (min(column) for column in zip(*times, strict=True))
    n = WALKS.walks * len(edges.ids)
    return {
        "what": f"{n} walks of {WALKS.length}, graph building included",
        "ours": round(mine, 3),
        "peer": round(peer, 3),
        "peer_name": name,
        "ratio": round(peer / mine, 1),
        "unit": "s",
        "ours_quality": f"{n / mine:.0f} walks/s",
        "peer_quality": f"{n / peer:.0f} walks/s",
    }


def _peer(edges: Edges) -> tuple[str, Callable[[WalkConfig], float]]:
    """The seconds of PecanPy where it is installed, else of the reference way on networkx."""
    try:
        from pecanpy.pecanpy import SparseOTF
    except (ImportError, AttributeError):  # its nptyping asks numpy 2 for names of numpy 1
        return "node2vec on networkx, 1 walk in 1,000 scaled up", _networkx(edges)

    graph = edges.graph()

    def seconds(config: WalkConfig) -> float:
        began = time.perf_counter()
        peer = SparseOTF(p=config.p, q=config.q, workers=THREADS, verbose=False)
        peer.set_node_ids(edges.ids)
        peer.indptr, peer.indices = graph.indptr.astype(np.uint32), graph.indices.astype(np.uint32)
        peer.data = np.ones(len(graph.indices), dtype=np.float32)
        peer.simulate_walks(config.walks, config.length)
        return time.perf_counter() - began

    return "PecanPy SparseOTF", seconds


def _networkx(edges: Edges, share: int = 1000) -> Callable[[WalkConfig], float]:
    import networkx

    graph = networkx.Graph()
    graph.add_edges_from(zip(edges.source.tolist(), edges.target.tolist(), strict=True))

    def bias(config: WalkConfig, before: int | None, x: int) -> float:
        if x == before:
            return 1 / config.p
        return 1.0 if before is None or graph.has_edge(before, x) else 1 / config.q

    def seconds(config: WalkConfig) -> float:
        rng = np.random.default_rng(0)
        starts = rng.integers(len(edges.ids), size=max(1, config.walks * len(edges.ids) // share))
        began = time.perf_counter()
        for start in starts.tolist():
            before, node = None, start
            for _ in range(config.length - 1):
                near = list(graph[node])
                ends = np.cumsum([bias(config, before, x) for x in near])
                before, node = node, near[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]
        return (time.perf_counter() - began) * config.walks * len(edges.ids) / len(starts)

    return seconds
