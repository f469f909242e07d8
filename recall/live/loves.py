"""What each listener loves and rejects by now: a decayed sum for each of a listener's songs, kept instead of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME, Histories, strengths
from graph.snapshot.snapshot import Snapshot
from recall.decay import HALF_LIFE_MS, Decay
from recall.grouped import csr_entries, rank_within_group
from recall.live.counters import Counters

LATEST: Final = 300
"""Events of the release that count of each listener, the latest ones."""
KEPT: Final = 100
"""Songs that are kept of what each listener did since the release, those loved most."""
_LARGER: Final = 16
"""A part is joined with the next larger one when it has more than a so-manieth of its entries."""


@dataclass(frozen=True)
class LovesPart:
    """Sums of N pairs of a listener and a song, by listener and then by song.

    Shapes: user, song (N,) int64; timed (N,) what events with a time said, as it was worth at the landmark of the
    decay; lasting (N,) what those without a time say, which does not fade.
    """

    user: Array
    song: Array
    timed: Array
    lasting: Array

    @classmethod
    def of(cls, user: Array, song: Array, timed: Array, lasting: Array, most: int) -> Self:
        """The sums by pair of E entries, `most` songs of each listener, those loved most."""
        order = np.lexsort((song, user))
        user, song = user[order].astype(np.int64), song[order].astype(np.int64)
        if len(user):
            changed = (np.diff(user) != 0) | (np.diff(song) != 0)
            first = np.flatnonzero(np.concatenate([[True], changed]))
            user, song = user[first], song[first]
            timed, lasting = (np.add.reduceat(values[order], first) for values in (timed, lasting))
        if len(user) > most and np.bincount(user).max() > most:
            by_worth = np.lexsort((-(timed + lasting), user))
            kept = np.sort(by_worth[rank_within_group(user[by_worth]) < most])
            user, song, timed, lasting = user[kept], song[kept], timed[kept], lasting[kept]
        return cls(user, song, timed, lasting)

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))

    @property
    def columns(self) -> tuple[Array, Array, Array, Array]:
        return self.user, self.song, self.timed, self.lasting

    def __len__(self) -> int:
        return len(self.user)

    def joined(self, other: LovesPart) -> LovesPart:
        """Both in one."""
        user, song, timed, lasting = (np.concatenate(pair) for pair in zip(self.columns, other.columns, strict=True))
        return LovesPart.of(user, song, timed, lasting, KEPT)


Parts = tuple[LovesPart, LovesPart, LovesPart]


class PeopleLoves:
    """The sums of every listener; a tally for `recall.live.counters`.

    Those of the release stand in one part and what came since in three, of which each is much smaller than the next: a
    batch of a few events copies little. One thread adds while others read.
    """

    def __init__(self, decay: Decay) -> None:
        self.decay = decay
        none = LovesPart.none()
        self.release, self._since = none, (none, none, none)
        self.version = 0
        """How often something was added."""

    @classmethod
    def of(cls, counters: Counters, snapshot: Snapshot) -> PeopleLoves:
        """Those that all channels share."""
        return counters.events("loves", lambda: cls(Decay.of(snapshot, HALF_LIFE_MS)))

    @property
    def since(self) -> Parts:
        """What came since the release, the largest part first."""
        return self._since

    def add(self, events: Any) -> None:
        if isinstance(events, Histories):
            people = np.arange(len(events.indptr) - 1)
            user, at = csr_entries(events.indptr, people, LATEST)
            self.release = self._summed(user, events, at, LATEST)
            self.version += 1
            return
        known = np.flatnonzero(events.user >= 0)
        large, middle, small = self._since
        small = small.joined(self._summed(np.asarray(events.user)[known], events, known, KEPT))
        if len(small) * _LARGER > len(middle):
            middle, small = middle.joined(small), LovesPart.none()
        if len(middle) * _LARGER > len(large):
            large, middle = large.joined(middle), LovesPart.none()
        self._since = large, middle, small
        self.version += 1

    def _summed(self, user: Array, events: Any, rows: Array, most: int) -> LovesPart:
        """The sums of some rows (E,) of the events, which are of `user` (E,); `most` songs of each."""
        song, action, at, count = (getattr(events, name)[rows] for name in ("song", "action", "at", "count"))
        worth = strengths(action, count)
        lasting = np.where(at == UNKNOWN_TIME, worth, 0.0)
        return LovesPart.of(user, song, worth * self.decay.weights(at), lasting, most)
