"""A release brought to the log's end against the same one as it was measured, on the day that follows.

The world without its last day is refreshed; both sets of models answer at the end of what they know, with the same
histories, fusion and ranker. `ours` is brought to the end. Recall@50 is that of the pool's order, NDCG@10 that of a
slate; means over listeners with something new on the last day, and +- the 95 % interval of the paired difference.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._product import default_scene, interval, world_until
from benchmarks.channels import WORLD
from graph.release import Release
from graph.snapshot.arrays import Array
from ranking.cascade import Cascade
from ranking.learning import Learner, LearningConfig
from ranking.metrics import ndcg_at, recall_at
from recall.listeners.listener import Listener

SEEDS: Final = (10, 11, 12)


def run(seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    found = [_one(seed) for seed in seeds]
    rows = []
    for i, unit in enumerate(("recall@50", "NDCG@10")):
        ours, peer = (np.concatenate([pairs[side][i] for pairs in found]) for side in (0, 1))
        rows.append(
            {
                "what": f"the next day of worlds {', '.join(map(str, seeds))}",
                "ours": round(float(ours.mean()), 4),
                "peer": round(float(peer.mean()), 4),
                "peer_name": "as it was measured",
                "ratio": round(float(ours.mean() / max(peer.mean(), 1e-12)), 3),
                "unit": f"{unit}, {len(ours)} listeners, difference {interval(ours, peer)}",
                "ours_quality": "",
                "peer_quality": "",
            }
        )
    return rows


def _one(seed: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(recall@50, NDCG@10) of each listener: brought to the end, and as it was measured."""
    with tempfile.TemporaryDirectory() as there:
        past, truth, end = world_until(Path(there) / "world", {**WORLD, "seed": seed})
        folder = Path(there) / "build"
        past.write(folder / "snapshot")
        scene = default_scene()
        learner = Learner({"radio": scene}, LearningConfig(seed=seed))
        learner.learn(folder)
        learner.bring_to_end(folder)
        shipped = Release.open(folder)
        cascades = [Cascade(release, scene, "radio") for release in (shipped, shipped.measured())]
        rows = [_scores(cascades, user, songs, end) for user, songs in truth]
        table = np.array([row for row in rows if row is not None])  # (L, 2, 2)
        return (table[:, 0, 0], table[:, 0, 1]), (table[:, 1, 0], table[:, 1, 1])


def _scores(cascades: Sequence[Cascade], user: int, songs: Array, at: int) -> list[tuple[float, float]] | None:
    snapshot = cascades[0].snapshot
    query = cascades[0].ask(Listener.of(snapshot, snapshot.ids["User"][user]), at)
    relevant = songs[query.allowed[songs]]
    if not len(relevant):
        return None
    scores = []
    for cascade in cascades:
        hits = np.isin(cascade.slate(query, 50).songs, relevant)
        scores.append((recall_at(hits, len(relevant), 50), ndcg_at(hits, len(relevant), 10)))
    return scores
