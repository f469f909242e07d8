"""Which listeners like a song."""

from __future__ import annotations

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot


def listeners_who_like(snapshot: Snapshot, song: int) -> Array:
    """Positions of users, sorted: who plays it more than twice as often as skipping it, or has collected, liked or
    shared it, and has neither blocked nor disliked it."""
    listened = snapshot.relation("LISTENED")
    edges = listened.edges_into(song)
    plays, skips = (listened.properties[name][edges] for name in ("plays", "skips"))
    found = [listened.edge_sources[edges[plays > 2 * skips]]]
    found += [snapshot.relation(name).into(song) for name in ("COLLECTED", "LIKED", "SHARED")]
    refused = [snapshot.relation(name).into(song) for name in ("BLOCKED", "DISLIKED")]
    if not any(map(len, (*found[1:], *refused))):
        return found[0]  # rising and each once, as edges into a song are
    return np.setdiff1d(np.concatenate(found), np.concatenate(refused))
