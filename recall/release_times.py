"""When a song came out: its release, else its upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot
from recall.once import once

_PROPERTIES: Final = ("released_at", "uploaded_at")


def release_times(snapshot: Snapshot) -> Array:
    """(songs,) epoch milliseconds at which each song came out, `UNKNOWN_INTEGER` where neither time is known."""

    def compute() -> Array:
        released, uploaded = (snapshot.column("Song", name) for name in _PROPERTIES)
        return np.where(released == UNKNOWN_INTEGER, uploaded, released)

    return once(snapshot, "release_times", compute)


def songs_out(snapshot: Snapshot, at: int) -> int:
    """How many songs had come out by `at`, those of unknown times among them: another number, other songs."""
    known = once(snapshot, "sorted_release_times", lambda: np.sort(release_times(snapshot)))
    return int(np.searchsorted(known, at, side="right"))


def release_time(properties: Mapping[str, Any]) -> int:
    """The same of a song with these properties, those that are unknown left out."""
    return next((int(properties[name]) for name in _PROPERTIES if name in properties), UNKNOWN_INTEGER)
