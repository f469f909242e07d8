"""All channels under learned quotas and weights, against every channel alone, on `lastfm-lightgcnpp` and in the world.

`lastfm-lightgcnpp`, given split, full ranking, training items masked; friends, tags and play counts are joined through
the two maps (`ranking.sides` says what is left out so that nothing tells of held-out pairs). Every channel learns from
the training part; quotas and weights of the fused list are fitted to the validation part, which no channel learns from
(LightGCN++ only ends its training by it, as published). On `valid` itself they are fitted to four fifths of the
listeners and judged on the others, by turns. `CHANNELS`, `POOL` and `ASKED` were chosen so, and committed before the
test part was scored. +- is the standard error of the paired difference over listeners.

The world: the scene `radio` and the linear channels, its merged pool in the order of the fused score (no ranker),
against each of its channels alone; quotas, calibrations and weights from the tenth of the log before the measured one.
NDCG@50, what a listener has heard left out, means over listeners; +- is the standard deviation over the seeds.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from recall.channels.relation_gcn import RelationGcn

from benchmarks import gnn_graph, gnn_quality
from benchmarks._plots import needed, plotted
from benchmarks.channels import WORLD, world_snapshot
from benchmarks.recall_linear import ALONE, LINEAR
from embeddings.vectors.model_vectors import ModelVectors
from graph.release import Release
from graph.snapshot.arrays import Array
from ranking.cascade import Cascade
from ranking.evaluation import Data
from ranking.learning import Learner, LearningConfig, unhurried
from ranking.metrics import ndcg_at, recall_at
from ranking.scene import ChannelUse, SceneConfig, default_channels
from ranking.training import MEASURE, RANK, best_first, fit_fusion, loved
from recall.base import Candidates, Query
from recall.blend.fusion import Fusion, Outcome
from recall.blend.merge import merge
from recall.discovery import channel_type
from recall.listeners.listener import Listener

SEEDS: Final = (10, 11, 12)  # of the world; 0 to 3 were looked at while defaults were chosen
LASTFM: Final = "lastfm-lightgcnpp"
K: Final = 50
ADDED: Final = ("ease", "listener_kernel", "relation_gcn", "graph_filter", "rp3beta")
POOL: Final = 600
ASKED: Final = 150
FOLDS: Final = 5
TRAININGS: Final = (0, 1, 2)  # of LightGCN++, whose vectors stand side by side
LIGHT: Final = "lightgcnpp, passed on over tags"
CHANNELS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "listener_kernel": ("listener_kernel", LINEAR),
    "ease": ("ease", {"neighbours": 1000}),
    "ease, interactions alone": (
        "ease",
        {"neighbours": 1000, "by_strength": 0.0, "ridge": 160.0, "beta": 0.2, "tilt": 0.2, **ALONE},
    ),
    "relation_gcn": ("relation_gcn", {"smooth": 0.0, "tilt": 0.0}),
    LIGHT: ("relation_gcn", {"smooth": 0.3, "smooth_ridge": 1.0, "tilt": 0.05}),
    "graph_filter": ("graph_filter", {"gamma": {"HAS_TAG": 0.1}}),
    "rp3beta": ("rp3beta", {"gamma": {"HAS_TAG": 0.03, "FOLLOWS": 0.3}}),
    "item_knn": ("item_knn", {}),
    "social": ("social", {"circle": 1.0, "fame": 0.15, "kept": 1000, "alike": 0.7}),
}
METRICS: Final = ("recall@10", "ndcg@10")
Scores = Mapping[str, Array]
"""Metric -> (listeners,)."""


def run(part: str = "test", seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot; `part` is test or, for choosing settings, valid.

    Raises: InvalidInput if a data set or matplotlib is missing.
    """
    needed()
    boards, fusion = on_lastfm(part)
    worlds = [in_a_world(seed) for seed in seeds]
    _plot(boards, worlds)
    return [*_lastfm_rows(boards, fusion), *_world_rows(worlds)]


