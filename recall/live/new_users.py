"""What people did since the release whom it does not know: whoever follows one of them is answered by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.live.since import EventsSinceRelease

_COLUMNS: Final = ("song", "action", "at", "count")
_NONE: Final = np.empty(0, dtype=np.int64)


class NewUsers:
    """Events on songs by the id of who did them; one thread adds while others read."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._events = EventsSinceRelease()

    def add(self, user_ids: Sequence[str], events: Any) -> None:
        """Events (E,) as in `Histories` with the ids of their listeners; those of a known `user` are left out."""
        new = np.flatnonzero(events.user < 0)
        if len(new):
            numbers = [self._numbers.setdefault(user_ids[i], len(self._numbers)) for i in new.tolist()]
            columns = {name: getattr(events, name)[new] for name in _COLUMNS}
            self._events.keep({"user": np.array(numbers, dtype=np.int64), **columns})

    def of(self, user_id: str) -> tuple[Array, Array, Array, Array]:
        """Song, action, at and count (E,) of somebody's latest events, none for whom nothing is known of."""
        parts = self._events.of(np.array([self._numbers.get(user_id, -1)]), _COLUMNS)
        if not parts:
            return _NONE, _NONE, _NONE, _NONE
        _, song, action, at, count = (np.concatenate(column) for column in zip(*parts, strict=True))
        return song, action, at, count
