"""Every channel against popularity for its own audience, and the cascade against every channel, on the world.

A row a channel: mean recall@50 over the listeners whom the channel's `audience` declares (songs heard before left out
of lists and truth), popularity's for the same listeners beside it; then NDCG@10 of the cascade against each channel
over all listeners; then Song2Vec with gamma against gamma = 0 on songs with few plays. Spread: standard deviation over
the seeds, each with a world of its own.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.skipgram.song2vec import Song2VecConfig
from embeddings.vectors.model_vectors import ModelVectors
from graph.importers.base import open_importer
from graph.release import Release
from graph.snapshot.snapshot import Snapshot
from ranking.cascade import Cascade
from ranking.learning import Learner, LearningConfig
from ranking.metrics import ndcg_at, recall_at
from ranking.scene import SceneConfig
from ranking.training import TEST, best_first, loved
from recall.listeners.listener import Listener

SEEDS = (10, 11, 12)  # 0 to 3 were looked at while the world and the defaults were chosen
WORLD = {"users": 500, "songs": 2000, "days": 60, "events": 60_000}


def run(seeds: tuple[int, ...] = SEEDS, world: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them; `ours` and `peer` are qualities here."""
    collected: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            snapshot = world_snapshot(Path(folder) / "world", {**(world or WORLD), "seed": seed})
            for what, peer, unit, ours, theirs in _one(snapshot, Path(folder) / "build", seed):
                collected[what, peer, unit].append((ours, theirs))
    rows = []
    for (what, peer, unit), values in collected.items():
        ours, theirs = np.array(values).T
        rows.append(
            {
                "what": what,
                "ours": round(float(ours.mean()), 4),
                "peer": round(float(theirs.mean()), 4),
                "peer_name": peer,
                "ratio": round(float(ours.mean() / max(theirs.mean(), 1e-9)), 2),
                "unit": unit,
                "ours_quality": f"+- {ours.std():.4f}",
                "peer_quality": f"+- {theirs.std():.4f}",
            }
        )
    return rows


def world_snapshot(path: Path, options: dict[str, int]) -> Snapshot:
    """A world as a snapshot, without a store in between."""
    batch = open_importer("world", path, options).read(lambda *_: None)
    events, exposures = (frame.with_row_index("offset", offset=1) for frame in (batch.events, batch.exposures))
    return Snapshot.of_frames(batch.nodes, batch.relationships, events, exposures)


def learned(snapshot: Snapshot, folder: Path, learner: Learner) -> Release:
    """Everything a refresh learns, measured as it measures: seeing all events but the last cut."""
    snapshot.write(folder / "snapshot")
    learner.learn(folder)
    release = Release.open(folder).measured()
    return release.seeing(learner.split(release.snapshot).known(release.snapshot))


def _one(snapshot: Snapshot, folder: Path, seed: int) -> Iterator[tuple[str, str, str, float, float]]:
    learner = Learner({"radio": SceneConfig()}, LearningConfig(seed=seed))
    release = learned(snapshot, folder, learner)
    split = learner.split(snapshot)
    cascade = Cascade(release, SceneConfig(), "radio")
    recalls: dict[str, list[tuple[float, float]]] = defaultdict(list)
    gains: dict[str, list[float]] = defaultdict(list)
    for user, songs in loved(snapshot.histories, split.subset == TEST):
        query = cascade.ask(Listener.of(release.snapshot, snapshot.ids["User"][user]), split.measure_at)
        relevant = songs[query.allowed[songs]]
        if not len(relevant):
            continue
        lists = {n: best_first(c.recall(query, 50), release.snapshot) for n, c in cascade.channels.items()}
        hits = {n: np.isin(found, relevant) for n, found in lists.items()}
        for name, channel in cascade.channels.items():
            if channel.serves(query.listener):
                pair = (recall_at(hits[name], len(relevant), 50), recall_at(hits["popularity"], len(relevant), 50))
                recalls[name].append(pair)
            gains[name].append(ndcg_at(hits[name], len(relevant), 10))
        slate = np.isin(cascade.slate(query, 10).songs, relevant)
        gains["cascade"].append(ndcg_at(slate, len(relevant), 10))
    for name, pairs in recalls.items():
        ours, popular = np.mean(pairs, axis=0)
        audience = cascade.channels[name].audience
        yield f"{name}: {audience}", "popularity", "recall@50", float(ours), float(popular)
    for name in cascade.channels:
        yield "cascade", name, "NDCG@10", float(np.mean(gains["cascade"])), float(np.mean(gains[name]))
    yield from _gamma(snapshot, folder, learner)


def _gamma(snapshot: Snapshot, folder: Path, learner: Learner) -> Iterator[tuple[str, str, str, float, float]]:
    """Hit rate of the next song among the 50 nearest of the song before it, for rare next songs."""
    split = learner.split(snapshot)
    plain = replace(learner.config, models={"song2vec": Song2VecConfig(gamma={})})
    other = folder.parent / "plain"
    snapshot.write(other / "snapshot")
    Learner(learner.scenes, plain).embed(other, "song2vec")
    with_gamma = ModelVectors.load(Release.open(folder).measured(), "song2vec")
    without = ModelVectors.load(Release.open(other).measured(), "song2vec")
    view = split.learning(snapshot)
    plays = np.bincount(view.histories.song, minlength=snapshot.songs)
    for low, high in ((0, 0), (1, 4)):
        rare = (plays >= low) & (plays <= high)
        yield (
            f"song2vec: songs with {low} plays" if low == high else f"song2vec: songs with {low} to {high} plays",
            "gamma = 0",
            "recall@50",
            _rare_recall(snapshot, view, split.subset, with_gamma, rare),
            _rare_recall(snapshot, view, split.subset, without, rare),
        )


def _rare_recall(snapshot: Snapshot, view: Snapshot, fold: Any, vectors: ModelVectors, rare: Any) -> float:
    """Recall@50 of rare songs among all rare songs, from the listener's vector: the rest of the list is the same."""
    found = []
    for user, songs in loved(snapshot.histories, fold > 0):
        listener = Listener.of(view, snapshot.ids["User"][user])
        relevant = np.setdiff1d(songs[rare[songs]], listener.heard)
        if not len(relevant) or not len(listener):
            continue
        mine, weights = listener.top_songs(view.as_of, 100)
        scores = np.where(rare, vectors.unit @ (weights @ vectors.unit[mine]), -np.inf)
        scores[listener.heard] = -np.inf
        top = np.argsort(-scores, kind="stable")[:50]
        found.append(np.isin(top[scores[top] > 0], relevant).sum() / len(relevant))
    return float(np.mean(found)) if found else 0.0
