"""What people did since the release whom it does not know: whoever follows one of them is answered by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from graph.snapshot.arrays import Array

KEPT: Final = 300
"""Latest events that are kept of each of them."""


class NewUsers:
    """Events on songs by the id of who did them; one thread adds while others read."""

    def __init__(self) -> None:
        self._events: dict[str, deque[tuple[int, int, int, int]]] = {}

    def add(self, user_ids: Sequence[str], events: Any) -> None:
        """Events (E,) as in `Histories` with the ids of their listeners; those of a known `user` are left out."""
        new = np.flatnonzero(events.user < 0)
        if not len(new):
            return
        columns = (getattr(events, name)[new].tolist() for name in ("song", "action", "at", "count"))
        for i, *event in zip(new.tolist(), *columns, strict=True):
            self._events.setdefault(user_ids[i], deque(maxlen=KEPT)).append(tuple(event))

    def of(self, user_id: str) -> tuple[Array, Array, Array, Array]:
        """Song, action, at and count (E,) of somebody's latest events, none for whom nothing is known of."""
        rows = tuple(self._events.get(user_id, ()))
        columns = np.array(rows, dtype=np.int64).reshape(len(rows), 4).T
        return columns[0], columns[1], columns[2], columns[3]
