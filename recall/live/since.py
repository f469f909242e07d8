"""Events of single listeners, those since the release included, without a look at anybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.histories import Histories
from recall.grouped import csr_entries, ranges, rank_within_group
from recall.live.counters import Counters

_COLUMNS: Final = ("song", "action", "at", "count", "cell")
_LARGER: Final = 8
KEPT: Final = 300
"""Events of a listener since the release that are kept, the latest ones."""


@dataclass(frozen=True)
class PeopleEvents:
    """Events of P people: `who` (E,) is the index of each event's listener among those asked for, 0 to P - 1; the other
    arrays (E,) are as in `Histories`. Events of the release come first."""

    who: Array
    song: Array
    action: Array
    at: Array
    count: Array


class EventsSinceRelease:
    """The latest `KEPT` events of each listener since the release; a tally for `recall.live.counters`.

    They stand by listener in parts, of which there are few: a part is joined with the one before it as long as that is
    not much larger.
    """

    def __init__(self) -> None:
        self._parts: list[dict[str, Array]] = []

    def add(self, events: Any) -> None:
        if isinstance(events, Histories):
            return  # those stand in order in the release
        known = np.flatnonzero(events.user >= 0)
        self.keep({name: getattr(events, name)[known] for name in ("user", *_COLUMNS)})

    def keep(self, columns: dict[str, Array]) -> None:
        """Add events in the order of the log: "user" (E,), from 0, and other columns (E,), the same at each call."""
        parts = [*self._parts, _by_user(columns)]
        while len(parts) > 1 and len(parts[-2]["user"]) <= _LARGER * len(parts[-1]["user"]):
            newer, older = parts.pop(), parts.pop()
            parts.append(_by_user({name: np.concatenate([older[name], newer[name]]) for name in older}))
        self._parts = parts

    def of(self, people: Array, names: Sequence[str]) -> list[tuple[Array, ...]]:
        """Of some listeners (P,), part by part: which of them (m,), and the columns `names` (m,) of their events, those
        of each in the order in which they were folded in."""
        found: list[tuple[Array, ...]] = []
        for part in self._parts:
            which, at = ranges(*(np.searchsorted(part["user"], people, side) for side in ("left", "right")))
            if len(which):
                found.append((which, *(part[name][at] for name in names)))
        return found


def _by_user(columns: dict[str, Array]) -> dict[str, Array]:
    order = np.argsort(columns["user"], kind="stable")
    user = columns["user"][order]
    if len(user) > KEPT and np.bincount(user).max() > KEPT:
        order = order[rank_within_group(user[::-1])[::-1] < KEPT]
    return {name: values[order] for name, values in columns.items()}


def people_events(histories: Histories, counters: Counters, people: Array, most: int) -> PeopleEvents:
    """Events of `people` (P,), positions of the release: the latest `most` of each in it, and the latest since."""
    return PeopleEvents(*_columns(histories, counters, people, most, _COLUMNS[:-1]))


def whereabouts(histories: Histories, counters: Counters, user: int, most: int) -> tuple[Array, Array]:
    """(E,) times and cells of a listener's latest `most` events in the release, and of the latest since."""
    _, at, cell = _columns(histories, counters, np.array([user]), most, ("at", "cell"))
    return at, cell


def _columns(histories: Histories, counters: Counters, people: Array, most: int, names: Sequence[str]) -> list[Array]:
    which, at = csr_entries(histories.indptr, people, most)
    parts = [(which, *(getattr(histories, name)[at] for name in names))]
    parts += counters.events("since", EventsSinceRelease).of(people, names)
    return [np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
