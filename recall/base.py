"""What a recall channel is: a query in, candidates out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, Final, Protocol, runtime_checkable

import numpy as np

from graph.durations import HOUR_MS
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.grouped import isin_sorted
from recall.kernels.best import best_of
from recall.listeners.interests import Interests, Leaders
from recall.listeners.listener import Listener
from recall.live.counters import Counters
from recall.live.live import Overlay


@dataclass(frozen=True)
class Query:
    """One question to all channels: who asks, when, where, and what must not come back.

    `at` is epoch milliseconds; coordinates are degrees or None; `exclude` holds positions of songs that no channel
    may return, sorted; `overlay` is what has happened since the release, where anything has; `leaders` what the release
    knows of listeners' interests, where a slate has places for songs of each of them.
    """

    listener: Listener
    at: int
    exclude: Array
    latitude: float | None = None
    longitude: float | None = None
    scene: str = "radio"
    overlay: Overlay | None = None
    leaders: Leaders | None = None

    @property
    def placed(self) -> bool:
        """Whether the request itself says where the listener is."""
        return self.latitude is not None and self.longitude is not None

    @property
    def hour(self) -> int:
        """When the hour of `at` began: what fades over days is told as of then, so that within an hour nothing moves
        that nothing has happened to."""
        return self.at - self.at % HOUR_MS

    @cached_property
    def live(self) -> Overlay:
        """Counters up to now, new songs, and follows as they are."""
        return self.overlay or Overlay.of(self.listener.snapshot)

    @cached_property
    def allowed(self) -> Array:
        """(songs,) True where a song of the release may come back; `permits` costs less where songs are few."""
        allowed = np.ones(self.listener.snapshot.songs, dtype=bool)
        allowed[self.exclude[: np.searchsorted(self.exclude, len(allowed))]] = False
        return allowed

    @cached_property
    def interests(self) -> Interests:
        """The listener's interests by now; none where channels are asked for the whole history."""
        return Interests.none() if self.leaders is None else self.leaders.interests(self.listener, self.at)

    def interest_of(self, songs: Array) -> Array:
        """(n,) the interest that each of these songs of the release serves, `len(interests)` where none."""
        if self.leaders is None:
            return np.zeros(len(songs), dtype=np.int64)
        found = self.interests.nearest(self.leaders.unit[songs])
        return np.where(found < 0, len(self.interests), found)

    def permits(self, songs: Array) -> Array:
        """(n,) whether each of these songs, new ones included, may come back."""
        return ~isin_sorted(songs, self.exclude)


@dataclass(frozen=True)
class Candidates:
    """Songs of one channel, the best first.

    Shapes: C candidates; songs (C,) int32 positions without repetition, scores (C,) finite and descending. A channel
    that recalls for several interests of a listener may name that of each candidate: interest (C,) from 0 to I - 1, and
    importance (I,) of each interest, all equal where None. The last `besides` candidates are there for an interest
    alone, beside the best for the whole history: they come into the pool, and add nothing to a fused score.
    """

    songs: Array
    scores: Array
    interest: Array | None = None
    importance: Array | None = None
    besides: int = 0

    def __len__(self) -> int:
        return len(self.songs)

    def of(self, rows: Array | slice) -> Candidates:
        """These rows of it."""
        interest = None if self.interest is None else self.interest[rows]
        besides = np.count_nonzero(np.arange(len(self))[rows] >= len(self) - self.besides)
        return Candidates(self.songs[rows], self.scores[rows], interest, self.importance, int(besides))

    @property
    def main(self) -> Candidates:
        """The best for the whole history."""
        return self.of(slice(len(self) - self.besides)) if self.besides else self

    @classmethod
    def none(cls) -> Candidates:
        return cls(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float64))

    @classmethod
    def best(cls, songs: Array, scores: Array, k: int) -> Candidates:
        """The `k` highest of `songs`; equal scores keep the order in which the songs come."""
        return cls._best(songs, scores, NO_SONGS, k)

    @classmethod
    def of_scores(cls, scores: Array, query: Query, k: int, *, floor: float = 0.0) -> Candidates:
        """The `k` allowed songs with the highest of `scores` (songs,) above `floor`; ties in order of arrival.

        Looks at every song; `of_songs` and `Ranked` do not.
        """
        arrival = query.listener.snapshot.histories.first_seen
        return cls._best(_positions(len(scores)), scores, query.exclude, k, arrival, floor)

    @classmethod
    def of_songs(cls, songs: Array, scores: Array, query: Query, k: int) -> Candidates:
        """The `k` allowed ones of `songs` (n,) with the highest `scores` (n,) above 0; ties as there."""
        return cls._best(songs, scores, query.exclude, k, query.listener.snapshot.histories.first_seen, 0.0)

    @classmethod
    def permitted(cls, songs: Array, scores: Array, query: Query, k: int, arrival: Array | None = None) -> Candidates:
        """As `best`, of those of `songs` that may come back; only the highest are looked up.

        With `arrival` (songs,), when each song of the release was first heard, equal scores come in that order, new
        songs last, and then by position.
        """
        return cls._best(songs, scores, query.exclude, k, arrival)

    @classmethod
    def _best(
        cls,
        songs: Array,
        scores: Array,
        exclude: Array,
        k: int,
        arrival: Array | None = None,
        floor: float = -np.inf,
    ) -> Candidates:
        songs = np.ascontiguousarray(songs, dtype=np.int64)
        scores = np.ascontiguousarray(scores, dtype=np.float64)
        rows = best_of(songs, scores, exclude, _IN_ORDER if arrival is None else arrival, floor, k)
        return cls(songs[rows].astype(np.int32), scores[rows])


