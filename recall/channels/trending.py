"""What is played more and more: live time-decayed counts, by the listener's place, genres and language too."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from scipy import sparse

from graph.arrays import Array
from graph.configure import check_positive
from graph.histories import STRENGTH_BY_CODE, Histories, strengths
from graph.relations import Relation
from graph.release import Release
from graph.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.catalogue import NewSongs
from recall.counters import Counters, Decay, GroupSums, SongSums
from recall.grouped import added, among, highest
from recall.listener import Listener
from recall.live import Overlay

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_RELATIONS: Final = ("HAS_GENRE", "LANGUAGE")
_PLACES: Final = 64  # lists that are kept at a time
_PARTS: Final = 256


@dataclass(frozen=True)
class TrendingConfig:
    """`half_life_days` of a play; `place`, `genre` and `language` say how much home and taste bend the global count.

    `burst` is the weight of a sudden rise: of a song's playbacks over `burst_days` above what its own over `past_days`
    let expect, in standard deviations beyond `sure` of them. Exposures that grew explain a rise: each further one lets
    `explained` times as many playbacks be expected as there are playbacks for each exposure. `correction` turns counts
    into rates, with 0 not at all; with 1 a song counts by the lower bound of its plays for each play that its exposures
    let expect, `doubt` standard deviations below, as if `prior` plays more had been expected. The `songs` that lead are
    looked at, everywhere and at home; which they are is asked once an hour, or
    when as many have been played since, and of what was played since at once.
    """

    half_life_days: float = 7.0
    place: float = 1.0
    genre: float = 4.0
    language: float = 0.0
    burst: float = 0.5
    burst_days: float = 1.0
    past_days: float = 21.0
    sure: float = 2.0
    explained: float = 0.25
    correction: float = 0.25
    prior: float = 5.0
    doubt: float = 1.0
    songs: int = 2000

    def __post_init__(self) -> None:
        check_positive(self, "half_life_days", "burst_days", "past_days", "prior", "songs")
        for name in ("correction", "sure", "explained"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 (got {getattr(self, name)})")


@dataclass(frozen=True)
class _Leaders:
    """Songs (n,), their scores (n,), and the shares (n, targets) of their genres and languages."""

    key: object
    songs: Array
    scores: Array
    shares: list[sparse.csr_array]


class Trending:
    """score = (share of the song's decayed plays + place x its share at home + burst x its rise)
             x (1 + genre x affinity to its genres + language x affinity to its language)

    with shares relative to the most played song.

    Counts are live: they run to the last event that was folded in, new songs among them. Events without a time do not
    count. The rise is the difference of Poisson counts on the scale where their deviation is 1 (Anscombe 1948).
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"

    def __init__(self, release: Release, config: TrendingConfig = TrendingConfig()) -> None:
        self._config, snapshot = config, release.snapshot
        self._lives, self._first_seen = snapshot.relation("LIVES_IN"), snapshot.histories.first_seen
        known = {r.name: r for r in snapshot.song_relations()}
        weights = dict(zip(_RELATIONS, (config.genre, config.language), strict=True))
        self._relations = [(known[name], weight) for name, weight in weights.items() if name in known and weight]
        self._lock, self._mine = threading.Lock(), object()
        # what leads by position everywhere, and at each place with sums as of a time: of the hour named by a key
        self._hour: tuple[object, int, Array] | None = None
        self._homes: dict[int, tuple[int, Array, Array]] = {}
        self._everywhere: tuple[object, Array, Array] | None = None
        self._lists: dict[int, _Leaders] = {}

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        leaders, bend = self._leaders(query), 1.0
        for (relation, weight), shares in zip(self._relations, leaders.shares, strict=True):
            if len(query.listener):
                bend = bend + weight * np.maximum(shares @ query.listener.affinity(relation, query.at), 0)
        songs, scores = leaders.songs, leaders.scores * bend
        near = highest(scores, k + len(query.exclude))
        songs, scores = songs[near], scores[near]
        order = np.argsort(query.live.songs.take(self._first_seen, np.iinfo(np.int64).max, songs), kind="stable")
        return Candidates.permitted(songs[order], scores[order], query, k)

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
        if self._everywhere is None or self._everywhere[0] != key:
            songs = self._looked_at(live, now)
            self._everywhere = (key, songs, self._scores(live.counters, songs, live.size, now))
        _, songs, scores = self._everywhere
        if place >= 0:
            there, sums = self._at_home(place, live.counters, now)
            both = np.concatenate([songs, there]), np.concatenate([scores, self._config.place * _share(sums)])
            songs, scores = added(*both)
        # what was folded in since this request began may be on a song that is newer still
        kept = (scores > 0) & (songs < live.size)
        songs, scores = songs[kept], scores[kept]
        return _Leaders(key, songs, scores, [_shares(r, live.songs, songs) for r, _ in self._relations])

    def _looked_at(self, live: Overlay, now: int) -> Array:
        """(n,) rising: what led when the hour began, and what was played since."""
        counters, most = live.counters, self._config.songs
        touched = counters.events(("touched", self._mine), _Touched)
        hour = now // HOUR_MS
        # who asks of a moment within the last day is answered from the same leaders: at most their order differs
        known = self._hour is not None and self._hour[0] is counters and 0 <= self._hour[1] - hour <= DAY_MS // HOUR_MS
        if self._hour is None or not known or len(touched.songs()) > most:
            touched.clear()
            self._homes.clear()
            scores = self._scores(counters, None, live.size, now)
            self._hour = (counters, hour, _most(np.flatnonzero(scores > 0), scores[scores > 0], most)[0])
        songs = np.union1d(self._hour[2], touched.songs())
        return songs[songs < live.size]

    def _at_home(self, place: int, counters: Counters, now: int) -> tuple[Array, Array]:
        """Songs (n,) that lead at a place or were played since the hour began, and their decayed plays there (n,)."""
        sums = at_home(counters, half_life := self._config.half_life_days * DAY_MS)
        if place not in self._homes:
            self._homes[place] = (now, *_most(*sums.of(place, now), self._config.songs))
        then, songs, values = self._homes[place]
        touched = counters.events(("touched", self._mine), _Touched).songs()
        still = ~among(songs, touched)
        values = values[still] * np.exp2((then - now) / half_life)
        return np.concatenate([songs[still], touched]), np.concatenate([values, sums.some(place, now, touched)])

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
    """Songs that something was done to since the release, or since it was emptied; a tally for `recall.counters`."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._lock = threading.Lock()

    def add(self, events: Any) -> None:
        if isinstance(events, Histories):
            return  # those of the release lead or do not
        with self._lock:
            self._parts.append(np.asarray(events.song, dtype=np.int64))
            if len(self._parts) > _PARTS:
                self._join()

    def songs(self) -> Array:
        """(n,) rising."""
        with self._lock:
            self._join()
            return self._parts[0]

    def clear(self) -> None:
        with self._lock:
            self._parts = []

    def _join(self) -> None:
        self._parts = [np.unique(np.concatenate([np.empty(0, dtype=np.int64), *self._parts]))]


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
    """Those of `songs` (n,), rising, with the `most` highest scores, rising still, and these."""
    if len(songs) > most:
        kept = np.sort(np.argpartition(-scores, most - 1)[:most])
        songs, scores = songs[kept], scores[kept]
    return songs, scores


def _shares(relation: Relation, new: NewSongs, songs: Array) -> sparse.csr_array:
    """(n, targets) each song's shares of the relation's targets, new songs included."""
    late = songs >= new.first
    if not late.any():
        return sparse.csr_array(relation.shares[songs])
    place = np.empty(len(songs), dtype=np.int64)
    place[~late], place[late] = np.arange((~late).sum()), np.arange((~late).sum(), len(songs))
    parts = [relation.shares[songs[~late]], new.shares(relation)[songs[late] - new.first]]
    return sparse.csr_array(sparse.vstack(parts, format="csr")[place])


def _share(counts: Array) -> Array:
    shares: Array = counts / max(float(counts.max(initial=0.0)), 1e-12)
    return shares
