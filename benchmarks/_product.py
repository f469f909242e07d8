"""What a refresh makes of a data set with no settings, and how its default scene is measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from api.commands.evaluate import read_data
from api.settings import Settings
from benchmarks.channels import WORLD
from benchmarks.recall_lbs import cut as cut_places
from benchmarks.recall_lbs import gowalla
from graph.errors import InvalidInput
from graph.importers.base import open_importer
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from ranking.cascade import Cascade
from ranking.evaluation import Data, learned, prepare, teaching
from ranking.learning import Learner, LearningConfig, default_models
from ranking.metrics import ndcg_at, recall_at
from ranking.scene import SceneConfig, unhurried
from ranking.training import best_first, loved, sampled
from recall.channels.popularity import Popularity
from recall.discovery import channel_type
from recall.listeners.listener import Listener

K: Final = 10
LISTENERS: Final = 2000
TEST_SHARE: Final = 0.1
"""Newest share of a world's events, which measures."""
DAY_MS: Final = 86_400_000
Truth = list[tuple[int, Array]]


@dataclass(frozen=True)
class Built:
    """A release under construction, the default scene, what listeners went on to love, and the time of the question."""

    folder: Path
    learner: Learner
    scene: SceneConfig
    release: Release
    truth: Truth
    at: int
    data: Data | None = None
    name: str = "radio"

    def cascade(self, scene: SceneConfig | None = None) -> Cascade:
        """The scene, or another one, over the release as it ships."""
        return Cascade(self.release, self.scene if scene is None else scene, self.name)


def default_scene(name: str = "radio") -> SceneConfig:
    """A scene as it ships, without its time budget; heard songs stay out, which would be easy to guess."""
    return replace(unhurried(Settings().scene_configs()[name]), heard="never")


@contextmanager
def built(name: str, scene: SceneConfig | None = None) -> Iterator[Built]:
    """One of `SETS`, `gowalla-capri`, or `world-SEED`, with the models, channels, fusion and ranker of the default
    settings. What is asked is `radio`; of `gowalla-capri`, `nearby`, with the models that its channels need.

    Raises: InvalidInput for an unknown name or data that are missing.
    """
    scene = default_scene("nearby" if name == PLACES else "radio") if scene is None else scene
    with tempfile.TemporaryDirectory(prefix="segue-product-") as there:
        folder = Path(there) / "build"
        if name.startswith("world-"):
            yield _of_world(int(name.removeprefix("world-")), folder, scene)
        elif name in SETS:
            yield _of_data(folder, scene, **SETS[name])
        elif name == PLACES:
            yield _of_places(folder, scene)
        else:
            raise InvalidInput(f"unknown data set {name!r} (known: {', '.join(SETS)}, {PLACES}, world-SEED)")


def world_until(path: Path, options: Mapping[str, int], share: float | None = None) -> tuple[Snapshot, Truth, int]:
    """A world as it was before its newest `share` of events, or before its last day, what listeners loved from then on,
    and that time."""
    batch = open_importer("world", path, dict(options)).read(lambda *_: None)
    events, shown = (frame.with_row_index("offset", offset=1) for frame in (batch.events, batch.exposures))
    times = np.sort(events["at"].to_numpy())
    end = int(times[-1]) - DAY_MS if share is None else int(times[int(len(times) * (1 - share))])
    whole = Snapshot.of_frames(batch.nodes, batch.relationships, events, shown)
    edges = {
        relationship: frame.filter(*(pl.col(name).is_null() | (pl.col(name) < end) for name in _times(frame)))
        for relationship, frame in batch.relationships.items()
    }
    past = Snapshot.of_frames(batch.nodes, edges, *(frame.filter(pl.col("at") < end) for frame in (events, shown)))
    return past, list(loved(whole.histories, whole.histories.at >= end)), end


def _times(frame: pl.DataFrame) -> list[str]:
    """The columns that say when a relationship came about."""
    return [name for name in ("at", "since") if name in frame.columns]


def _of_world(seed: int, folder: Path, scene: SceneConfig) -> Built:
    past, truth, end = world_until(folder.parent / "world", {**WORLD, "seed": seed}, TEST_SHARE)
    past.write(folder / "snapshot")
    learner = Learner({"radio": scene}, LearningConfig(seed=seed))
    learner.learn(folder)
    learner.bring_to_end(folder)
    return Built(folder, learner, scene, Release.open(folder), truth, end)