@lru_cache(maxsize=8)
def _positions(songs: int) -> Array:
    """(songs,) every position; the same array for all who ask."""
    return np.arange(songs)


class Ranked:
    """All songs in the order that they have for everybody, so that a request reads the first few alone."""

    def __init__(self, snapshot: Snapshot, scores: Array, floor: float = 0.0) -> None:
        """By `scores` (songs,) above `floor`; ties in order of arrival."""
        songs = np.flatnonzero(scores > floor)
        self._songs = songs[np.lexsort((snapshot.histories.first_seen[songs], -scores[songs]))].astype(np.int32)
        self._scores = scores[self._songs].astype(np.float64)

    def best(self, query: Query, k: int) -> Candidates:
        """The first `k` that may come back."""
        look = 2 * k + _SOME
        while True:
            kept = np.flatnonzero(query.permits(self._songs[:look]))[:k]
            if len(kept) == k or look >= len(self._songs):
                return Candidates(self._songs[kept], self._scores[kept])
            look *= 4


_SOME: Final = 64
UNTIL_CHANGED: Final = float("inf")
"""`lasts_ms` of a channel that takes nothing from the clock."""
NO_SONGS: Final = np.empty(0, dtype=np.int32)
_IN_ORDER: Final = np.empty(0, dtype=np.int64)
"""For `best_of`: equal scores come as they are given."""


@runtime_checkable
class Channel(Protocol):
    """One way to propose songs. One file of `recall/channels/` holds one, with its frozen config.

    `audience` says for whom it is measured; `serves` decides that for one listener. An optional classmethod
    `prepare(snapshot, vectors, config, folder, *, rng)` computes at refresh time what `recall` looks up, from the
    events that the ranker and the measurement do not use. An optional `remembers: ClassVar[bool] = True` says that this
    holds something of each listener's history: such a channel does not answer listeners of whom no event is known.
    An optional `in_memory: ClassVar[bool] = True` says that it never waits for anything, neither a disk nor a service:
    such a channel is asked in the request's own thread. An optional `lasts_ms: ClassVar[float]` says that its answer
    changes with the listener's events, new songs, interests and exclusions, with what an optional method
    `version(query)` returns, and with the clock every so many milliseconds at most (see `recall.kept_answers`).
    `Counts` says what it counts of the log, `Warms` what it computes before it is asked.
    """

    audience: ClassVar[str]

    def serves(self, listener: Listener) -> bool:
        """Whether the listener belongs to the audience that this channel is measured on."""
        ...

    def recall(self, query: Query, k: int) -> Candidates:
        """At most `k` songs for the query, and, if it has `leaders`, a tenth as many `besides`; nobody's history is a
        reason to fail."""
        ...


@runtime_checkable
class Reacts(Protocol):
    """A channel whose songs answer to what the listener did a moment ago: a scene keeps places for them."""

    def anything(self, query: Query) -> bool:
        """Whether there may be anything of that kind; False spares the other questions."""
        ...

    def answers(self, query: Query, songs: Array) -> Array:
        """(n,) which recent action each of these songs answers to: 0 the newest, -1 none."""
        ...

    def refused(self, query: Query, songs: Array) -> Array:
        """(n,) whether each of these songs is near to one that the listener has just turned down."""
        ...


@runtime_checkable
class Counts(Protocol):
    """A channel that follows what comes since the release: what it counts begins before the log is read, or the log
    would be read once more for each thing counted."""

    def count(self, counters: Counters) -> None:
        """Ask for all that is counted."""
        ...


@runtime_checkable
class Warms(Protocol):
    """A channel that counts more than its answer to any one listener needs: it is asked to before the first request."""

    def warm(self, live: Overlay) -> None:
        """Count it now."""
        ...
