"""A listener as channels and rankers see one: the merged history and the profile that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np

from graph.log.events import Event
from graph.schema import BLOCK_ACTIONS, BLOCKED_LABELS
from graph.snapshot.arrays import Array
from graph.snapshot.histories import CODE, STRENGTH_BY_CODE, UNKNOWN_TIME, strengths
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot
from recall.decay import HALF_LIFE_MS, decay
from recall.grouped import sorted_unique
from recall.kernels.edges import spread_over_targets

T = TypeVar("T")
UNHEARD: Final = np.empty(0, dtype=np.int32)
BLOCKING: Final = (CODE["block"], CODE["unblock"])
"""Actions that say whether a song may come back, and not that it was heard."""

_FOLLOWING: Final = ("follow", "unfollow")
_JUDGING: Final = tuple(CODE[action] for action in ("dislike", "undislike", "like"))
_IS_BLOCKING: Final = np.isin(np.arange(len(CODE)), BLOCKING)


@dataclass(frozen=True)
class Forgotten:
    """What of a listener counts no more: all events up to the offset `before`, None where that is none, and those of
    times (`from`, `to`, offset): with from <= at < to in epoch milliseconds (None: no bound), up to the offset."""

    before: int | None = None
    times: tuple[tuple[int | None, int | None, int], ...] = ()

    def counts(self, at: Array, offset: Array) -> Array:
        """(E,) whether each of E events counts, by its time (-1: unknown) and its offset in the log."""
        kept = np.ones(len(at), dtype=bool) if self.before is None else offset > self.before
        for first, last, upto in self.times:
            within = (at >= 0) | (first is None and last is None)
            within &= (first is None) | (at >= (first or 0))
            within &= (last is None) | (at < (last or 0))
            kept &= ~within | (offset > upto)
        return np.asarray(kept)

    def left_of(self, events: Sequence[Event]) -> Sequence[Event]:
        """Those of some events that count."""
        at = np.array([UNKNOWN_TIME if event.at is None else event.at for event in events], dtype=np.int64)
        kept = self.counts(at, np.array([event.offset for event in events], dtype=np.int64))
        return [event for event, keeps in zip(events, kept.tolist(), strict=True) if keeps]


@dataclass(frozen=True)
class Listener:
    """One listener's events on songs in order, oldest first, and what follows from them.

    Shapes: E events; song, action, at and count (E,) as in `Histories`. `user` is the position among the release's
    users, -1 for someone it does not know. Events on songs that came after the release stand apart in `new_events`:
    (song, action, at) by positions beyond the release's songs, in the order of the log. Of what happened since the
    release that no song holds, `since` has what still says something, in the order of the log: follows, blocks of
    artists, tags and genres, the newest search, and where the listener was last (`telling`). `newest` is the latest
    time since then, -1 where unknown.
    """

    snapshot: Snapshot
    user: int
    song: Array
    action: Array
    at: Array
    count: Array
    user_id: str | None = None
    new_events: Sequence[tuple[int, int, int]] = ()
    since: Sequence[Event] = ()
    newest: int = UNKNOWN_TIME
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        user_id: str | None,
        latest: Sequence[Event] = (),
        new_songs: Mapping[str, int] = MappingProxyType({}),
        forgotten: Forgotten | None = None,
    ) -> Listener:
        """The listener `user_id` with the release's history and the `latest` events since.

        `new_songs`: positions of songs that came after the release, by id; `forgotten`: what counts no more. An unknown
        id of a listener is an answer (an empty history), not an error; events on songs that nobody knows are left out.
        """
        erased = forgotten is not None and forgotten.before is not None
        user = snapshot.ids["User"].index(user_id) if user_id is not None and not erased else -1
        histories = snapshot.histories
        mine = histories.of(user) if user >= 0 else slice(0, 0)
        song, action, at, count = (getattr(histories, name)[mine] for name in ("song", "action", "at", "count"))
        if forgotten is not None:
            latest = forgotten.left_of(latest)
            kept = forgotten.counts(at, histories.offset[mine])
            song, action, at, count = song[kept], action[kept], at[kept], count[kept]
        return cls(snapshot, user, song, action, at, count, user_id).after(latest, new_songs)

    def after(self, events: Sequence[Event], new_songs: Mapping[str, int] = MappingProxyType({})) -> Listener:
        """This listener after the next events of the log; the same as if all had been given at once. Private ones are
        left out, but for blocks: they say what may come."""
        events = [event for event in events if not event.private or event.action in BLOCK_ACTIONS]
        if not events:
            return self
        find = self.snapshot.ids["Song"].index
        columns = [self.song, self.action, self.at, self.count]
        rows, late, newest = [], [], self.newest
        for event in events:
            when = UNKNOWN_TIME if event.at is None else event.at
            newest = max(newest, when)
            if event.song_id is None:
                continue
            if (place := find(event.song_id)) >= 0:
                rows.append((place, CODE[event.action], when, event.count))
            elif event.song_id in new_songs:
                late.append((new_songs[event.song_id], CODE[event.action], when))
        if rows:
            added = np.array(rows, dtype=np.int64).T
            # an event without a time happened after whatever the log held before it
            happened = [np.maximum.accumulate(columns[2]) if len(columns[2]) else columns[2]]
            before = int(happened[0][-1]) if len(happened[0]) else UNKNOWN_TIME
            known = np.maximum.accumulate(np.maximum(added[2], before))
            happened.append(np.where(added[2] == UNKNOWN_TIME, known, added[2]))
            order = np.argsort(np.concatenate(happened), kind="stable")
            columns = [np.concatenate([old, new])[order] for old, new in zip(columns, added, strict=True)]
        song, action, at, count = columns
        since, new_events = telling([*self.since, *events]), [*self.new_events, *late]
        return Listener(self.snapshot, self.user, song, action, at, count, self.user_id, new_events, since, newest)

    @classmethod
    def of_session(cls, snapshot: Snapshot, songs: Array, now: int) -> Listener:
        """Somebody who just played `songs` in full, and of whom nothing else is known."""
        n = len(songs)
        action = np.full(n, CODE["full_play"])
        return cls(snapshot, -1, songs, action, np.full(n, now, dtype=np.int64), np.ones(n, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.song)

    @cached_property
    def heard(self) -> Array:
        """Songs with at least one event, without repetition."""
        return sorted_unique(self.song)

    @cached_property
    def liked(self) -> Array:
        """Those of `heard` that all events together say are liked, whenever they were: what models learn from."""
        return self.heard[self._sums(np.ones(len(self))) > 0]

    @cached_property
    def last_heard(self) -> Array:
        """Time of the latest event on each of `heard` (-1 where unknown); blocks and unblocks are no hearing."""
        last = np.full(len(self.heard), UNKNOWN_TIME, dtype=np.int64)
        met = ~_IS_BLOCKING[self.action]
        np.maximum.at(last, np.searchsorted(self.heard, self.song[met]), self.at[met])
        return last

    @cached_property
    def unmet(self) -> Array:
        """(H,) True for those of `heard` that were only ever blocked or unblocked."""
        met = np.zeros(len(self.heard), dtype=bool)
        met[np.searchsorted(self.heard, self.song[~_IS_BLOCKING[self.action]])] = True
        return ~met

    @cached_property
    def blocked(self) -> Array:
        """Songs that are blocked and were not unblocked since, new ones included."""
        relevant = _IS_BLOCKING[self.action]
        latest = {int(s): int(a) for s, a in zip(self.song[relevant], self.action[relevant], strict=True)}
        latest |= {song: action for song, action, _ in self.new_events if action in BLOCKING}
        return np.array([s for s, a in latest.items() if a == CODE["block"]], dtype=np.int32)

    @cached_property
    def disliked(self) -> Array:
        """Songs that are disliked and were neither taken back nor liked since, new ones included."""
        relevant = np.isin(self.action, _JUDGING)
        latest = {int(s): int(a) for s, a in zip(self.song[relevant], self.action[relevant], strict=True)}
        latest |= {song: action for song, action, _ in self.new_events if action in _JUDGING}
        return np.array([s for s, a in latest.items() if a == CODE["dislike"]], dtype=np.int32)

    @cached_property
    def blocked_entities(self) -> Mapping[str, frozenset[str]]:
        """Ids of the artists, tags and genres that are blocked and were not unblocked since, by label."""
        found = {}
        for label in BLOCKED_LABELS:
            ids = self.snapshot.ids[label]
            of_release = self.snapshot.relation("BLOCKED", "User", label).of(self.user) if self.user >= 0 else UNHEARD
            names = {ids[place] for place in of_release.tolist()}
            for event in self.since:
                if event.action in BLOCK_ACTIONS and event.target_label == label and event.target_id is not None:
                    (names.add if event.action == "block" else names.discard)(event.target_id)
            if names:
                found[label] = frozenset(names)
        return found

    def moment(self, now: int) -> int:
        """When to look at the listener's events to see at `now` how they weigh against each other: from the newest one
        on all fade alike, so that it is told as of then; at `now` where one is yet to come, or some have no time and do
        not fade."""
        settled = self._settled
        return now if settled is None or settled > now else settled

    @cached_property
    def latest(self) -> int:
        """Time of the newest event on a song of the release, -1 where none has a time."""
        return int(self.at.max(initial=UNKNOWN_TIME))

    @cached_property
    def _settled(self) -> int | None:
        """The same; None where some events have a time and some have none."""
        return None if self.latest > UNKNOWN_TIME and UNKNOWN_TIME in self.at else self.latest

    def preferences(self, now: int) -> tuple[Array, Array]:
        """Songs with what the listener's events say about each, decayed: songs (S,), weights (S,), which are right
        against each other: they are told as of `moment(now)`.

        Negative weights are kept: they say what to avoid.
        """

        def preferred() -> tuple[Array, Array]:
            return self.heard, self._sums(decay(self.at, self.moment(now), HALF_LIFE_MS))

        return self.at_moment(now, "preferences", preferred)

    def top_songs(self, now: int, most: int) -> tuple[Array, Array]:
        """The `most` songs with the highest positive weights, the highest first: songs (S,), weights (S,)."""

        def liked() -> tuple[Array, Array]:
            songs, weights = self.preferences(now)
            songs, weights = songs[weights > 0], weights[weights > 0]
            order = np.argsort(-weights, kind="stable")
            return songs[order], weights[order]

        songs, weights = self.at_moment(now, "liked", liked)
        return songs[:most], weights[:most]

    def recent(self, most: int) -> Array:
        """The latest songs that were liked (anything but skips and blocks), the latest first, without repetition."""
        liked = self.song[STRENGTH_BY_CODE[self.action] > 0][::-1]
        _, first = np.unique(liked, return_index=True)
        return liked[np.sort(first)[:most]]

    def affinity(self, relation: Relation, now: int) -> tuple[Array, Array]:
        """What the listener likes or dislikes of a song relation: targets (n,), ascending, and how much (n,), as a
        share between -1 and 1.

        Each song's weight is spread over its targets by the relation's weights.
        """

        def spread() -> tuple[Array, Array]:
            songs, weights = self.preferences(now)
            songs, edges = songs.astype(np.int64), relation.shares
            targets, sums, norm = spread_over_targets(edges.indptr, edges.indices, edges.data, songs, weights)
            return targets, sums / max(norm, 1e-12)

        return self.at_moment(now, relation.key, spread)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives from this listener's events alone, computed at the first call."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]  # type: ignore[no-any-return]

    def at_moment(self, now: int, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives from how this listener's events weigh against each other at `now`; see `moment`."""
        wanted = self.moment(now)
        moment, found = self._kept.get("at", (None, None))
        if moment != wanted:
            found = {}
            self._kept["at"] = wanted, found
        if key not in found:
            found[key] = compute()
        return found[key]  # type: ignore[no-any-return]

    def _sums(self, worth: Array) -> Array:
        """(H,) for each of `heard` the sum of what its events say, each event times its worth (E,)."""
        place, strength = self.once("places", self._places)
        return np.bincount(place, strength * worth, len(self.heard))

    def _places(self) -> tuple[Array, Array]:
        """(E,) where each event's song stands in `heard`, and what the event says."""
        return np.searchsorted(self.heard, self.song), strengths(self.action, self.count)


def telling(events: Sequence[Event]) -> tuple[Event, ...]:
    """Those of some events of one listener that still say something beside what they say of a song: all follows, the
    newest block or unblock of each artist, tag and genre, the newest search, and the events with a place after which
    none as new has one. In their order."""
    kept, searched, placed, blocked = [], False, float("-inf"), set()
    newest = max((event.at or UNKNOWN_TIME for event in events if event.action == "search"), default=UNKNOWN_TIME)
    for event in reversed(events):
        at = event.at or UNKNOWN_TIME
        wanted = event.action in _FOLLOWING
        if event.action in BLOCK_ACTIONS and event.target_id is not None:
            # of each target the newest says all
            wanted = (target := (event.target_label, event.target_id)) not in blocked
            blocked.add(target)
        if event.action == "search" and at == newest and not searched:
            wanted = searched = True
        if event.latitude is not None and event.longitude is not None and at > placed:
            wanted, placed = True, at
        if wanted:
            kept.append(event)
    return tuple(reversed(kept))
