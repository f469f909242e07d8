"""One pool out of many channels: quotas, de-duplication, fusion, provenance, and a reserve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.base import NO_SONGS, Candidates
from recall.blend.fusion import Fusion
from recall.blend.places import within
from recall.kernels.merging import merged

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

    def only(self, rows: Array) -> Pool:
        """These rows of it, ascending ones: the same pool where they are all."""
        return self if len(rows) == len(self) else self.of(rows)

    def first_channel(self, i: int) -> str:
        """The channel in whose list song `i` of the pool stands highest, the first of several."""
        ranks = self.ranks[i].tolist()
        return self.channels[min((rank, c) for c, rank in enumerate(ranks) if rank >= 0)[1]]

    def provenance(self, i: int) -> list[dict[str, object]]:
        """Channels that proposed song `i` of the pool, with its rank (from 1) and score in each."""
        found = zip(self.channels, self.ranks[i].tolist(), self.scores[i].tolist(), strict=True)
        return [{"channel": name, "rank": rank + 1, "score": score} for name, rank, score in found if rank >= 0]


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
    names, lists = tuple(proposals), list(proposals.values())
    starts = np.cumsum([0, *(len(found) for found in lists)])
    songs = np.concatenate([found.songs for found in lists] or [NO_SONGS]).astype(np.int32)
    inside = np.zeros(len(songs), dtype=bool)
    for name, found, first in zip(names, lists, starts.tolist(), strict=False):
        if found.interest is None and not found.besides:
            inside[first : first + min(quotas[name], len(found))] = True
        else:
            inside[first + within(found, quotas[name])] = True
    if not inside.any():
        none = np.zeros((0, len(names)))
        return Pool(names, NO_SONGS, np.zeros(0), none.astype(np.int32), none, np.zeros(0, dtype=bool))
    scores = np.concatenate([found.scores for found in lists]).astype(np.float64)
    mains = np.array([len(found) - found.besides for found in lists])
    contributions = fusion.contributions(names, scores, starts, mains, [weights.get(name, 1.0) for name in names])
    return Pool(names, *merged(songs, scores, contributions, starts, mains, inside))
