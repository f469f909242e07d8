"""What each channel of a scene finds, alone and beside the others, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graph.snapshot.arrays import Array
from ranking.cascade import Cascade
from recall.base import Candidates
from recall.blend.fusion import Fusion
from recall.blend.merge import merge
from recall.listeners.listener import Listener


@dataclass(frozen=True)
class ChannelReport:
    """One channel.

    recall: share of what was loved that stands among its first k, mean over the `listeners` of its `audience`; only:
    share of what was loved, over all listeners, that it alone brings into the pool; overlap: share of its candidates
    within its quota that each other channel has within its own; ms: median and 99th percentile; quota: how many
    candidates the pool takes of it; without: the pool's recall less that of the pool without the channel.
    """

    channel: str
    audience: str
    listeners: int
    recall: float
    only: float
    overlap: dict[str, float]
    ms: dict[str, float]
    quota: int
    without: float


@dataclass(frozen=True)
class Report:
    """All channels, and the recall of the whole pool, over `listeners` who loved something new to them."""

    listeners: int
    k: int
    pool: float
    channels: list[ChannelReport]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def report(
    cascade: Cascade,
    truth: list[tuple[int, Array]],
    at: int,
    k: int,
    tick: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> Report:
    """Ask every channel for listeners (a position, and what each loved after time `at`).

    Songs that the scene keeps from a listener (heard ones, mostly) are no truth; who has none left does not count.
    """
    tally = _Tally(cascade, k)
    for done, (user, songs) in enumerate(truth):
        listener = Listener.of(cascade.snapshot, cascade.snapshot.ids["User"][user])
        query = cascade.ask(listener, at)
        loved = songs[query.permits(songs)]
        tick(done + 1, len(truth))
        if len(loved):
            found, ms = cascade.alone(query, max(k, cascade.scene.pool))
            served = {name for name in cascade.usual if cascade.channels[name].serves(listener)}
            tally.add(found, ms, loved, served, *cascade.fusion_for(listener))
    return tally.report()


class _Tally:
    def __init__(self, cascade: Cascade, k: int) -> None:
        self._cascade, self._k, self._names = cascade, k, list(cascade.usual)
        n = len(self._names)
        self._recalls: list[list[float]] = [[] for _ in range(n)]
        self._ms: list[list[float]] = [[] for _ in range(n)]
        self._only, self._lost, self._whole = np.zeros(n), np.zeros(n), 0.0
        self._shared, self._sizes, self._listeners = np.zeros((n, n)), np.zeros(n), 0

    def add(
        self,
        found: dict[str, Candidates],
        ms: dict[str, float],
        loved: Array,
        served: set[str],
        fusion: Fusion,
        quotas: dict[str, int],
    ) -> None:
        size = len(loved)
        asked = {name: one for name, one in found.items() if name in quotas}
        inside = {name: one.songs[: quotas.get(name, 0)] for name, one in found.items()}
        pool = self._pool(asked, fusion, quotas)
        whole = np.isin(loved, pool)
        self._listeners += 1
        self._whole += whole.mean()
        holders = np.stack([np.isin(loved, inside.get(name, ())) for name in self._names])
        for c, name in enumerate(self._names):
            if name not in found:
                continue
            self._ms[c].append(ms[name])
            if name in served:
                self._recalls[c].append(float(np.isin(loved, found[name].songs[: self._k]).sum()) / size)
            self._only[c] += (whole & holders[c] & (holders.sum(axis=0) == 1)).mean()
            if quotas.get(name):
                rest = {other: one for other, one in asked.items() if other != name}
                self._lost[c] += whole.mean() - np.isin(loved, self._pool(rest, fusion, quotas)).mean()
            self._sizes[c] += len(inside[name])
            for o, other in enumerate(self._names):
                if other in inside:
                    self._shared[c, o] += np.isin(inside[name], inside[other]).sum()

    def _pool(self, found: dict[str, Candidates], fusion: Fusion, quotas: dict[str, int]) -> Array:
        return merge(found, quotas, self._cascade.weights(fusion), fusion).songs[: self._cascade.scene.pool]

    def report(self) -> Report:
        total = max(self._listeners, 1)
        rows = []
        for c, name in enumerate(self._names):
            shared = self._shared[c] / max(self._sizes[c], 1)
            ms = np.array(self._ms[c] or [0.0])
            rows.append(
                ChannelReport(
                    channel=name,
                    audience=self._cascade.channels[name].audience,
                    listeners=len(self._recalls[c]),
                    recall=round(float(np.mean(self._recalls[c] or [0.0])), 6),
                    only=round(float(self._only[c] / total), 6),
                    overlap={o: round(float(shared[i]), 4) for i, o in enumerate(self._names) if o != name},
                    ms={f"p{p}": round(float(np.percentile(ms, p)), 3) for p in (50, 99)},
                    quota=self._cascade.quotas[name],
                    without=round(float(self._lost[c] / total), 6),
                )
            )
        return Report(self._listeners, self._k, round(self._whole / total, 6), rows)
