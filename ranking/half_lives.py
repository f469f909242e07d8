"""Half-lives of attribute recall, fitted to a log: those that recall the most of what listeners came to later.

Popularity, then all preferences alike, then one dimension after the other takes the half-life of a grid that recalls
the most, the others staying as they are, until nothing changes or `passes` are done; it stays as it is where the gain
is no larger than its standard error. What is fitted is `half_life_days` and `popular_days` of `AttributesConfig`, to be
put into the settings of the channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array
from ranking.metrics import recall_at
from recall.base import Channel, Query
from recall.channels.attributes import Attributes, AttributesConfig
from recall.listeners.listener import Listener

GRID_DAYS: Final = (0.01, 0.1, 1.0, 3.0, 7.0, 14.0, 30.0, 90.0, math.inf)
POPULARITY: Final = "popularity"
TOGETHER: Final = "all preferences"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Case:
    """What one listener came to after the moment `at` (epoch milliseconds): songs not heard before, by position."""

    listener: Listener
    at: int
    came: Array

    @classmethod
    def of(cls, release: Release, truth: Sequence[tuple[int, Array]], at: Array) -> list[Case]:
        """From (listener, songs) by position and the moment of each: of listeners whom the channel is for."""
        found = []
        for (user, songs), moment in zip(truth, at.tolist(), strict=True):
            listener = Listener.of(release.snapshot, release.snapshot.ids["User"][user])
            came = np.setdiff1d(songs, listener.heard)
            if len(came) and len(listener.heard) >= 5:
                found.append(cls(listener, moment, came))
        return found


@dataclass(frozen=True)
class Fitted:
    """The settings that recalled the most, their recall, and `sweeps`: the recall by days of each dimension (and of all
    preferences `TOGETHER`), the others being as they were when it was last looked at."""

    config: AttributesConfig
    recall: float
    sweeps: Mapping[str, Mapping[float, float]]


def recalls(channel: Channel, cases: Sequence[Case], k: int) -> Array:
    """(cases,) recall@k; what was heard before is left out."""
    found = []
    for case in cases:
        heard = case.listener.heard.astype(np.int32)
        songs = channel.recall(Query(case.listener, case.at, heard), k).songs
        found.append(recall_at(np.isin(songs, case.came), len(case.came), k))
    return np.array(found)


def fit_half_lives(
    sets: Sequence[tuple[Release, Sequence[Case]]],
    config: AttributesConfig,
    *,
    k: int = 50,
    grid: Sequence[float] = GRID_DAYS,
    passes: int = 2,
    progress: Progress = lambda what, done, total: None,  # noqa: ARG005
) -> Fitted:
    """The best half-lives for the cases of one release or of several alike, starting from those of `config`.

    Dimensions are the relations that `config.weights` names, and `POPULARITY`. Releases must hold the channel's
    prepared arrays; which songs of an attribute are looked at stays as it was prepared.
    Raises: ValueError if there is no case.
    """
    if not any(len(cases) for _, cases in sets):
        raise ValueError("sets must hold at least one case (got 0)")
    known: dict[tuple[float, ...], Array] = {}
    relations = [name for name, weight in config.weights.items() if weight]
    names = [POPULARITY, *relations]
    days = {name: config.half_life_days.get(name, 21.0) for name in relations} | {POPULARITY: config.popular_days}
    steps = {POPULARITY: [POPULARITY], TOGETHER: relations, **{name: [name] for name in relations}}

    def found(days: Mapping[str, float]) -> Array:
        key = tuple(days[name] for name in names)
        if key not in known:
            one = decaying(config, days)
            known[key] = np.concatenate([recalls(Attributes(r, one), cases, k) for r, cases in sets])
        return known[key]

    sweeps: dict[str, dict[float, float]] = {}
    for turn in range(passes):
        before = dict(days)
        for place, (step, together) in enumerate(steps.items()):
            progress("fitting half-lives", turn * len(steps) + place, passes * len(steps))
            now = found(days)
            tried = {one: found(days | dict.fromkeys(together, one)) for one in grid}
            if len({days[name] for name in together}) == 1:
                tried[days[together[0]]] = now
            sweeps[step] = {one: float(values.mean()) for one, values in sorted(tried.items())}
            best = max(tried, key=lambda one: float(tried[one].mean()))
            gain = tried[best] - now
            if gain.mean() > gain.std() / np.sqrt(len(gain)):
                days |= dict.fromkeys(together, best)
        if days == before:
            break
    progress("fitting half-lives", passes * len(steps), passes * len(steps))
    return Fitted(decaying(config, days), float(found(days).mean()), sweeps)


def decaying(config: AttributesConfig, days: Mapping[str, float]) -> AttributesConfig:
    """With these half-lives, by relation and `POPULARITY`."""
    relations = {name: one for name, one in days.items() if name != POPULARITY}
    return replace(config, half_life_days=relations, popular_days=days[POPULARITY])