def on_lastfm(part: str) -> tuple[dict[str, Scores], Fusion]:
    """Metrics of every listener by channel, and of the `fused` list, on `valid` or `test`; and what all of `valid`
    taught."""
    data = gnn_graph.split()
    with tempfile.TemporaryDirectory() as folder:
        found = proposals(data, Path(folder))
    taught = [Outcome(found[user], songs) for user, songs in data.valid]
    fusion = fitted(taught)
    if part == "test":
        outcomes = [Outcome(found[user], songs) for user, songs in data.truth]
        fused = [order(fusion, outcome) for outcome in outcomes]
    else:
        outcomes = taught
        fold = np.random.default_rng(0).integers(0, FOLDS, len(taught))
        by_fold = [fitted([o for o, f in zip(taught, fold, strict=True) if f != left]) for left in range(FOLDS)]
        fused = [order(by_fold[f], outcome) for f, outcome in zip(fold, outcomes, strict=True)]
    boards = {name: _scores([o.found[name].songs for o in outcomes], outcomes, 10) for name in CHANNELS}
    return boards | {"fused": _scores(fused, outcomes, 10)}, fusion


def proposals(data: Data, folder: Path) -> dict[int, dict[str, Candidates]]:
    """`ASKED` songs of every channel for everybody of `valid` and the truth."""
    snapshot = data.train
    users = sorted({user for user, _ in (*data.valid, *data.truth)})
    found: dict[int, dict[str, Candidates]] = {user: {} for user in users}
    for place, (what, (name, options)) in enumerate(CHANNELS.items()):
        kind = channel_type(name)
        config = kind.configure(options)
        mine = folder / str(place)
        snapshot.write(mine / "snapshot")
        (mine / "recall" / name).mkdir(parents=True)
        if what == LIGHT:
            RelationGcn.keep(snapshot, _side_by_side(data), config, mine / "recall" / name)
        else:
            kind.channel.prepare(snapshot, {}, config, mine / "recall" / name, rng=np.random.default_rng(0))
        release = Release.open(mine)
        channel = kind.channel(release, config)
        for user in users:
            listener = Listener.of(release.snapshot, snapshot.ids["User"][user])
            query = Query(listener, max(snapshot.as_of, 0), listener.heard.astype(np.int32))
            found[user][what] = channel.recall(query, ASKED)
    return found


def _side_by_side(data: Data) -> ModelVectors:
    """LightGCN++ of several seeds: the score of a pair is the sum of theirs."""
    vectors = [gnn_quality.trained("lightgcnpp", seed, data) for seed in TRAININGS]
    return ModelVectors(np.hstack([v.listeners for v in vectors]), np.hstack([v.songs for v in vectors]))


def fitted(outcomes: Sequence[Outcome]) -> Fusion:
    """Quotas and weights; every listener is answered by all channels, so one may count against a song."""
    fusion = Fusion.fit(outcomes, POOL, dict.fromkeys(CHANNELS, 1.0), float("inf"), signed=True)
    assert fusion is not None
    return fusion


def order(fusion: Fusion, outcome: Outcome) -> Array:
    """The songs of the pool, the best first, as they would be served."""
    return merge(outcome.within(fusion.quotas).found, fusion.quotas, {}, fusion).songs


def _scores(lists: Sequence[Array], outcomes: Sequence[Outcome], k: int) -> Scores:
    hits = [np.isin(songs, outcome.loved) for songs, outcome in zip(lists, outcomes, strict=True)]
    sizes = [len(outcome.loved) for outcome in outcomes]
    return {
        f"recall@{k}": np.array([recall_at(hit, size, k) for hit, size in zip(hits, sizes, strict=True)]),
        f"ndcg@{k}": np.array([ndcg_at(hit, size, k) for hit, size in zip(hits, sizes, strict=True)]),
    }


