"""One pool out of many channels: quotas, de-duplication, fusion, provenance, and a reserve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import Candidates
from recall.blend.fusion import Fusion
from recall.blend.places import within
from recall.grouped import index_in_sorted, isin_sorted, ranges, sorted_unique

UNFITTED: Final = Fusion({}, {})
"""Nothing learned: every candidate contributes the reciprocal of 60 + its rank."""


@dataclass(frozen=True)
class Pool:
    """Songs of all channels, each once, the best fused score first, with where each comes from.

    Shapes: P songs, C channels; songs (P,), fused (P,) descending; ranks (P, C) a song's rank in each channel, from 0,
    -1 where the channel did not propose it; scores (P, C) the channel's own score, 0 there; besides (P,) whether a song
    is there for an interest of the listener alone.
    """

    channels: tuple[str, ...]
    songs: Array
    fused: Array
    ranks: Array
    scores: Array
    besides: Array

    def __len__(self) -> int:
        return len(self.songs)

    def of(self, rows: Array | slice) -> Pool:
        """These rows of it."""
        kept = self.songs[rows], self.fused[rows], self.ranks[rows], self.scores[rows], self.besides[rows]
        return Pool(self.channels, *kept)

    def first_channel(self, i: int) -> str:
        """The channel in whose list song `i` of the pool stands highest, the first of several."""
        ranks = self.ranks[i]
        return self.channels[int(np.argmin(np.where(ranks < 0, np.iinfo(np.int32).max, ranks)))]

    def provenance(self, i: int) -> list[dict[str, object]]:
        """Channels that proposed song `i` of the pool, with its rank (from 1) and score in each."""
        return [
            {"channel": name, "rank": int(self.ranks[i, c]) + 1, "score": float(self.scores[i, c])}
            for c, name in enumerate(self.channels)
            if self.ranks[i, c] >= 0
        ]


def merge(
    proposals: Mapping[str, Candidates],
    quotas: Mapping[str, int],
    weights: Mapping[str, float],
    fusion: Fusion = UNFITTED,
) -> Pool:
    """Each channel's best up to its quota, each song once.

    A song's fused score is the sum over channels of weight x the candidate's contribution (`Fusion.contribution`): its
    log-standardised gap where weights were learned, else its calibrated chance of being liked, or the reciprocal of
    60 + its rank. A song within one channel's quota also counts in the channels that rank it beyond theirs. What a
    channel proposes for an interest alone (`besides`) comes beyond its quota, and says nothing of a song that is there
    for the whole history.
    Source: Cormack et al. 2009, Reciprocal rank fusion.
    """
    names = tuple(proposals)
    chosen = {name: proposals[name].of(within(proposals[name], quotas[name])) for name in names}
    inside = [found.songs for found in chosen.values()]
    songs = sorted_unique(np.concatenate(inside)) if inside else np.empty(0, dtype=np.int32)
    ranks = np.full((len(songs), len(names)), -1, dtype=np.int32)
    scores = np.zeros((len(songs), len(names)))
    if not len(songs):
        return Pool(names, songs, np.zeros(0), ranks, scores, np.zeros(0, dtype=bool))
    main = sorted_unique(np.concatenate([found.main.songs for found in chosen.values()]))
    besides = ~isin_sorted(songs, main)
    # all candidates of all channels, one after the other: the channel, the rank, and the contribution
    sizes = np.array([len(found) for found in proposals.values()])
    channel, rank = ranges(np.zeros(len(names), dtype=np.int64), sizes)
    contributions = [weights.get(name, 1.0) * fusion.contribution(name, proposals[name]) for name in names]
    place = index_in_sorted(songs, np.concatenate([found.songs for found in proposals.values()]))
    alone = rank >= (sizes - [found.besides for found in proposals.values()])[channel]
    known = place < len(songs)
    known[alone] &= besides[np.minimum(place[alone], len(songs) - 1)]
    place, channel = place[known], channel[known]
    ranks[place, channel] = rank[known]
    scores[place, channel] = np.concatenate([found.scores for found in proposals.values()])[known]
    fused = np.bincount(place, np.concatenate(contributions)[known], len(songs))
    order = np.argsort(-fused, kind="stable")
    return Pool(names, songs[order], fused[order], ranks[order], scores[order], besides[order])
