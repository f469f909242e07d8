"""The default scene as it ships, end to end, beside the best of its channels alone.

Models, channels, fusion and ranker are those that a refresh without settings ships. The scene is `radio`, on check-ins
(`gowalla-capri`) `nearby`, whose own models alone are trained. Where a data set comes with a validation part, fusion
and ranker learn from it and everything else from the training part; where that part belongs to the training (leave one
out), models and channels are trained again on all of it. A world is refreshed as it was before its newest tenth of
events, which measures.
A slate has ten songs; songs heard in training stay out; means over listeners with a held-out song. `ours` is NDCG@10 of
the scene, `peer` that of the best channel alone. With `without=True` each channel is also taken out in turn, and fusion
and ranker learned anew. +- is the 95 % interval of the paired difference over listeners.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from benchmarks._product import (
    PLACES,
    SETS,
    Built,
    Measured,
    alone,
    built,
    interval,
    measured,
    popularity,
    ranked_again,
    slates,
)
from ranking.learning import Learner

WORLDS: Final = ("world-10", "world-11", "world-12")
SCENE: Final = "the scene"
POPULAR: Final = "popularity"


def run(sets: Sequence[str] = (*SETS, PLACES, *WORLDS), *, without: bool = False) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data are missing.
    """
    rows: list[dict[str, Any]] = []
    for name in sets:
        with built(name) as made:
            cascade = made.cascade()
            found = measured(made, {SCENE: slates(cascade), POPULAR: popularity(made), **alone(cascade)})
            rows += _rows(name, found)
            if without:
                rows += _without(name, made, found[SCENE])
        sys.stderr.write(f"{name} done\n")
    return rows


def _rows(name: str, found: dict[str, Measured]) -> list[dict[str, Any]]:
    scene = found[SCENE]
    channels = found.keys() - {SCENE}
    best = max(sorted(channels), key=lambda channel: float(found[channel].ndcg.mean()))
    return [
        _row(f"{name}: the scene against its best channel", scene, found[best], best),
        _row(f"{name}: the scene against popularity", scene, found[POPULAR], POPULAR),
    ]


def _row(what: str, ours: Measured, peer: Measured, peer_name: str) -> dict[str, Any]:
    mean, other = float(ours.ndcg.mean()), float(peer.ndcg.mean())
    return {
        "what": what,
        "ours": round(mean, 4),
        "peer": round(other, 4),
        "peer_name": peer_name,
        "ratio": round(mean / other, 3) if other else None,
        "unit": f"NDCG@10, {len(ours.ndcg)} listeners, difference {interval(ours.ndcg, peer.ndcg)}",
        "ours_quality": f"recall@10 {ours.recall.mean():.4f}, coverage@10 {ours.coverage:.4f}",
        "peer_quality": f"recall@10 {peer.recall.mean():.4f}, coverage@10 {peer.coverage:.4f}",
    }


def _without(name: str, made: Built, whole: Measured) -> list[dict[str, Any]]:
    """The scene without each of its channels in turn."""
    rows = []
    for channel in made.scene.channels:
        uses = {key: use for key, use in made.scene.channels.items() if key != channel}
        scene = replace(made.scene, channels=uses)
        learner = Learner({made.name: scene}, made.learner.config)
        fewer = replace(made, scene=scene, release=ranked_again(made, learner))
        found = measured(fewer, {SCENE: slates(fewer.cascade())})[SCENE]
        rows.append(_row(f"{name}: the scene against itself without {channel}", whole, found, f"without {channel}"))
    return rows