def in_a_world(seed: int, size: Mapping[str, int] | None = None) -> Scores:
    """NDCG@50 (listeners,) by channel and of the `fused` pool, in the world of a seed."""
    scene = unhurried(SceneConfig(channels=default_channels() | {name: ChannelUse() for name in ADDED}))
    learner = Learner({"radio": scene}, LearningConfig(seed=seed))
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        snapshot = world_snapshot(Path(folder) / "world", {**(size or WORLD), "seed": seed})
        build = Path(folder) / "build"
        snapshot.write(build / "snapshot")
        learner.embed(build)
        learner.recall(build)
        cuts, release = learner.cuts(snapshot), Release.open(build)
        before = Cascade(release.seeing(cuts.learning(release.snapshot)), scene)
        taught = list(loved(snapshot.histories, cuts.fold == RANK))
        fusion = fit_fusion(before, taught, cuts.rank_at)
        cascade = Cascade(release.seeing(cuts.known(release.snapshot)), scene)
        cascade.fusion = fusion if fusion is not None else cascade.fusion
        for user, songs in loved(snapshot.histories, cuts.fold == MEASURE):
            query = cascade.ask(Listener.of(cascade.snapshot, snapshot.ids["User"][user]), cuts.measure_at)
            relevant = songs[query.allowed[songs]]
            if not len(relevant):
                continue
            alone, _ = cascade.alone(query, K)
            lists = {name: best_first(one, cascade.snapshot) for name, one in alone.items()}
            lists["fused"] = cascade.pool(query)[0].songs
            for name in (*cascade.channels, "fused"):
                hits = np.isin(lists.get(name, ()), relevant)
                found[name].append(ndcg_at(hits, len(relevant), K))
    return {name: np.array(values) for name, values in found.items()}


def _lastfm_rows(boards: Mapping[str, Scores], fusion: Fusion) -> Iterator[dict[str, Any]]:
    """The fused list against the best channel alone, then each channel with its quota and weight."""
    for metric in METRICS:
        best = max(CHANNELS, key=lambda name: boards[name][metric].mean())
        for name in ("fused", *CHANNELS):
            mine, other = boards[name][metric], boards[best][metric]
            difference = mine - other
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            told = f", quota {fusion.quotas.get(name, 0)}, weight {fusion.weights.get(name, 0.0):+.2f}"
            yield {
                "what": f"{LASTFM}: {name}",
                "ours": round(float(mine.mean()), 4),
                "peer": round(float(other.mean()), 4),
                "peer_name": f"{best}, the best alone",
                "ratio": round(float(mine.mean() / other.mean()), 3),
                "unit": metric,
                "ours_quality": f"difference {difference.mean():+.4f} +- {error:.4f}{'' if name == 'fused' else told}",
                "peer_quality": None,
            }


def _world_rows(worlds: Sequence[Scores]) -> Iterator[dict[str, Any]]:
    """The fused pool and each channel against the channel that is the best over all seeds."""
    means = {name: np.array([one[name].mean() for one in worlds]) for name in worlds[0]}
    best = max((name for name in means if name != "fused"), key=lambda name: means[name].mean())
    for name in sorted(means, key=lambda name: -means[name].mean()):
        ratios = means[name] / means[best]
        yield {
            "what": f"world: {name}",
            "ours": round(float(means[name].mean()), 4),
            "peer": round(float(means[best].mean()), 4),
            "peer_name": f"{best}, the best alone",
            "ratio": round(float(ratios.mean()), 3),
            "unit": f"NDCG@{K}",
            "ours_quality": f"+- {means[name].std():.4f}, ratio +- {ratios.std():.3f}",
            "peer_quality": f"+- {means[best].std():.4f}",
        }


def _plot(boards: Mapping[str, Scores], worlds: Sequence[Scores]) -> None:
    with plotted("recall-fusion", 2, size=(11, 4)) as panels:
        of_listeners = {name: one["ndcg@10"] for name, one in boards.items()}
        lastfm = {name: (v.mean(), v.std() / np.sqrt(len(v))) for name, v in of_listeners.items()}
        seeds = {name: np.array([one[name].mean() for one in worlds]) for name in worlds[0]}
        world = {name: (v.mean(), v.std()) for name, v in seeds.items()}
        for panel, title, found in zip(
            panels, (f"{LASTFM}: NDCG@10", f"world: NDCG@{K}"), (lastfm, world), strict=True
        ):
            names = sorted(found, key=lambda name: found[name][0])
            colours = ["tab:orange" if name == "fused" else "tab:blue" for name in names]
            panel.barh(names, [found[n][0] for n in names], xerr=[found[n][1] for n in names], color=colours)
            panel.set_title(title, fontsize="medium")
