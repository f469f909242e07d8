"""Listeners as they are now: what something new changes goes on from what was known, and nothing else is made anew."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from graph.log.events import Event
from graph.snapshot.snapshot import Snapshot
from recall.listeners.listener import Listener

MOST: Final = 2_000
"""Listeners that are kept, those asked for last."""
Read = Callable[[str, int], Sequence[Event]]
"""A listener's events since the release beyond an offset of the log, in the order of the log."""


class KeptListeners:
    """The listeners of a snapshot who asked last, with what follows from their histories; safe between threads.

    One is the same until `read` has an event beyond the last that is known, however many there are, or songs come.
    """

    def __init__(self, snapshot: Snapshot, read: Read = lambda user_id, after: (), most: int = MOST) -> None:  # noqa: ARG005
        self._snapshot, self._read, self._most = snapshot, read, most
        self._kept: OrderedDict[str, tuple[int, Mapping[str, int], int | None, Listener]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, user_id: str, new_songs: Mapping[str, int], forgotten: int | None = None) -> Listener:
        """The listener by now; `new_songs` are positions of songs that came after the release, by id, `forgotten` as
        for `Listener.of`."""
        with self._lock:
            upto, songs, before, listener = self._kept.get(user_id, (0, None, None, None))
        if listener is None or songs is not new_songs or before != forgotten:
            upto, listener = forgotten or 0, Listener.of(self._snapshot, user_id, forgotten=forgotten)
        later = self._read(user_id, upto)
        if later:
            upto, listener = later[-1].offset, listener.after(later, new_songs)
        with self._lock:
            self._kept[user_id] = upto, new_songs, forgotten, listener
            self._kept.move_to_end(user_id)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return listener
