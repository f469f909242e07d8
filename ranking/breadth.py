"""Breadth: the last places of a slate go to songs that fewer listeners are shown.

A ranker that is right about each listener still shows all listeners the same part of the catalogue. How often each song
would be shown is counted over the lists that trained the ranker. In the last places of a slate a song's score is
lowered by `strength` x ln(its share of listeners); the first places stay as they were ranked, since most of what a
slate gains is there. The strength is the scene's, or less where that would cost more than `DEAREST` of the NDCG@10 of
those lists.

Source: Adomavicius and Kwon 2012, Improving aggregate recommendation diversity using ranking-based techniques, doi
10.1109/TKDE.2011.15 (a list re-ranked by the inverse of popularity, within a bound on the loss of accuracy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays

RANKED_FIRST: Final = 0.7
"""The share of a slate that keeps the ranker's order."""
SHOWN: Final = 50
"""Places of a list that count as shown: more than a slate has, or songs that nearly came in would look rare."""
DEAREST: Final = 0.02
"""The share of NDCG@10 that it may cost."""
_STEP: Final = 0.05
_K: Final = 10


@dataclass(frozen=True)
class ScoredList:
    """One listener's pool: songs (P,), the ranker's scores (P,), and which songs were loved afterwards, hits (P,)."""

    songs: Array
    scores: Array
    hits: Array


@dataclass(frozen=True)
class Breadth:
    """`share` (S,): the share of listeners to whom each song is shown; `floor`: the share of a song that is shown to
    nobody; `strength`, 0 or more."""

    share: Array
    floor: float
    strength: float

    @classmethod
    def fit(cls, lists: Sequence[ScoredList], songs: int, strength: float) -> Breadth | None:
        """From the lists that trained the ranker, of a catalogue of so many songs; None where every strength costs too
        much, or no list holds a song that was loved."""
        judges = [one for one in lists if one.hits.any()]
        if not judges:
            return None
        shown = np.zeros(songs)
        for one in lists:
            shown[one.songs[_best(one.scores, SHOWN)]] += 1
        found = cls((shown / len(lists)).astype(np.float32), 1 / len(lists), 0.0)
        least = (1 - DEAREST) * found._gain(judges)
        while strength > 0:
            found = replace(found, strength=strength)
            if found._gain(judges) >= least:
                return found
            strength = round(strength - _STEP, 6)
        return None

    def lowered(self, songs: Array, scores: Array) -> Array:
        """(P,) the scores (P,) of songs (P,), less what each is lowered by; a song since the refresh is shown to
        nobody."""
        share = np.full(len(songs), self.floor)
        known = songs < len(self.share)
        share[known] += self.share[songs[known]]
        return np.asarray(scores - self.strength * np.log(share))

    def _gain(self, lists: Sequence[ScoredList]) -> float:
        """The mean NDCG@10 of the lists."""
        discounts = 1 / np.log2(np.arange(2, _K + 2))
        total = 0.0
        for one in lists:
            rows = _best(one.scores, _K)
            if self.strength:
                rows = last_places(rows, _best(self.lowered(one.songs, one.scores), _K))
            total += discounts[: len(rows)] @ one.hits[rows] / discounts[: int(one.hits.sum())].sum()
        return total / len(lists)

    def save(self, path: Path) -> None:
        write_arrays(path, {"share": self.share}, {"floor": self.floor, "strength": self.strength})

    @classmethod
    def load(cls, release: Release, name: str) -> Breadth:
        """The one stored under `name`.

        Raises: CorruptRelease if there is none.
        """
        arrays, meta = release.arrays(name)
        return cls(arrays["share"], meta["floor"], meta["strength"])


def last_places(rows: Array, others: Array) -> Array:
    """Rows (n,) of a slate, its last places filled by the first of `others` (n,) that it does not hold yet."""
    kept = rows[: int(np.ceil(RANKED_FIRST * len(rows) - 1e-9))]
    held = set(kept.tolist())
    more = [row for row in others.tolist() if row not in held][: len(rows) - len(kept)]
    return np.append(kept, np.array(more, dtype=kept.dtype))


def _best(scores: Array, k: int) -> Array:
    """Rows of the k highest scores, the best first, equal ones in their order."""
    return np.argsort(-scores, kind="stable")[:k]
