"""Events of single listeners, those since the release included, without a look at anybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from graph.arrays import Array
from graph.histories import Histories
from recall.base import Query

_COLUMNS: Final = ("song", "action", "at", "count", "cell")


@dataclass(frozen=True)
class Doings:
    """Events of P people: who (E,) the place of each event's listener among those asked for, 0 to P - 1; the others
    (E,) as in `Histories`. Those of the release come first."""

    who: Array
    song: Array
    action: Array
    at: Array
    count: Array


class Since:
    """The events of each listener since the release; a tally for `recall.counters`."""

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[Array, ...]]] = {}

    def add(self, events: Any) -> None:
        if isinstance(events, Histories):
            return  # those stand in order in the release
        order = np.argsort(events.user, kind="stable")
        users, starts = np.unique(events.user[order], return_index=True)
        for user, mine in zip(users.tolist(), np.split(order, starts[1:]), strict=True):
            if user >= 0:
                self._parts.setdefault(user, []).append(tuple(getattr(events, name)[mine] for name in _COLUMNS))

    def of(self, user: int) -> list[tuple[Array, ...]]:
        """Parts (song, action, at, count, cell) of a listener, as they were folded in."""
        return list(self._parts.get(user, ()))


def spread(indptr: Array, rows: Array, most: int | None = None) -> tuple[Array, Array]:
    """The entries of some rows of a CSR: which (m,) of the rows, and where (m,) each entry stands.

    Of each row the last `most` ones.
    """
    first, last = indptr[rows].astype(np.int64), indptr[rows + 1].astype(np.int64)
    if most is not None:
        first = np.maximum(first, last - most)
    sizes = last - first
    which = np.repeat(np.arange(len(rows)), sizes)
    return which, np.arange(int(sizes.sum())) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)


def doings(query: Query, people: Array, most: int) -> Doings:
    """Events of `people` (P,), positions of the release: the latest `most` of each in it, and all since."""
    return Doings(*_columns(query, people, most, _COLUMNS[:-1]))


def whereabouts(query: Query, user: int, most: int) -> tuple[Array, Array]:
    """(E,) times and cells of a listener's latest `most` events in the release, and of all since."""
    _, at, cell = _columns(query, np.array([user]), most, ("at", "cell"))
    return at, cell


def _columns(query: Query, people: Array, most: int, names: Sequence[str]) -> list[Array]:
    histories = query.listener.snapshot.histories
    which, at = spread(histories.indptr, people, most)
    parts = [(which, *(getattr(histories, name)[at] for name in names))]
    since, places = query.live.counters.events("since", Since), [_COLUMNS.index(name) for name in names]
    for place, user in enumerate(people.tolist()):
        parts += [(np.full(len(part[0]), place), *(part[i] for i in places)) for part in since.of(user)]
    return [np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
