"""Linear recall from the interaction graph, alone and with each relation joined, beside implicit's item-item models.

`lastfm-lightgcnpp`, given split, full ranking, training items masked; friends, tags and play counts are joined through
the two maps (`ranking.sides` says what is left out so that nothing tells of held-out pairs). `FROZEN` and `PEERS` were
chosen on the validation part; `sharp` and the ridge of the listener kernel, which came after the kernel without them
(`LINEAR`) had been scored on the test part, on two of five folds of the training and validation parts together, and
`items` after a look at all five. All were committed before the test part was scored with them. What is measured is the
channel as it serves: `neighbours` of each song, `kept` of each listener. `ours` and `peer` are recall@10; beside them
NDCG@10 and the time of a fit; +- is the standard error of the paired difference over listeners.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import sparse

from benchmarks._peers import THREADS, peer
from benchmarks._plots import bars, needed
from benchmarks.gnn_graph import split
from graph.release import Release
from graph.snapshot.arrays import Array
from ranking.evaluation import Data, measure
from ranking.metrics import Scoreboard
from ranking.training import best_first
from recall.base import Query
from recall.channels.listener_kernel import ListenerKernelConfig
from recall.discovery import channel_type
from recall.linear.matrices import interaction_matrix

ALONE: Final = {"gamma": {"HAS_TAG": 0.0, "FOLLOWS": 0.0}}
EASE: Final = {"neighbours": 1000, "by_strength": 0.0, "ridge": 160.0, "beta": 0.2, "tilt": 0.2, **ALONE}
WALKED: Final = {"HAS_TAG": 0.03, "FOLLOWS": 0.3}
KERNEL: Final = dict(ListenerKernelConfig().gamma)
LINEAR: Final[Mapping[str, Any]] = {"sharp": 0.0, "items": 0.0, "ridge": 1.5}
FROZEN: Final[dict[str, tuple[str, Mapping[str, Any]]]] = {
    "ease, interactions alone": ("ease", EASE),
    "ease with play counts": ("ease", {**EASE, "by_strength": 0.8}),
    "ease with play counts and tags": ("ease", {"neighbours": 1000}),
    "ease with play counts, tags and friends": ("ease", {"neighbours": 1000, "gamma": {"FOLLOWS": 0.1}}),
    "listener-kernel, neither sharp nor items": ("listener_kernel", LINEAR),
    "listener-kernel": ("listener_kernel", {}),
    "graph-filter, interactions alone": ("graph_filter", {}),
    "graph-filter with tags": ("graph_filter", {"gamma": {"HAS_TAG": 0.1}}),
    "p3alpha, interactions alone": ("p3alpha", {}),
    "p3alpha with tags and friends": ("p3alpha", {"gamma": WALKED}),
    "rp3beta, interactions alone": ("rp3beta", {}),
    "rp3beta with tags and friends": ("rp3beta", {"gamma": WALKED}),
    "item-knn": ("item_knn", {}),
}
PEERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "CosineRecommender": {"K": 1000},
    "BM25Recommender": {"K": 400, "K1": 1.2, "B": 0.1},
}


def run(part: str = "test") -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot; `part` is test or, for choosing settings, valid.

    Raises: InvalidInput if a data set, implicit or matplotlib is missing.
    """
    needed()
    data = split()
    data = data if part == "test" else replace(data, truth=data.valid)
    theirs = {name: implicit(name, data) for name in PEERS}
    best = max(theirs, key=lambda name: theirs[name][0].means()["recall@10"])
    boards = {what: scored(data, *model) for what, model in FROZEN.items()}
    rows = [_row(what, board, theirs[best], f"implicit {best}") for what, board in boards.items()]
    if part == "test":
        _plot({**boards, **{f"implicit {name}": found for name, found in theirs.items()}})
    whole = boards["listener-kernel"]
    for what, options in without().items():
        rows.append(_row(f"listener-kernel {what}", scored(data, "listener_kernel", options), whole, "as frozen"))
    rows += [_row(f"item-knn against {name}", boards["item-knn"], theirs[name], name) for name in PEERS]
    return rows


