"""The world's next day with the cascade in it: how well what is shown truly fits, against other recommenders.

Quality is the mean satisfaction of the day, which only the world knows: the true fit of the songs shown, discounted by
position. `logged policy` is the world's own popularity-biased one, `oracle` ranks by the true fit itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.channels import WORLD, world_snapshot
from graph.release import Release
from graph.world import World
from ranking.cascade import Cascade
from ranking.learning import Learner, LearningConfig
from ranking.scene import SceneConfig, unhurried
from recall.listeners.listener import Listener

SEEDS = (10, 11, 12)  # 0 to 3 were looked at while the world and the defaults were chosen
Recommend = Callable[[list[str], int, int], list[list[str]]]


def run(seeds: tuple[int, ...] = SEEDS) -> list[dict[str, Any]]:
    """A row for each other recommender beside the cascade."""
    days: dict[str, list[float]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name, satisfaction in _one(Path(folder), seed):
                days.setdefault(name, []).append(satisfaction)
    ours = np.array(days.pop("cascade"))
    return [
        {
            "what": "satisfaction of the next day",
            "ours": round(float(ours.mean()), 4),
            "peer": round(float(np.mean(values)), 4),
            "peer_name": name,
            "ratio": round(float(ours.mean() / max(np.mean(values), 1e-9)), 2),
            "unit": "mean true fit",
            "ours_quality": f"+- {ours.std():.4f}",
            "peer_quality": f"+- {np.std(values):.4f}",
        }
        for name, values in days.items()
    ]


def _one(folder: Path, seed: int) -> list[tuple[str, float]]:
    snapshot = world_snapshot(folder / "world", {**WORLD, "seed": seed})
    scene = unhurried(SceneConfig(heard="after 14d"))
    learner = Learner({"radio": scene}, LearningConfig(seed=seed))
    build = folder / "build"
    snapshot.write(build / "snapshot")
    learner.learn(build)
    cascade = Cascade(Release.open(build).measured(), scene, "radio")
    rng = np.random.default_rng(seed)
    ids = np.array(snapshot.ids["Song"].to_list())
    popular = ids[np.argsort(-np.diff(snapshot.relation("LISTENED").reverse_indptr), kind="stable")]

    def serve(users: list[str], at: int, n: int) -> list[list[str]]:
        found = []
        for user in users:
            query = cascade.ask(Listener.of(cascade.snapshot, user), at)
            found.append([str(ids[song]) for song in cascade.slate(query, n).songs])
        return found

    def oracle(world: World) -> Recommend:
        def answer(users: list[str], at: int, n: int) -> list[list[str]]:
            there = world.available(at)
            best = [np.argsort(-world.true_fit(user, there), kind="stable")[:n] for user in users]
            return [[there[i] for i in order] for order in best]

        return answer

    def draw(users: list[str], at: int, n: int) -> list[list[str]]:  # noqa: ARG001
        return [[str(song) for song in rng.choice(ids, n, replace=False)] for _ in users]

    def hits(users: list[str], at: int, n: int) -> list[list[str]]:  # noqa: ARG001
        return [[str(song) for song in popular[:n]] for _ in users]

    def day(make: Callable[[World], Recommend | None]) -> float:
        world = World.load(folder / "world")
        return world.step(make(world)).satisfaction

    return [
        ("cascade", day(lambda world: serve)),  # noqa: ARG005
        ("logged policy", day(lambda world: None)),  # noqa: ARG005
        ("popularity", day(lambda world: hits)),  # noqa: ARG005
        ("random", day(lambda world: draw)),  # noqa: ARG005
        ("oracle", day(oracle)),
    ]
