"""An update of Song2Vec after 1 % new events against a full retraining, and what drifts.

The world of a million events (20,000 songs, 5,000 listeners, seed 10). The newest tenth of the events measures: the
last release has learned from the first 99 % of the rest, then the remaining 1 % comes. Seconds are of training alone,
from an open snapshot to vectors; recall@50 is that of the channel `song2vec` for listeners with at least 5 songs, songs
heard left out. A new song's vector is composed before any refresh.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.channels import world_snapshot
from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from embeddings.vectors.alignment import drift
from embeddings.vectors.incremental import LastTraining, UpdateConfig, aligned
from embeddings.vectors.model_vectors import ModelVectors
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from ranking.metrics import recall_at
from ranking.training import loved
from recall.listeners.listener import Listener

WORLD: Final = {"users": 5000, "songs": 20_000, "days": 90, "events": 1_000_000, "seed": 10}
RUNS: Final = 3
LISTENERS: Final = 2000


def run(world: dict[str, int] | None = None, runs: int = RUNS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = world_snapshot(folder / "world", world or WORLD)
        h = snapshot.histories
        until, measured = np.quantile(h.at, 0.99 * 0.9), np.quantile(h.at, 0.9)
        before, after = (snapshot.view(h.at < at, int(at)) for at in (until, measured))
        truth = list(loved(h, h.at >= measured))[:LISTENERS]
        return _rows(folder, snapshot, before, after, truth, runs)


def _rows(
    folder: Path, snapshot: Snapshot, before: Snapshot, after: Snapshot, truth: list[tuple[int, Array]], runs: int
) -> list[dict[str, Any]]:
    config, how = Song2VecConfig(), UpdateConfig()
    stale = Song2Vec.fit(before, config, rng=np.random.default_rng(0))
    snapshot.write(folder / "snapshot")
    stale.save(folder / "vectors" / "song2vec", {"config": asdict(config)})
    release = Release.open(folder)

    def updated(seed: int) -> ModelVectors:
        return Song2Vec.update(
            after, LastTraining.of(release, "song2vec", before, after), config, how, rng=np.random.default_rng(seed)
        )

    def retrained(seed: int) -> ModelVectors:
        fresh = Song2Vec.fit(after, config, rng=np.random.default_rng(seed))
        return aligned(fresh, LastTraining.of(release, "song2vec", before, after).vectors)

    times: list[tuple[float, float]] = []
    recalls, drifts = [], []
    for seed in range(1, runs + 1):
        (ours, mine), (theirs, full) = _timed(updated, seed), _timed(retrained, seed)
        times.append((mine, full))
        recalls.append([_recall(after, v, truth) for v in (ours, theirs)])
        drifts.append([drift(stale.unit, v.unit) for v in (ours, theirs)])
    mine, full = (min(column) for column in zip(*times, strict=True))
    (a, b), (c, d) = np.mean(recalls, axis=0), np.std(recalls, axis=0)
    old, fresh_events = _recall(after, stale, truth), len(after.histories) - len(before.histories)
    told = [
        f"cosine {np.mean([x[i]['mean_cosine'] for x in drifts]):.3f}, neighbours kept "
        f"{np.mean([x[i]['neighbours_kept'] for x in drifts]):.3f}"
        for i in (0, 1)
    ]
    what = f"after {fresh_events} new events of {len(after.histories)}"
    rows = [
        _row(f"training {what}", mine, full, "full retraining", "s", (f"{full / mine:.0f} x less", None)),
        _row("recall@50", a, b, "full retraining", "recall", (f"+- {c:.4f}", f"+- {d:.4f}")),
        _row("recall@50", a, old, "vectors of the last release", "recall", (f"+- {c:.4f}", None)),
        _row("drift from the last release", 0, 0, "full retraining, rotated", "", (told[0], told[1])),
    ]
    composed = _composing(after, stale)
    return [*rows, _row("a new song's vector", composed * 1e3, 1.0, "the bar", "ms", (None, None))]


def _timed(train: Callable[[int], ModelVectors], seed: int) -> tuple[ModelVectors, float]:
    began = time.perf_counter()
    vectors = train(seed)
    return vectors, time.perf_counter() - began


def _recall(snapshot: Snapshot, vectors: ModelVectors, truth: list[tuple[int, Array]]) -> float:
    """Mean recall@50 of the songs nearest to what each listener loves."""
    found = []
    for user, loves in truth:
        listener = Listener.of(snapshot, snapshot.ids["User"][user])
        wanted = np.setdiff1d(loves, listener.heard)
        if len(listener.heard) < 5 or not len(wanted):
            continue
        songs, weights = listener.top_songs(snapshot.as_of, 100)
        scores = vectors.unit @ (weights @ vectors.unit[songs])
        scores[listener.heard] = -np.inf
        found.append(recall_at(np.isin(np.argsort(-scores)[:50], wanted), len(wanted), 50))
    return float(np.mean(found))


def _composing(snapshot: Snapshot, vectors: ModelVectors) -> float:
    """Seconds that one new song takes, in the median over songs described as others are."""
    relations = {name: snapshot.relation(name, "Song") for name in vectors.entities}
    times = []
    for song in range(0, snapshot.songs, max(1, snapshot.songs // 500)):
        described = {name: relation.of(song) for name, relation in relations.items()}
        began = time.perf_counter()
        vectors.composed(described)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def _row(
    what: str, ours: float, peer: float, name: str, unit: str, said: tuple[str | None, str | None]
) -> dict[str, Any]:
    return {
        "what": what,
        "ours": round(float(ours), 4),
        "peer": round(float(peer), 4),
        "peer_name": name,
        "ratio": round(float(ours / peer), 3) if peer else None,
        "unit": unit,
        "ours_quality": said[0],
        "peer_quality": said[1],
    }
