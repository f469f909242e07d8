"""One pool out of many channels: quotas, de-duplication, fusion, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.arrays import Array
from recall.base import Candidates

RANK_OFFSET: Final = 60.0


@dataclass(frozen=True)
class Pool:
    """Songs of all channels, each once, the best fused score first, with where each comes from.

    Shapes: P songs, C channels; songs (P,), fused (P,) falling; ranks (P, C) a song's rank in each channel, counted
    from 0, -1 where the channel did not propose it; scores (P, C) the channel's own score, 0 there.
    """

    channels: tuple[str, ...]
    songs: Array
    fused: Array
    ranks: Array
    scores: Array

    def __len__(self) -> int:
        return len(self.songs)

    def provenance(self, i: int) -> list[dict[str, object]]:
        """Channels that proposed song `i` of the pool, with its rank (from 1) and score in each."""
        return [
            {"channel": name, "rank": int(self.ranks[i, c]) + 1, "score": float(self.scores[i, c])}
            for c, name in enumerate(self.channels)
            if self.ranks[i, c] >= 0
        ]


def merge(proposals: Mapping[str, Candidates], quotas: Mapping[str, int], weights: Mapping[str, float]) -> Pool:
    """Each channel's best up to its quota, each song once, by weighted reciprocal rank.

    A song's fused score is the sum over channels of weight / (60 + rank). A song that stands within one channel's
    quota keeps its rank in the others, beyond their quotas too.
    Source: Cormack et al. 2009, Reciprocal rank fusion.
    """
    names = tuple(proposals)
    within = [proposals[name].songs[: quotas[name]] for name in names]
    songs = np.unique(np.concatenate(within)) if within else np.empty(0, dtype=np.int32)
    ranks = np.full((len(songs), len(names)), -1, dtype=np.int32)
    scores = np.zeros((len(songs), len(names)))
    fused = np.zeros(len(songs))
    for c, name in enumerate(names):
        found = proposals[name]
        if not len(found) or not len(songs):
            continue
        place = np.minimum(np.searchsorted(songs, found.songs), len(songs) - 1)
        known = songs[place] == found.songs
        ranks[place[known], c] = np.flatnonzero(known)
        scores[place[known], c] = found.scores[known]
        fused[place[known]] += weights.get(name, 1.0) / (RANK_OFFSET + np.flatnonzero(known))
    order = np.argsort(-fused, kind="stable")
    return Pool(names, songs[order], fused[order], ranks[order], scores[order])
