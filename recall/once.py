"""What channels compute once for each view of a snapshot, and share."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TypeVar
from weakref import WeakKeyDictionary

from graph.snapshot.snapshot import Snapshot

T = TypeVar("T")
_lock = RLock()  # what is computed may ask for other things that are computed once
_kept: WeakKeyDictionary[Snapshot, dict[str, object]] = WeakKeyDictionary()


def once(snapshot: Snapshot, name: str, compute: Callable[[], T]) -> T:
    """What `compute` gives for this view of a snapshot, computed at the first call and shared by all channels.

    A thread that asks while another computes waits for it.
    """
    kept = _kept.get(snapshot)
    if kept is None or name not in kept:
        with _lock:
            kept = _kept.setdefault(snapshot, {})
            if name not in kept:
                kept[name] = compute()
    return kept[name]  # type: ignore[return-value]
