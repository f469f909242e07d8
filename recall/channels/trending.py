"""What is played more and more: live time-decayed counts, by the listener's place, genres and language too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from graph.arrays import Array
from graph.configure import check_positive
from graph.histories import strengths
from graph.release import Release
from graph.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.counters import Counters, Decay, GroupSums, SongSums
from recall.listener import Listener

DAY_MS: Final = 86_400_000
_RELATIONS: Final = ("HAS_GENRE", "LANGUAGE")


@dataclass(frozen=True)
class TrendingConfig:
    """`half_life_days` of a play; `place`, `genre` and `language` say how much home and taste bend the global count.

    `burst` is the weight of a sudden rise: of a song's rate over `burst_days` above its own over `past_days`, in
    standard deviations. `correction` turns counts into rates, with 0 not at all; with 1 a song counts by the lower
    bound of its plays for each play that its exposures let expect, `doubt` standard deviations below, as if `prior`
    plays more had been expected. The `songs` that lead are looked at for each question.
    """

    half_life_days: float = 7.0
    place: float = 1.0
    genre: float = 4.0
    language: float = 0.0
    burst: float = 0.1
    burst_days: float = 1.0
    past_days: float = 14.0
    correction: float = 0.25
    prior: float = 5.0
    doubt: float = 1.0
    songs: int = 5000

    def __post_init__(self) -> None:
        check_positive(self, "half_life_days", "burst_days", "past_days", "prior", "songs")
        if self.correction < 0:
            raise ValueError(f"correction must be at least 0 (got {self.correction})")


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
        self._lives = snapshot.relation("LIVES_IN")
        known = {r.name: r for r in snapshot.song_relations()}
        weights = dict(zip(_RELATIONS, (config.genre, config.language), strict=True))
        self._relations = [(known[name], weight) for name, weight in weights.items() if name in known and weight]
        self._leaders: tuple[object, Array, Array] | None = None

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        listener, live = query.listener, query.live
        songs, scores = self._leading(live.counters, live.size, query.at)
        home = self._lives.of(listener.user).tolist() if listener.user >= 0 else []
        if home and self._config.place:
            there, sums = at_home(live.counters, self._half_life(self._config.half_life_days)).of(home[0], query.at)
            songs, scores = _joined(songs, scores, there, self._config.place * _share(sums))
        kept = (scores > 0) & query.permits(songs)
        songs, scores = songs[kept], scores[kept] * self._bend(query, songs[kept])
        first = listener.snapshot.histories.first_seen
        order = np.argsort(live.songs.take(first, np.iinfo(np.int64).max, songs), kind="stable")
        return Candidates.best(songs[order], scores[order], k)

    def _half_life(self, days: float) -> float:
        return days * DAY_MS

    def _leading(self, counters: Counters, size: int, now: int) -> tuple[Array, Array]:
        """The songs that lead for everybody, by position, and their scores; computed anew after each fold."""
        found, timed = self._leaders, self._config.burst or self._config.correction
        # a rise fades with the hours, so a moment much later is another question
        key = (counters, counters.version, size, now // (DAY_MS // 24) if timed else 0)
        if found is None or found[0] != key:
            scores = self._everywhere(counters, size, now)
            songs, most = np.flatnonzero(scores > 0), self._config.songs
            if len(songs) > most:
                songs = np.sort(songs[np.argpartition(-scores[songs], most - 1)[:most]])
            found = self._leaders = (key, songs, scores[songs])
        return found[1], found[2]

    def _everywhere(self, counters: Counters, size: int, now: int) -> Array:
        """(songs,) the scores of all songs for somebody of whom nothing is known."""
        config = self._config
        plays = liked(counters, self._half_life(config.half_life_days)).at(now, size)
        scores = _share(self._corrected(counters, plays, now) if config.correction else plays)
        if config.burst:
            fast, slow = (
                liked(counters, self._half_life(d)).at(now, size) for d in (config.burst_days, config.past_days)
            )
            scores = scores + config.burst * _share(rise(fast, slow, config.burst_days / config.past_days))
        return scores

    def _corrected(self, counters: Counters, plays: Array, now: int) -> Array:
        config = self._config
        shown = exposed(counters, self._half_life(config.half_life_days)).at(now, len(plays))
        if not shown.any():
            return plays
        expected = shown * (plays.sum() / shown.sum()) + config.prior
        low = np.maximum(plays - config.doubt * np.sqrt(plays), 0) / expected
        return np.asarray(plays ** (1 - config.correction) * low**config.correction)

    def _bend(self, query: Query, songs: Array) -> Array:
        """(n,) how much the listener's genres and language lift each song."""
        bend, new = np.ones(len(songs)), query.live.songs
        late = songs >= new.first
        for relation, weight in self._relations if len(query.listener) else ():
            affinity = query.listener.affinity(relation, query.at)
            lift = np.zeros(len(songs))
            lift[~late] = relation.shares[songs[~late]] @ affinity
            if late.any():
                lift[late] = new.shares(relation)[songs[late] - new.first] @ affinity
            bend += weight * np.maximum(lift, 0)
        return bend


def liked(counters: Counters, half_life_ms: float) -> SongSums:
    """Decayed signs of liking of every song."""
    snapshot = counters.snapshot
    decay = Decay.of(snapshot, half_life_ms)
    return counters.events(("liked", half_life_ms), lambda: SongSums(snapshot.songs, decay, _liking))


def at_home(counters: Counters, half_life_ms: float) -> GroupSums:
    """The same by the place where the listeners live."""
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


def rise(fast: Array, slow: Array, share: float) -> Array:
    """(songs,) by how many standard deviations a song's sum over a short half-life stands above what its sum over a
    long one lets expect, `share` being the short one over the long one; 0 where it does not."""
    return np.asarray(np.maximum(2 * (np.sqrt(fast + 0.375) - np.sqrt(slow * share + 0.375)), 0))


def _liking(events: Any) -> Array:
    return np.maximum(strengths(events.action, events.count), 0)


def _homes(snapshot: Snapshot) -> Array:
    """(users + 1,) where each listener lives, -1 where that is unknown; the last one is of listeners not known."""
    lives = snapshot.relation("LIVES_IN")
    home = np.full(snapshot.users + 1, -1, dtype=np.int64)
    home[lives.edge_sources] = lives.indices
    return home


def _joined(songs: Array, scores: Array, more: Array, their: Array) -> tuple[Array, Array]:
    """Both lists of songs as one, scores added up."""
    together, place = np.unique(np.concatenate([songs, more]), return_inverse=True)
    return together, np.bincount(place, np.concatenate([scores, their]), len(together))


def _share(counts: Array) -> Array:
    return np.asarray(counts / max(float(counts.max(initial=0.0)), 1e-12))