def without() -> dict[str, dict[str, Any]]:
    """The listener kernel's options with each relation taken out of all its paths, with each part left out, and with
    listens alone."""
    found: dict[str, dict[str, Any]] = {}
    for relation in ("HAS_TAG", "FOLLOWS", "PERFORMED_BY"):
        gone = {path: 0.0 for path in KERNEL if relation in path.split("/")}
        found[f"without {relation}"] = {"gamma": gone}
    found["without items"] = {"items": 0.0}
    found["not sharp"] = {"sharp": 0.0, "ridge": LINEAR["ridge"]}
    found["without play counts"] = {"by_strength": 0.0}
    only = {path: 0.0 for path in KERNEL if set(path.split("/")) != {"LISTENED"}}
    found["with listens alone, no play counts"] = {"gamma": only, "by_strength": 0.0}
    return found


def scored(data: Data, name: str, options: Mapping[str, Any]) -> tuple[Scoreboard, float]:
    """Metrics by listener of the channel as it serves, and the seconds that preparing it took."""
    kind = channel_type(name)
    config = kind.configure(options)
    with tempfile.TemporaryDirectory() as folder:
        data.train.write(Path(folder) / "snapshot")
        mine = Path(folder) / "recall" / name
        mine.mkdir(parents=True)
        snapshot = Release.open(Path(folder)).snapshot
        began = time.perf_counter()
        kind.channel.prepare(snapshot, {}, config, mine, rng=np.random.default_rng(0))
        seconds = time.perf_counter() - began
        release = Release.open(Path(folder))
        channel = kind.channel(release, config)

        def rank(query: Query) -> Any:
            return best_first(channel.recall(query, 100), release.snapshot)

        return measure(rank, data, (10,)), seconds


def implicit(name: str, data: Data) -> tuple[Scoreboard, float]:
    """The same of one of implicit's item-item models."""
    module = peer("implicit.nearest_neighbours")
    heard = sparse.csr_matrix(interaction_matrix(data.train))
    model = getattr(module, name)(**PEERS[name], num_threads=THREADS)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own weighting makes a matrix that it then asks to be CSR
        model.fit(heard, show_progress=False)
    seconds = time.perf_counter() - began
    arrival = np.argsort(data.train.histories.first_seen, kind="stable")

    def rank(query: Query) -> Any:
        scores = (heard[[query.listener.user]] @ model.similarity).toarray().ravel()
        ranked = arrival[np.argsort(-scores[arrival], kind="stable")]
        return ranked[query.allowed[ranked]]

    return measure(rank, data, (10,)), seconds


def _row(what: str, ours: tuple[Scoreboard, float], theirs: tuple[Scoreboard, float], name: str) -> dict[str, Any]:
    mine, other = (board.values("recall@10") for board, _ in (ours, theirs))
    difference = mine - other
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return {
        "what": what,
        "ours": round(float(mine.mean()), 4),
        "peer": round(float(other.mean()), 4),
        "peer_name": name,
        "ratio": round(float(mine.mean() / other.mean()), 3),
        "unit": "recall@10",
        "ours_quality": f"{_told(ours)}, difference {difference.mean():+.4f} +- {error:.4f}",
        "peer_quality": _told(theirs),
    }


def _plot(found: Mapping[str, tuple[Scoreboard, float]]) -> None:
    metrics = ("recall@10", "ndcg@10")

    def summary(values: Array) -> tuple[float, float]:
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))

    panels = {
        f"lastfm-lightgcnpp: {metric}": {what: summary(board.values(metric)) for what, (board, _) in found.items()}
        for metric in metrics
    }
    bars("recall-linear", panels)


def _told(scored: tuple[Scoreboard, float]) -> str:
    board, seconds = scored
    return f"NDCG@10 {board.means()['ndcg@10']:.4f}, fit {seconds:.1f} s"
