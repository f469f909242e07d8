"""What channels compute once for each view of a snapshot, and share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from graph.snapshot.snapshot import Snapshot

T = TypeVar("T")
_kept: WeakKeyDictionary[Snapshot, dict[str, object]] = WeakKeyDictionary()


def once(snapshot: Snapshot, name: str, compute: Callable[[], T]) -> T:
    """What `compute` gives for this view of a snapshot, computed at the first call and shared by all channels."""
    kept = _kept.setdefault(snapshot, {})
    if name not in kept:
        kept[name] = compute()
    return kept[name]  # type: ignore[return-value]
