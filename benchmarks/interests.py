"""How many of a listener's interests a slate of twenty serves, and what keeping them costs.

Listeners with at least three interests (`recall.listeners.interests`). `ours` is the mean share of them that have a
song in the slate, `peer` the same where the scene does not keep interests. The other rows are NDCG of all listeners'
slates of twenty, of the first ten songs and of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from benchmarks._product import Built, K, built, interval, measured, slates
from embeddings.vectors.model_vectors import song_space
from ranking.cascade import Cascade
from recall.listeners.interests import Leaders
from recall.listeners.listener import Listener

N: Final = 20
LEAST: Final = 3


def run(sets: Sequence[str] = ("lastfm, sides", "world-10")) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data are missing.
    """
    rows = []
    for name in sets:
        with built(name) as made:
            keeps, plain = made.cascade(), made.cascade(replace(made.scene, interests=False))
            ours, count = served(made, keeps)
            theirs, _ = served(made, plain)
            rows.append(_row(f"{name}: interests served by {N} songs", ours, theirs, f"{count} listeners"))
            for k in (K, N):  # the first ten songs of a slate of twenty, and all of it
                found = measured(made, {"keeps": slates(keeps, N), "plain": slates(plain, N)}, k)
                one, other = found["keeps"].ndcg, found["plain"].ndcg
                unit = f"NDCG@{k}, {len(one)} listeners, difference {interval(one, other)}"
                rows.append(_row(f"{name}: slates of {N}, NDCG@{k}", float(one.mean()), float(other.mean()), unit))
    return rows


def served(made: Built, cascade: Cascade) -> tuple[float, int]:
    """The mean share of interests that a slate serves, and of how many listeners."""
    snapshot, space = made.release.snapshot, song_space(made.release)
    assert space is not None
    leaders = Leaders.load(made.release, space.unit)
    shares = []
    for user, _ in made.truth:
        query = cascade.ask(Listener.of(snapshot, snapshot.ids["User"][user]), made.at)
        interests = leaders.interests(query.listener, query.at)
        if len(interests) >= LEAST:
            found = interests.nearest(space.unit[cascade.slate(query, N).songs])
            shares.append(len(np.unique(found[found >= 0])) / len(interests))
    return (float(np.mean(shares)) if shares else 0.0), len(shares)


def _row(what: str, ours: float, peer: float, unit: str) -> dict[str, Any]:
    row = {"what": what, "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": "interests not kept"}
    ratio = round(ours / peer, 3) if peer else None
    return {**row, "unit": unit, "ratio": ratio, "ours_quality": "", "peer_quality": ""}