def _of_data(folder: Path, scene: SceneConfig, data: str, protocol: str, sides: Sequence[str] = ()) -> Built:
    root = Path(os.environ.get("SEGUE_DATA", "../shared/data"))
    if not root.is_dir():
        raise InvalidInput(f"{root}: the data sets are not there (SEGUE_DATA says where)")
    format_, _, path = data.partition(":")
    batch = read_data(f"{format_}:{root / path}", protocol, lambda *_: None)
    joined = [f"{side.partition(':')[0]}:{root / side.partition(':')[2]}" for side in sides]
    cut = prepare(batch, protocol, 0, sides=joined, maps=root / path if sides else None)
    cut.train.write(folder / "snapshot")
    learner = Learner({"radio": scene}, LearningConfig(measure_share=0.0, **({"rank_share": 0.0} if cut.valid else {})))
    release = learned(folder, learner, cut)
    truth = sampled(iter(cut.truth), LISTENERS, np.random.default_rng(0))
    return Built(folder, learner, scene, release, truth, max(release.snapshot.as_of, 0), cut)


def ranked_again(made: Built, learner: Learner) -> Release:
    """The release with fusion and ranker learned anew by the learner, its models and channels as they are."""
    if made.data is None:
        learner.rank(made.folder)
    elif made.data.valid:
        learner.rank(made.folder, made.data.valid)
        return Release.open(made.folder).measured()
    else:
        teaching(learner, made.data).rank(made.folder)
    return Release.open(made.folder)


def _of_places(folder: Path, scene: SceneConfig) -> Built:
    """Check-ins, cut as the data set has it; a listener is asked without a place, as the protocol knows none: near are
    the cells of the own check-ins."""
    batch = gowalla(folder.parent / "tables")
    cut = cut_places(batch, batch.events)
    cut.train.write(folder / "snapshot")
    needed = {model for name, use in scene.channels.items() for model in channel_type(name, use.use).vectors}
    models = {name: config for name, config in default_models().items() if name in needed}
    learner = Learner({"nearby": scene}, LearningConfig(measure_share=0.0, models=models))
    release = learned(folder, learner, cut)
    return Built(folder, learner, scene, release, cut.truth, max(release.snapshot.as_of, 0), cut, "nearby")


PLACES: Final = "gowalla-capri"
SETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "lastfm, sides": {
        "data": "lightgcn:lastfm-lightgcnpp",
        "protocol": "given",
        "sides": ("lastfm:lastfm-2k",),
    },
    "lastfm": {"data": "lightgcn:lastfm-lightgcnpp", "protocol": "given"},
    "ml-100k": {"data": "recbole:ml-100k", "protocol": "temporal"},
    "s3rec lastfm": {"data": "s3rec:s3rec/LastFM.txt", "protocol": "leave-one-out"},
}


@dataclass(frozen=True)
class Measured:
    """Recall@10 and NDCG@10 of each listener (L,), and the share of the catalogue that their lists hold."""

    recall: Array
    ndcg: Array
    coverage: float


def measured(built_: Built, rankings: Mapping[str, Callable[[Any], Array]], k: int = K) -> dict[str, Measured]:
    """What each ranking, a function of a query, shows the listeners of the truth in its first `k` places."""
    ask = built_.cascade().ask
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in rankings}
    shown: dict[str, set[int]] = {name: set() for name in rankings}
    snapshot = built_.release.snapshot
    for user, songs in built_.truth:
        query = ask(Listener.of(snapshot, snapshot.ids["User"][user]), built_.at)
        relevant = songs[query.allowed[songs]]
        if not len(relevant):
            continue
        for name, rank in rankings.items():
            found = rank(query)[:k]
            hits = np.isin(found, relevant)
            rows[name].append((recall_at(hits, len(relevant), k), ndcg_at(hits, len(relevant), k)))
            shown[name].update(found.tolist())
    return {
        name: Measured(*np.array(pairs).T, len(shown[name]) / snapshot.songs) for name, pairs in rows.items() if pairs
    }


def slates(cascade: Cascade, n: int = K) -> Callable[[Any], Array]:
    """The scene as a ranking."""
    return lambda query: cascade.slate(query, n).songs


def alone(cascade: Cascade) -> dict[str, Callable[[Any], Array]]:
    """Each channel of the scene as a ranking, equal scores by first appearance."""
    return {
        name: (lambda query, channel=channel: best_first(channel.recall(query, K), cascade.snapshot))
        for name, channel in cascade.channels.items()
    }


def popularity(built_: Built) -> Callable[[Any], Array]:
    """The songs with the most listeners as a ranking."""
    channel = Popularity(built_.release)
    return lambda query: best_first(channel.recall(query, K), built_.release.snapshot)


def interval(ours: Array, theirs: Array) -> str:
    """The mean difference of pairs with its 95 % interval, as text."""
    difference = ours - theirs
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else float("nan")
    return f"{difference.mean():+.4f} +- {half:.4f}"
