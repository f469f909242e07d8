"""Whether the next slate answers to what was just played, and what that costs.

Heavy listeners, the 40 with the longest histories, play one song in full that lies far from all they like: of songs
with at least 20 listeners, one of the tenth with the lowest cosine to the listener's mean. `ours` is the share of them
whose next ten songs hold one of the 50 songs nearest to it, `peer` the same with no place reserved. The second row is
NDCG@10 with places reserved and without, over all listeners of the measurement. The unit of the first says how large
the reserved part is, and from how many sessions that was learned or why it was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from benchmarks._product import Built, built, interval, measured, slates
from embeddings.vectors.model_vectors import song_space
from graph.log.events import Event
from graph.snapshot.arrays import Array
from ranking.cascade import Cascade
from recall.item_lists.neighbours import Neighbours
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners

HEAVY: Final = 40
KNOWN: Final = 20
NEAREST: Final = 50


def run(sets: Sequence[str] = ("lastfm, sides", "world-10")) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them.

    Raises: InvalidInput if the data are missing.
    """
    rows = []
    for name in sets:
        with built(name) as made:
            with_, without = made.cascade(), made.cascade(replace(made.scene, reserve=0.0))
            ours, theirs = reacted(made, with_), reacted(made, without)
            learned = with_.reserve
            told = learned.reason or f"learned on {learned.sessions} moments"
            unit = f"{HEAVY} listeners, {learned.share:.1f} reserved ({told})"
            rows.append(_row(f"{name}: heavy listeners who see a near song next", ours, theirs, unit))
            found = measured(made, {"with": slates(with_), "without": slates(without)})
            one, other = found["with"].ndcg, found["without"].ndcg
            unit = f"NDCG@10, {len(one)} listeners, difference {interval(one, other)}"
            rows.append(_row(f"{name}: all slates", float(one.mean()), float(other.mean()), unit))
    return rows


def reacted(made: Built, cascade: Cascade) -> float:
    """The share of heavy listeners whose next ten songs hold one of the nearest of a far song just played."""
    snapshot = made.release.snapshot
    space, rng = song_space(made.release), np.random.default_rng(0)
    assert space is not None
    near = Neighbours.of_vectors(space.unit, NEAREST)
    heavy = np.argsort(-np.diff(snapshot.histories.indptr), kind="stable")[:HEAVY]
    answered = []
    for user in heavy.tolist():
        id_ = snapshot.ids["User"][user]
        song = _far(Listener.of(snapshot, id_), made.at, space.unit, listeners(snapshot), rng)
        event = Event(event_id="far", user_id=id_, action="full_play", song_id=snapshot.ids["Song"][song], at=made.at)
        slate = cascade.slate(cascade.query(id_, made.at, latest=[event]), 10).songs
        answered.append(bool(np.isin(slate, near.songs[song]).any()))
    return float(np.mean(answered))


def _far(listener: Listener, at: int, unit: Array, heard_by: Array, rng: np.random.Generator) -> int:
    songs, weights = listener.top_songs(at, 100)
    cosines = unit @ (weights @ unit[songs])
    able = np.setdiff1d(np.flatnonzero((heard_by >= KNOWN) & unit.any(axis=1)), listener.heard)
    far = able[np.argsort(cosines[able], kind="stable")[: max(len(able) // 10, 1)]]
    return int(rng.choice(far))


def _row(what: str, ours: float, peer: float, unit: str) -> dict[str, Any]:
    row = {"what": what, "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": "no place reserved", "unit": unit}
    return {**row, "ratio": round(ours / peer, 3) if peer else None, "ours_quality": "", "peer_quality": ""}
