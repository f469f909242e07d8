"""Listeners as they are now, made anew only when something they did, or an edit, has changed them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from graph.log.events import Event
from graph.snapshot.snapshot import Snapshot
from recall.listeners.listener import Listener

MOST: Final = 2_000
"""Listeners that are kept, those asked for last."""


class KeptListeners:
    """The listeners of a snapshot who asked last, with what follows from their histories; safe between threads.

    One is kept as long as the last of the events since the release, how many there are, and the songs that came since
    are the same.
    """

    def __init__(self, snapshot: Snapshot, most: int = MOST) -> None:
        self._snapshot, self._most = snapshot, most
        self._kept: OrderedDict[str, tuple[tuple[int, int], Mapping[str, int], Listener]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, user_id: str, latest: Sequence[Event], new_songs: Mapping[str, int]) -> Listener:
        """As `Listener.of`. Events that no log has numbered are no version: such a listener is not kept."""
        version = (len(latest), latest[-1].offset if latest else 0)
        if latest and not version[1]:
            return Listener.of(self._snapshot, user_id, latest, new_songs)
        with self._lock:
            known = self._kept.get(user_id)
            if known is not None and known[0] == version and known[1] is new_songs:
                self._kept.move_to_end(user_id)
                return known[2]
        listener = Listener.of(self._snapshot, user_id, latest, new_songs)
        with self._lock:
            self._kept[user_id] = version, new_songs, listener
            self._kept.move_to_end(user_id)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return listener
