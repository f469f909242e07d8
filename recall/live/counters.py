"""Time-decayed sums over what listeners do, first of a release's events and then of those that follow, in one.

A sum is kept as it was worth at a landmark, sum of w x 2^((at - landmark) / half-life), so that adding is all there is:
the order of events does not matter, parts may be merged, and what is folded in live equals what a rebuild from the log
gives.

Source: Cormode et al. 2009, Forward decay: a practical time decay model for streaming systems.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.histories import Histories
from graph.snapshot.snapshot import Snapshot
from recall.decay import Decay
from recall.grouped import index_in_sorted, sum_by_key
from recall.once import once

_ROOM: Final = 256
_FEW: Final = 64
"""One song in so many may have a sum that is kept apart, so that a small batch copies little."""
_NOTHING: Final = (np.empty(0, dtype=np.int64), np.empty(0))


class Events(Protocol):
    """E events: arrays (E,) as in `Histories`; positions of songs beyond the release's are those of new songs."""

    @property
    def user(self) -> Array: ...
    @property
    def song(self) -> Array: ...
    @property
    def action(self) -> Array: ...
    @property
    def at(self) -> Array: ...
    @property
    def count(self) -> Array: ...
    @property
    def cell(self) -> Array: ...


class Tally(Protocol):
    """Something that is counted: given the release's events once, then those that follow."""

    def add(self, events: Any) -> None: ...


T = TypeVar("T", bound=Tally)
EVENTS, EXPOSURES = "events", "exposures"
Again = Callable[[str, int], Iterable[Any]]


