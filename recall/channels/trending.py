"""What is played more and more: live time-decayed counts, by the listener's place, genres and language too."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np

from graph.configure import check_positive
from graph.durations import DAY_MS, HOUR_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import STRENGTH_BY_CODE, Histories, strengths
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.decay import Decay
from recall.grouped import csr_entries, index_in_sorted, sorted_unique
from recall.kernels.edges import add_lifts
from recall.listeners.listener import Listener
from recall.live.counters import Counters, GroupSums, SongSums
from recall.live.edits import NewSongs
from recall.live.live import Overlay

_RELATIONS: Final = ("HAS_GENRE", "LANGUAGE")
_PLACES: Final = 64  # lists that are kept at a time
_PARTS: Final = 256
_NONE: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class TrendingConfig:
    """How plays are counted, and when a rise is one.

    Raises: ValueError for a number out of range.
    """

    half_life_days: float = 7.0
    """Days after which a play counts half, above 0."""
    place: float = 1.0
    """How much the listener's home bends the count of everywhere; 0 for not at all."""
    genre: float = 4.0
    """How much the listener's genres bend the count; 0 for not at all."""
    language: float = 0.0
    """How much the listener's languages bend the count; 0 for not at all."""
    burst: float = 0.5
    """Weight of a sudden rise of a song's playbacks above what its own past lets expect."""
    burst_days: float = 1.0
    """Days over which a rise is counted, above 0."""
    past_days: float = 21.0
    """Days of the past that say what to expect, above 0."""
    sure: float = 2.0
    """Standard deviations that a rise must exceed to count, 0 or more."""
    explained: float = 0.25
    """Playbacks that each further exposure lets be expected, in units of the playbacks of an exposure, 0 or more."""
    correction: float = 0.25
    """How far counts are turned into rates, 0 or more. With 0 not at all; with 1 a song counts by the lower bound of
    its plays for each play that its exposures let expect."""
    prior: float = 5.0
    """Plays expected of every song beside those that its exposures let expect, above 0."""
    doubt: float = 1.0
    """Standard deviations by which that lower bound is below the rate."""
    songs: int = 2000
    """Leading songs that are looked at, everywhere and at home, 1 or more; songs played since are looked at too."""

    def __post_init__(self) -> None:
        check_positive(self, "half_life_days", "burst_days", "past_days", "prior", "songs")
        for name in ("correction", "sure", "explained"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 (got {getattr(self, name)})")


@dataclass(frozen=True)
class _Described:
    """Songs (n,), ascending, and their targets by relation: index (m,) of the song, target (m,) and its share (m,)."""

    songs: Array
    shares: list[tuple[Array, Array, Array]]

    @classmethod
    def of(cls, songs: Array, relations: list[tuple[Relation, float]], new: NewSongs) -> Self:
        return cls(songs, [_shares(relation, new, songs) for relation, _ in relations])


@dataclass(frozen=True)
class _Home:
    """What led at a place at a time `at`: songs and their decayed plays there (n,); `new` songs as they were then."""

    at: int
    new: NewSongs
    known: _Described
    plays: Array


@dataclass(frozen=True)
class _Everywhere:
    """What leads everywhere, with scores (n,); `touched` (m,) are those of the songs that were played since the hour
    began."""

    key: object
    known: _Described
    scores: Array
    touched: Array


@dataclass(frozen=True)
class _Leaders:
    """What leads for somebody who lives at a place, with scores, in parts: a song that is in two has 0 in one."""

    key: object
    parts: list[tuple[_Described, Array]]


class Trending:
    """score = (share of the song's decayed plays + place x its share at home + burst x its rise)
             x (1 + genre x affinity to its genres + language x affinity to its language)

    with shares relative to the most played song.

    Counts are live: they run to the last event that was folded in, new songs among them. Events without a time do not
    count. The rise is the difference of Poisson counts on the scale where their deviation is 1 (Anscombe 1948).
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True

    def __init__(self, release: Release, config: TrendingConfig = TrendingConfig()) -> None:
        self._config, snapshot = config, release.snapshot
        self._lives = snapshot.relation("LIVES_IN")
        known = {r.name: r for r in snapshot.song_relations()}
        weights = dict(zip(_RELATIONS, (config.genre, config.language), strict=True))
        self._relations = [(known[name], weight) for name, weight in weights.items() if name in known and weight]
        self._lock, self._mine = threading.Lock(), object()
        # the songs that led when the hour began, everywhere (of which counters and hour) and at each place
        self._hour: tuple[object, int, Array] | None = None
        self._homes: dict[int, _Home] = {}
        self._everywhere: _Everywhere | None = None
        self._lists: dict[int, _Leaders] = {}

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def count(self, counters: Counters) -> None:
        """Every count that a score is made of."""
        config = self._config
        self._touched(counters)
        self._plays(counters)
        liked(counters, config.half_life_days * DAY_MS)
        exposed(counters, config.half_life_days * DAY_MS)
        for days in (config.burst_days, config.past_days) if config.burst else ():
            played(counters, days * DAY_MS)
            exposed(counters, days * DAY_MS)

    def recall(self, query: Query, k: int) -> Candidates:
        listener, parts = query.listener, self._leaders(query).parts
        tastes = [(weight, _dense(listener, r, query.at)) for r, weight in self._relations if len(listener)]
        songs = np.concatenate([known.songs for known, _ in parts])
        scores = np.concatenate([scores * _bend(known, tastes) for known, scores in parts])
        return Candidates.of_songs(songs, scores, query, k)

    def _leaders(self, query: Query) -> _Leaders:
        """What leads for somebody who lives where the listener does; computed anew after each fold."""
        live, user = query.live, query.listener.user
        home = self._lives.of(user).tolist() if user >= 0 and self._config.place else []
        place = home[0] if home else -1
        # a rise fades with the hours, so a moment much later is another question
        key = (live.counters, live.counters.version, live.songs, query.at // HOUR_MS)
        with self._lock:
            found = self._lists.get(place)
            if found is None or found.key != key:
                if len(self._lists) >= _PLACES:
                    self._lists.clear()
                found = self._lists[place] = self._listed(place, live, query.at, key)
        return found

    def _listed(self, place: int, live: Overlay, now: int, key: object) -> _Leaders:
        every = self._everywhere
        if every is None or every.key != key:
            songs, touched = self._looked_at(live, now)
            known = _Described.of(songs, self._relations, live.songs)
            every = _Everywhere(key, known, self._scores(live.counters, songs, live.size, now), touched)
            self._everywhere = every
        parts = [(every.known, every.scores)] if place < 0 else self._with_home(every, place, live, now)
        return _Leaders(key, parts)

    def _looked_at(self, live: Overlay, now: int) -> tuple[Array, Array]:
        """Songs (n,), ascending: what led when the hour began, and what was played since; and the latter alone."""
        counters, most = live.counters, self._config.songs
        touched = self._touched(counters)
        hour = now // HOUR_MS
        # who asks of a moment within the last day is answered from the same leaders: at most their order differs
        known = self._hour is not None and self._hour[0] is counters and 0 <= self._hour[1] - hour <= DAY_MS // HOUR_MS
        if self._hour is None or not known:
            touched.taken()
            scores = self._scores(counters, None, live.size, now)
            self._lead(counters, hour, np.flatnonzero(scores > 0), scores[scores > 0])
        elif len(touched.songs()) > most:
            # of what was not played since nothing can have come up, so the new leaders are among these
            songs = np.union1d(self._hour[2], touched.taken())
            self._lead(counters, self._hour[1], songs, self._scores(counters, songs, live.size, now))
        assert self._hour is not None
        late = touched.songs()
        late = late[late < live.size]  # what came since this request began may be on a song that is newer still
        songs = sorted_unique(np.concatenate([self._hour[2], late]))
        return songs[songs < live.size], late

    def _lead(self, counters: Counters, hour: int, songs: Array, scores: Array) -> None:
        self._hour = (counters, hour, _most(songs, scores, self._config.songs)[0])
        self._homes.clear()

    def _with_home(self, every: _Everywhere, place: int, live: Overlay, now: int) -> list[tuple[_Described, Array]]:
        """What leads everywhere with its plays at home, and what leads at home alone."""
        home, songs = self._home(place, live, now), every.known.songs
        plays = home.plays * np.exp2((home.at - now) / (self._config.half_life_days * DAY_MS))
        plays[home.known.songs >= live.size] = 0
        at = index_in_sorted(songs, home.known.songs)
        both = np.zeros(len(songs) + 1)
        both[at] = plays
        alone = np.where(at < len(songs), 0.0, plays)
        both[np.searchsorted(songs, every.touched)] = self._plays(live.counters).some(place, now, every.touched)
        both = both[:-1]
        most, weight = max(float(both.max(initial=0)), float(alone.max(initial=0)), 1e-12), self._config.place
        return [(every.known, every.scores + weight * (both / most)), (home.known, weight * (alone / most))]

    def _home(self, place: int, live: Overlay, now: int) -> _Home:
        """What led at a place when it was first asked for in this hour."""
        home = self._homes.get(place)
        if home is None:
            songs, plays = _most(*self._plays(live.counters).of(place, now), self._config.songs)
            kept = songs < live.size
            known = _Described.of(songs[kept], self._relations, live.songs)
            home = self._homes[place] = _Home(now, live.songs, known, plays[kept])
        elif home.new is not live.songs:
            known = _Described.of(home.known.songs, self._relations, live.songs)
            home = self._homes[place] = dataclasses.replace(home, new=live.songs, known=known)
        return home

    def _touched(self, counters: Counters) -> _Touched:
        return counters.events(("touched", self._mine), _Touched)

    def _plays(self, counters: Counters) -> GroupSums:
        return at_home(counters, self._config.half_life_days * DAY_MS)

    def _scores(self, counters: Counters, songs: Array | None, size: int, now: int) -> Array:
        """(n,) the scores of some songs, or (size,) of all, for somebody of whom nothing is known."""
        config = self._config

        def both(tally: SongSums) -> tuple[Array, float]:
            return (tally.at(now, size) if songs is None else tally.of(now, songs)), max(tally.total(now), 1e-12)

        plays, all_plays = both(liked(counters, config.half_life_days * DAY_MS))
        if config.correction:
            shown, all_shown = both(exposed(counters, config.half_life_days * DAY_MS))
            plays = self._corrected(plays, shown * (all_plays / all_shown)) if all_shown > 1e-12 else plays
        scores = _share(plays)
        if config.burst:
            days = (config.burst_days * DAY_MS, config.past_days * DAY_MS)
            (fast, all_fast), (slow, all_slow) = (both(played(counters, d)) for d in days)
            (lately, all_lately), (usually, all_usually) = (both(exposed(counters, d)) for d in days)
            # as shares of all, so that neither the hour of the day nor a log that has only begun looks like a rise
            more = np.maximum(lately - usually * (all_lately / all_usually), 0)
            expected = slow * (all_fast / all_slow) + config.explained * more * (all_fast / all_lately)
            scores = scores + config.burst * np.maximum(rise(fast, expected) - config.sure, 0)
        return scores

    def _corrected(self, plays: Array, expected: Array) -> Array:
        config = self._config
        low = np.maximum(plays - config.doubt * np.sqrt(plays), 0) / (expected + config.prior)
        return np.asarray(plays ** (1 - config.correction) * low**config.correction)


class _Touched:
    """Songs that something was done to since the release, or since it was emptied; a tally for `live.counters`."""

    def __init__(self) -> None:
        self._songs, self._late = _NONE, list[Array]()
        self._lock = threading.Lock()

    def add(self, events: Any) -> None:
        if isinstance(events, Histories):
            return  # those of the release lead or do not
        with self._lock:
            self._late.append(np.asarray(events.song, dtype=np.int64))
            if len(self._late) > _PARTS:
                self._join()

    def songs(self) -> Array:
        """(n,) ascending."""
        with self._lock:
            self._join()
            return self._songs

    def taken(self) -> Array:
        """The same, and from now on none of them."""
        with self._lock:
            self._join()
            songs, self._songs = self._songs, _NONE
            return songs

    def _join(self) -> None:
        if self._late:
            self._songs, self._late = sorted_unique(np.concatenate([self._songs, *self._late])), []


def liked(counters: Counters, half_life_ms: float) -> SongSums:
    """Decayed signs of liking of every song."""
    snapshot = counters.snapshot
    decay = Decay.of(snapshot, half_life_ms)
    return counters.events(("liked", half_life_ms), lambda: SongSums(snapshot.songs, decay, _liking))


def played(counters: Counters, half_life_ms: float) -> SongSums:
    """Decayed playbacks of every song but for skips: counts, whose chance deviations are known."""
    snapshot = counters.snapshot
    decay = Decay.of(snapshot, half_life_ms)
    return counters.events(("played", half_life_ms), lambda: SongSums(snapshot.songs, decay, _playing))


def at_home(counters: Counters, half_life_ms: float) -> GroupSums:
    """The signs of liking by the place where the listeners live."""
    snapshot = counters.snapshot

    def make() -> GroupSums:
        home = _homes(snapshot)
        return GroupSums(Decay.of(snapshot, half_life_ms), _liking, lambda events: home[events.user])

    return counters.events(("liked at home", half_life_ms), make)


def exposed(counters: Counters, half_life_ms: float) -> SongSums:
    """Decayed exposures of every song."""
    snapshot = counters.snapshot
    decay = Decay.of(snapshot, half_life_ms)
    make = lambda: SongSums(snapshot.songs, decay, lambda shown: np.ones(len(shown.song)))  # noqa: E731
    return counters.exposures(("exposed", half_life_ms), make)


def rise(fast: Array, expected: Array) -> Array:
    """(songs,) by how many standard deviations a song's decayed count stands above what is expected of it.

    A decayed count of a steady stream has half the variance of a plain one of that size, so both are doubled first.
    """
    return np.asarray(2 * (np.sqrt(2 * fast + 0.375) - np.sqrt(2 * expected + 0.375)))


def _liking(events: Any) -> Array:
    return np.maximum(strengths(events.action, events.count), 0)


def _playing(events: Any) -> Array:
    return np.where(events.playbacks & (STRENGTH_BY_CODE[events.action] > 0), events.count, 0)


def _homes(snapshot: Snapshot) -> Array:
    """(users + 1,) where each listener lives, -1 where that is unknown; the last one is of listeners not known."""
    lives = snapshot.relation("LIVES_IN")
    home = np.full(snapshot.users + 1, -1, dtype=np.int64)
    home[lives.edge_sources] = lives.indices
    return home


def _most(songs: Array, scores: Array, most: int) -> tuple[Array, Array]:
    """Those of `songs` (n,), ascending, with the `most` highest scores, still ascending, and the scores."""
    if len(songs) > most:
        kept = np.sort(np.argpartition(-scores, most - 1)[:most])
        songs, scores = songs[kept], scores[kept]
    return songs, scores


def _shares(relation: Relation, new: NewSongs, songs: Array) -> tuple[Array, Array, Array]:
    """Which (m,) of some songs, ascending, have targets (m,) of the relation, and their shares (m,) of each; new songs
    included."""
    first = int(np.searchsorted(songs, new.first))
    shares = relation.shares
    which, at = csr_entries(shares.indptr, songs[:first])
    known = which, shares.indices[at], shares.data[at]
    if first == len(songs):
        return known
    shares = new.shares(relation)
    which, at = csr_entries(shares.indptr, songs[first:] - new.first)
    late = which + first, shares.indices[at], shares.data[at]
    target, share = (np.concatenate([known[i], late[i]]) for i in (1, 2))
    return np.concatenate([known[0], late[0]]), target, share


def _dense(listener: Listener, relation: Relation, now: int) -> Array:
    """(targets,) the listener's affinity to each target of a relation that has few."""

    def compute() -> Array:
        targets, liked = listener.affinity(relation, now)
        found = np.zeros(relation.targets)
        found[targets] = liked
        return found

    return listener.at_moment(now, (relation.key, "dense"), compute)


def _bend(known: _Described, tastes: list[tuple[float, Array]]) -> Array:
    """(n,) by how much somebody's tastes lift songs: the weight of each relation, and an affinity to its targets."""
    bend = np.ones(len(known.songs))
    for (which, target, share), (weight, affinity) in zip(known.shares, tastes, strict=False):
        add_lifts(bend, which, target, share, affinity, weight)
    return bend


def _share(counts: Array) -> Array:
    shares: Array = counts / max(float(counts.max(initial=0.0)), 1e-12)
    return shares
