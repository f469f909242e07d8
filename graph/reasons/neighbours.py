"""Paths over SIMILAR_TO: between a seed and a song, or over a third song that is near to both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Final

import numpy as np

from graph.reasons.edges import Edges
from graph.reasons.people import Found
from graph.reasons.reason import Direction, Draft, Hop
from graph.reasons.seeds import Seed, Seeds
from graph.snapshot.arrays import Array

ENOUGH_LISTENERS: Final = 3
"""Listeners who must like both songs for one to be "heard beside" the other."""
SIMILAR_TO: Final = "SIMILAR_TO"
_TELLS: Final = 0.7
_LOOKED_AT: Final = 3
"""Neighbours, the strongest, whose common listeners are counted: at most 2 are shown."""
Nearest = Mapping[str, Mapping[str, Array]]
"""By model: `songs` (S, M) the nearest of each song, -1 where there are fewer, and their `weights` (S, M)."""


class Neighbours:
    """Reasons over near songs, of one asker."""

    def __init__(self, edges: Edges, seeds: Seeds, nearest: Nearest) -> None:
        self._edges, self._seeds, self._nearest = edges, seeds, nearest

    def beside(self, seed: Seed, song: int) -> str | None:
        """That a song is heard beside a seed and by how many, None where that are too few to say so."""
        both = self._edges.common_listeners(seed.song, song)
        return f"heard beside {seed.node.name} by {both} listeners" if both >= ENOUGH_LISTENERS else None

    def reasons(self, song: int) -> Iterator[Found]:
        """For a song of the release: the strongest."""
        node, found = self._edges.node("Song", song), []
        for model in self._nearest:
            for other, direction, weight in self._pairs(model, song, song):
                if weight > 0 and not self._left_out(*((other, song) if direction == "out" else (song, other))):
                    score = self._seeds.liked(other) * _TELLS * min(weight, 1.0)
                    found.append((score, other, model, direction, weight))
        found.sort(key=lambda row: (-row[0], row[1], row[3] == "in", row[2]))
        # of several models that say the same of a seed the surest speaks
        best = {row[1]: row for row in reversed(found)}
        strongest = sorted(best.values(), key=lambda row: (-row[0], row[1]))[:_LOOKED_AT]
        for score, other, model, direction, weight in strongest:
            seed = self._seeds.of(other)
            hop = Hop(SIMILAR_TO, direction, {"weight": weight, "by": model})
            text = self.beside(seed, song) or similar(seed)
            hops = [*seed.hops, hop]
            yield SIMILAR_TO, Draft("neighbour", text, score, [*seed.nodes, node], partial(list, hops))

    def over_another(self, song: int) -> Iterator[Found]:
        """For a song that no other path leads to: the strongest way over a third song among its nearest."""
        edges, seeds = self._edges, self._seeds
        best: tuple[float, int, int, list[Hop]] | None = None
        for model, arrays in self._nearest.items():
            for last, middle in enumerate(arrays["songs"][song].tolist()):
                known = middle in seeds and middle != song
                if middle < 0 or known or self._left_out(song, middle):
                    continue
                there = float(arrays["weights"][song, last])
                for other, direction, weight in self._pairs(model, middle, song):
                    ends = (other, middle) if direction == "out" else (middle, other)
                    score = seeds.liked(other) * _TELLS * min(weight, 1.0) * min(there, 1.0)
                    better = best is None or score > best[0]
                    if weight > 0 and better and not self._left_out(*ends):
                        hop = Hop(SIMILAR_TO, direction, {"weight": weight, "by": model})
                        best = score, other, middle, [hop, Hop(SIMILAR_TO, "in", {"weight": there, "by": model})]
        if best is not None and best[0] > 0:
            score, other, middle, hops = best
            seed, between = seeds.of(other), edges.node("Song", middle)
            nodes = [*seed.nodes, between, edges.node("Song", song)]
            text = f"similar to {between.name}, like {seed.named}"
            yield SIMILAR_TO, Draft("neighbour", text, score, nodes, partial(list, [*seed.hops, *hops]))

    def _left_out(self, source: int, target: int) -> bool:
        ids = self._edges.snapshot.ids["Song"]
        return self._edges.without_one_of(SIMILAR_TO) and self._edges.left_out(SIMILAR_TO, ids[source], ids[target])

    def _pairs(self, model: str, song: int, asked: int) -> Iterator[tuple[int, Direction, float]]:
        """Seeds near a song, but for the one that is `asked` about: position, the direction of the edge from the seed,
        and its weight."""
        arrays, (near, at) = self._nearest[model], self._near_seeds[model]
        width = arrays["songs"].shape[1]
        for i in at[np.searchsorted(near, song) : np.searchsorted(near, song, side="right")].tolist():
            other, place = int(self._seeds.songs[i // width]), i % width
            if other != asked:
                yield other, "out", float(arrays["weights"][other, place])
        for place, other in enumerate(arrays["songs"][song].tolist()):
            if other in self._seeds and other != asked:
                yield other, "in", float(arrays["weights"][song, place])

    @cached_property
    def _near_seeds(self) -> dict[str, tuple[Array, Array]]:
        """By model the nearest songs (N,) of all seeds, rising, and where each stands among them, seed by seed (N,)."""
        found = {}
        for model, arrays in self._nearest.items():
            near = arrays["songs"][self._seeds.songs].ravel()
            order = np.argsort(near, kind="stable")
            found[model] = near[order], order
        return found


def similar(seed: Seed) -> str:
    """What is true of near vectors, whoever has heard the songs."""
    return f"similar to {seed.apart}"