class Counters:
    """Tallies of one release, made when first asked for and kept up to date by `fold`; safe between threads."""

    def __init__(self, snapshot: Snapshot, again: Again | None = None) -> None:
        """`again` reads once more what has been folded in of a kind, up to an offset; without it everything is kept."""
        self.snapshot, self._again = snapshot, again
        self._kept: dict[str, dict[Hashable, Tally]] = {EVENTS: {}, EXPOSURES: {}}
        self._since: dict[str, list[Any]] = {EVENTS: [], EXPOSURES: []}
        self._upto = {EVENTS: 0, EXPOSURES: 0}
        self._lock = threading.Lock()
        self.version = 0
        """How often something was folded in: what was computed from tallies holds until it changes."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Counters:
        """Those of a snapshot that nothing follows, shared by all who read it."""
        return once(snapshot, "counters", lambda: cls(snapshot))

    def events(self, key: Hashable, make: Callable[[], T]) -> T:
        """The tally of events under `key`, which `make` makes empty."""
        return self._tally(EVENTS, key, make, lambda: self.snapshot.histories)

    def exposures(self, key: Hashable, make: Callable[[], T]) -> T:
        """The same for exposures."""
        return self._tally(EXPOSURES, key, make, lambda: self.snapshot.exposures)

    def fold(self, events: Events | None = None, exposures: Any = None, upto: int = 0) -> None:
        """Add what came after, up to an offset of the log; each event and exposure must come once."""
        with self._lock:
            for kind, batch in ((EVENTS, events), (EXPOSURES, exposures)):
                if batch is None:
                    continue
                self._upto[kind] = upto
                if not len(batch.song):
                    continue
                if self._again is None:
                    self._since[kind].append(batch)
                self.version += 1
                for tally in self._kept[kind].values():
                    tally.add(batch)

    def _tally(self, kind: str, key: Hashable, make: Callable[[], T], first: Callable[[], Any]) -> T:
        with self._lock:
            kept = self._kept[kind]
            if key not in kept:
                tally, upto = make(), self._upto[kind]
                since = self._since[kind] if self._again is None else self._again(kind, upto) if upto else ()
                for batch in chain([first()], since):
                    tally.add(batch)
                kept[key] = tally
            return kept[key]  # type: ignore[return-value]


@dataclass(frozen=True)
class _Sums:
    """Sums as they were at one moment, worth what they were at the landmark; never changed.

    Shapes: base (songs + some,) dense; songs (n,) ascending and late (n,) what came to those songs since `base` was
    made; `total` is the sum of both over all songs.
    """

    base: Array
    songs: Array
    late: Array
    total: float

    def plus(self, songs: Array, weights: Array) -> _Sums:
        """These and the `weights` (E,) of events on `songs` (E,); the dense part is copied once in many batches."""
        total = self.total + float(weights.sum())
        size = max(len(self.base), int(songs.max()) + 1)
        if len(self.songs) + len(songs) <= size // _FEW:
            kept = sum_by_key(np.concatenate([self.songs, songs]), np.concatenate([self.late, weights]))
            return _Sums(self.base, *kept, total)
        base = np.bincount(songs, weights, size)
        base[: len(self.base)] += self.base
        base[self.songs] += self.late
        return _Sums(base, *_NOTHING, total)


class SongSums:
    """(songs,) decayed sums of what `weigh` makes of each event (E,); new songs included, as they come.

    One thread adds while any others read: `add` replaces the sums as a whole, so that a reading sees all of a batch or
    nothing of it.
    """

    def __init__(self, songs: int, decay: Decay, weigh: Callable[[Any], Array]) -> None:
        self._decay, self._weigh = decay, weigh
        self._sums = _Sums(np.zeros(songs + _ROOM), *_NOTHING, 0.0)

    def add(self, events: Any) -> None:
        if len(events.song):
            self._sums = self._sums.plus(events.song, self._weigh(events) * self._decay.weights(events.at))

    def at(self, now: int, songs: int) -> Array:
        """(songs,) the sums as they are worth at `now`."""
        known, since = self._sums, self._decay.since(now)
        sums = np.zeros(songs)
        np.multiply(known.base[:songs], since, out=sums[: len(known.base)])
        inside = int(np.searchsorted(known.songs, songs))
        sums[known.songs[:inside]] += known.late[:inside] * since
        return sums

    def of(self, now: int, songs: Array) -> Array:
        """(n,) the same for some songs."""
        known = self._sums
        if int(songs.max(initial=0)) < len(known.base):
            sums = np.asarray(known.base[songs])
        else:
            inside = songs < len(known.base)
            sums = np.where(inside, known.base[np.where(inside, songs, 0)], 0.0)
        if len(known.songs):
            sums = sums + np.append(known.late, 0.0)[index_in_sorted(known.songs, songs)]
        return sums * self._decay.since(now)

    def total(self, now: int) -> float:
        """The sum over all songs."""
        return self._sums.total * self._decay.since(now)


class GroupSums:
    """Decayed sums of songs within groups, such as places or cells: sparse, a group at a time.

    `group` gives each event's group (E,) int64, -1 for none.
    """

    def __init__(self, decay: Decay, weigh: Callable[[Any], Array], group: Callable[[Any], Array]) -> None:
        self._decay, self._weigh, self._group = decay, weigh, group
        self._parts: dict[int, list[tuple[Array, Array]]] = {}

    def add(self, events: Any) -> None:
        group = self._group(events)
        weights = self._weigh(events) * self._decay.weights(events.at)
        kept = (group >= 0) & (weights != 0)
        group, song, weights = group[kept], events.song[kept].astype(np.int64), weights[kept]
        order = np.lexsort((song, group))
        group, song, weights = group[order], song[order], weights[order]
        first = np.flatnonzero(np.concatenate([[True], (np.diff(group) != 0) | (np.diff(song) != 0)])[: len(group)])
        if not len(first):
            return
        sums = np.add.reduceat(weights, first)
        group, song = group[first], song[first]
        starts = np.flatnonzero(np.concatenate([[True], np.diff(group) != 0]))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(group)], strict=True):
            parts = [*self._parts.get(int(group[start]), ()), (song[start:end], sums[start:end])]
            # a part is joined with one that is about as large: there are few, and a large one is seldom copied
            while len(parts) > 1 and len(parts[-2][0]) <= 2 * len(parts[-1][0]):
                parts[-2:] = [_joined(parts[-2:])]
            self._parts[int(group[start])] = parts

    def groups(self) -> list[int]:
        """Every group that something was added to."""
        return list(self._parts)

    def of(self, group: int, now: int) -> tuple[Array, Array]:
        """Songs (n,) of the group, by position, and their sums (n,) as they are worth at `now`."""
        parts = self._parts.get(group)
        if not parts:
            return np.empty(0, dtype=np.int64), np.empty(0)
        songs, sums = parts[0] if len(parts) == 1 else _joined(parts)
        return songs, sums * self._decay.since(now)

    def some(self, group: int, now: int, songs: Array) -> Array:
        """(n,) the group's sums of some songs at `now`."""
        found = np.zeros(len(songs))
        for known, sums in self._parts.get(group, ()):
            place = np.minimum(np.searchsorted(known, songs), len(known) - 1)
            found += np.where(known[place] == songs, sums[place], 0.0)
        return found * self._decay.since(now)


def _joined(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    return sum_by_key(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def plays(events: Histories) -> Array:
    """(E,) how many playbacks each event is."""
    return np.asarray(events.playbacks * events.count)
