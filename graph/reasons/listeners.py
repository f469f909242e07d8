"""Which listeners like a song, and how many like both of two songs."""

from __future__ import annotations

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot


def listeners_who_like(snapshot: Snapshot, song: int) -> Array:
    """Positions of users, sorted: who plays it more than twice as often as skipping it, or has collected, liked or
    shared it, and has not blocked it."""
    listened = snapshot.relation("LISTENED")
    edges = listened.edges_into(song)
    plays, skips = (listened.properties[name][edges] for name in ("plays", "skips"))
    found = [listened.edge_sources[edges[plays > 2 * skips]]]
    found += [snapshot.relation(name).into(song) for name in ("COLLECTED", "LIKED", "SHARED")]
    return np.setdiff1d(np.concatenate(found), snapshot.relation("BLOCKED").into(song))


def common_listeners(snapshot: Snapshot, one: int, other: int) -> int:
    """How many listeners like both songs."""
    both = np.intersect1d(listeners_who_like(snapshot, one), listeners_who_like(snapshot, other), assume_unique=True)
    return len(both)
