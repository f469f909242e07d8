"""Something to play for a listener nobody knows yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from graph.configure import check_positive
from graph.durations import DAY_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME, strengths
from recall.base import UNTIL_CHANGED, Candidates, Query, Ranked
from recall.decay import decay
from recall.grouped import csr_entries, rank_within_group
from recall.listeners.listener import Listener
from recall.listeners.preferences import artist_of, decayed, listeners

_SONGS: Final = 1000
"""Songs that are kept of a place."""
_PLACES: Final = 1000
"""Places that are kept at a time."""


@dataclass(frozen=True)
class FallbackConfig:
    """What is heard most, everywhere and at home.

    Raises: ValueError for a number out of range.
    """

    half_life_days: float = 14.0
    """Days after which a play counts half, above 0."""
    per_artist: int = 4
    """Songs of one artist in the answer at most, 1 or more."""
    prior: float = 5.0
    """People who hear what everybody does, added to those of the listener's home, above 0."""

    def __post_init__(self) -> None:
        check_positive(self, "half_life_days", "per_artist", "prior")


class Fallback:
    """Well-liked songs of many artists where the listener lives, the recently played ones first; nothing for who has a
    history.

    score = decayed plays + listeners, each of those at home and of the `prior`, the highest being 1; a song with n x
    `per_artist` better ones by its artist counts 1 / (1 + n) times. For who lives nowhere, of all listeners.
    """

    audience: ClassVar[str] = "listeners without a history"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    def __init__(self, release: Release, config: FallbackConfig = FallbackConfig()) -> None:
        self._config, snapshot = config, release.snapshot
        self._snapshot, self._artist, self._first_seen = snapshot, artist_of(snapshot), snapshot.histories.first_seen
        self._lives, self._listened = snapshot.relation("LIVES_IN"), snapshot.relation("LISTENED")
        self._now, self._ever = decayed(snapshot, config.half_life_days * DAY_MS), listeners(snapshot)
        scores = self._scores(np.arange(snapshot.songs), self._now, self._ever)
        self._everywhere = Ranked(snapshot, scores, floor=-1.0)
        self._known = np.argsort(-scores, kind="stable")[:_SONGS]
        self._places: dict[int, tuple[Array, Array]] = {}

    def serves(self, listener: Listener) -> bool:
        return not len(listener)

    def recall(self, query: Query, k: int) -> Candidates:
        user = query.listener.user
        if len(query.listener):
            return Candidates.none()
        home = self._lives.of(user).tolist() if user >= 0 else []
        if not home:
            return self._everywhere.best(query, k)
        songs, scores = self._at(home[0])
        kept = np.flatnonzero(query.permits(songs))[:k]
        return Candidates(songs[kept], scores[kept])

    def _at(self, place: int) -> tuple[Array, Array]:
        """Songs (n,) for who lives at a place and their scores (n,), the best first."""
        found = self._places.get(place)
        if found is None:
            if len(self._places) >= _PLACES:
                self._places.clear()
            found = self._places[place] = self._listed(place)
        return found

    def _listed(self, place: int) -> tuple[Array, Array]:
        lives, histories = self._lives, self._snapshot.histories
        people = lives.reverse_indices[lives.reverse_indptr[place] : lives.reverse_indptr[place + 1]]
        heard = self._listened.indices[csr_entries(self._listened.indptr, people)[1]]
        _, at = csr_entries(histories.indptr, people)
        songs = np.unique(np.concatenate([heard, histories.song[at], self._known]))
        when, liking = histories.at[at], np.maximum(strengths(histories.action[at], histories.count[at]), 0)
        liking = liking * decay(when, self._snapshot.as_of, self._config.half_life_days * DAY_MS)
        liking[when == UNKNOWN_TIME] = 0
        usual = self._config.prior / max(self._snapshot.users, 1)
        now = np.bincount(np.searchsorted(songs, histories.song[at]), liking, len(songs)) + usual * self._now[songs]
        ever = np.bincount(np.searchsorted(songs, heard), minlength=len(songs)) + usual * self._ever[songs]
        scores = self._scores(songs, now, ever)
        best = np.lexsort((self._first_seen[songs], -scores))[:_SONGS]
        return songs[best].astype(np.int32), scores[best]

    def _scores(self, songs: Array, now: Array, ever: Array) -> Array:
        """(n,) the score of each song, from its decayed plays (n,) and listeners (n,)."""
        scores = now / max(float(now.max(initial=0.0)), 1e-12) + ever / max(float(ever.max(initial=0)), 1e-12)
        artist = self._artist[songs]
        order = np.argsort(-scores, kind="stable")
        # an artist's songs beyond each multiple of the limit are divided by one more
        divisor = np.empty(len(songs))
        divisor[order] = 1 + rank_within_group(artist[order]) // self._config.per_artist
        divisor[artist < 0] = 1
        return np.asarray(scores / divisor)
