"""Paths over SIMILAR_TO: between a seed and a song, or over a third song that is near to both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from graph.reasons.edges import Edges
from graph.reasons.listeners import common_listeners
from graph.reasons.people import Found
from graph.reasons.reason import Direction, Hop, Node, Reason
from graph.reasons.seeds import Seed, Seeds
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot

ENOUGH_LISTENERS: Final = 3
"""Listeners who must like both songs for one to be "heard beside" the other."""
_TELLS: Final = 0.7
_LOOKED_AT: Final = 3
"""Neighbours, the strongest, whose common listeners are counted: at most 2 are shown."""
Nearest = Mapping[str, Mapping[str, Array]]
"""By model: `songs` (S, M) the nearest of each song, -1 where there are fewer, and their `weights` (S, M)."""


def beside(snapshot: Snapshot, seed: Seed, song: int) -> str | None:
    """That a song is heard beside a seed and by how many, None where that are too few to say so."""
    both = common_listeners(snapshot, seed.song, song)
    return f"heard beside {seed.node.name} by {both} listeners" if both >= ENOUGH_LISTENERS else None


def similar(seed: Seed) -> str:
    """What is true of near vectors, whoever has heard the songs."""
    return f"similar to {seed.apart}"


def reasons(edges: Edges, seeds: Seeds, nearest: Nearest, song: int) -> Iterator[Found]:
    """For a song of the release: the strongest."""
    snapshot, node = edges.snapshot, Node.of(edges.snapshot, "Song", song)
    found = []
    for other, model, direction, weight in _pairs(seeds, nearest, song):
        source, target = (other, song) if direction == "out" else (song, other)
        ids = snapshot.ids["Song"]
        if weight > 0 and not edges.left_out("SIMILAR_TO", ids[source], ids[target]):
            found.append((seeds.liked(other) * _TELLS * min(weight, 1.0), other, model, direction, weight))
    found.sort(key=lambda row: (-row[0], row[1], row[3] == "in", row[2]))
    # of several models that say the same of a seed the surest speaks
    best = {row[1]: row for row in reversed(found)}
    strongest = sorted(best.values(), key=lambda row: (-row[0], row[1]))[:_LOOKED_AT]
    for score, other, model, direction, weight in strongest:
        seed = seeds.of(other)
        hop = Hop("SIMILAR_TO", direction, {"weight": weight, "by": model})
        text = beside(snapshot, seed, song) or similar(seed)
        yield "SIMILAR_TO", Reason.of("neighbour", text, score, [*seed.nodes, node], [*seed.hops, hop])


def _pairs(seeds: Seeds, nearest: Nearest, song: int) -> Iterator[tuple[int, str, Direction, float]]:
    """Seeds near the song: position, model, the direction of the edge from the seed, and its weight."""
    for model, arrays in nearest.items():
        # (seeds, M) the neighbours of the seeds, where the song may stand among them
        rows, places = np.nonzero(arrays["songs"][seeds.songs] == song)
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            other = int(seeds.songs[row])
            yield other, model, "out", float(arrays["weights"][other, place])
        for place, other in enumerate(arrays["songs"][song].tolist()):
            if other in seeds:
                yield other, model, "in", float(arrays["weights"][song, place])


def over_another(edges: Edges, seeds: Seeds, nearest: Nearest, song: int) -> Iterator[Found]:
    """For a song that no other path leads to: the strongest way over a third song among its nearest."""
    snapshot = edges.snapshot
    ids = snapshot.ids["Song"]
    best: tuple[float, int, int, list[Hop]] | None = None
    for model, arrays in nearest.items():
        for last, middle in enumerate(arrays["songs"][song].tolist()):
            if middle < 0 or middle in seeds or edges.left_out("SIMILAR_TO", ids[song], ids[middle]):
                continue
            there = float(arrays["weights"][song, last])
            for other, _, direction, weight in _pairs(seeds, {model: arrays}, middle):
                source, target = (other, middle) if direction == "out" else (middle, other)
                score = seeds.liked(other) * _TELLS * min(weight, 1.0) * min(there, 1.0)
                known = best is None or score > best[0]
                if weight > 0 and known and not edges.left_out("SIMILAR_TO", ids[source], ids[target]):
                    hop = Hop("SIMILAR_TO", direction, {"weight": weight, "by": model})
                    best = score, other, middle, [hop, Hop("SIMILAR_TO", "in", {"weight": there, "by": model})]
    if best is not None and best[0] > 0:
        score, other, middle, hops = best
        seed, between = seeds.of(other), Node.of(snapshot, "Song", middle)
        nodes = [*seed.nodes, between, Node.of(snapshot, "Song", song)]
        text = f"similar to {between.name}, like {seed.named}"
        yield "SIMILAR_TO", Reason.of("neighbour", text, score, nodes, [*seed.hops, *hops])
