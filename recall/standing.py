"""What stands ready for a listener whose channels did not answer in time: popular songs, by language and place."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import sparse

from graph.durations import DAY_MS
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import NO_SONGS, Candidates, Query
from recall.grouped import isin_sorted, rank_within_group
from recall.listeners.listener import Listener
from recall.listeners.preferences import decayed, listeners, preference_matrix
from recall.once import once

LONGEST: Final = 500
"""Songs of each list."""
_LATELY: Final = 14 * DAY_MS
_LANGUAGES, _HOMES = "LANGUAGE", "LIVES_IN"


class StandingList:
    """The most popular songs of all, of each language, and of each place's listeners, computed once for a release.

    A listener has the songs of the home and of the language that most of the latest loves are in first, taken in turn,
    and then those of all. Looking them up takes microseconds, so it needs no time budget.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        lately = decayed(snapshot, _LATELY)
        popular = lately if lately.any() else listeners(snapshot).astype(np.float64)
        self._songs = np.argsort(-popular, kind="stable").astype(np.int32)
        self._language = _of_each(snapshot, self._songs)
        self._place = _at_each(snapshot)
        self._lives, self._sings = snapshot.relation(_HOMES), snapshot.relation(_LANGUAGES)

    @classmethod
    def of(cls, snapshot: Snapshot) -> StandingList:
        """That of a snapshot, shared by all scenes."""
        return once(snapshot, "standing_list", lambda: cls(snapshot))

    def recall(self, query: Query, k: int) -> Candidates:
        """The first `k` songs that may come back; a score falls by its place alone."""
        own = _in_turn([self._at_home(query.listener), self._in_language(query.listener)])
        look = own
        for most in (LONGEST, len(self._songs)):
            rest = self._songs[:most]
            look = np.concatenate([own, rest[~isin_sorted(rest, np.sort(own))]])
            if np.count_nonzero(query.permits(look)) >= k:
                break
        songs = look[query.permits(look)][:k]
        return Candidates(songs.astype(np.int32), 1.0 / (1.0 + np.arange(len(songs))))

    def _at_home(self, listener: Listener) -> Array:
        homes = self._lives.of(listener.user) if 0 <= listener.user < self._lives.sources else NO_SONGS
        return _known(self._place[homes[0]]) if len(homes) and len(self._place) else NO_SONGS

    def _in_language(self, listener: Listener) -> Array:
        loves = [self._sings.of(song) for song in listener.recent(10).tolist() if song < self._sings.sources]
        languages = np.concatenate([NO_SONGS, *loves]).astype(np.int64)
        return _known(self._language[np.bincount(languages).argmax()]) if len(languages) else NO_SONGS


def _known(songs: Array) -> Array:
    return np.asarray(songs[songs >= 0])


def _in_turn(lists: list[Array]) -> Array:
    """The songs of all lists, the first of each first, each song once."""
    songs = np.concatenate(lists)
    turn = np.concatenate([np.arange(len(one)) for one in lists])
    songs = songs[np.argsort(turn, kind="stable")]
    return np.asarray(songs[rank_within_group(songs) == 0]) if len(songs) else NO_SONGS


def _of_each(snapshot: Snapshot, popular: Array) -> Array:
    """(languages, M) the first of the `popular` songs (S,) in each language, -1 where there are fewer."""
    sung = snapshot.relation(_LANGUAGES)
    rank = np.empty(snapshot.songs, dtype=np.int64)
    rank[popular] = np.arange(len(popular))
    edges = np.argsort(rank[sung.edge_sources], kind="stable")
    language, songs = sung.indices[edges], sung.edge_sources[edges]
    place = rank_within_group(language)
    kept = place < LONGEST
    found = np.full((sung.targets, LONGEST), -1, dtype=np.int32)
    found[language[kept], place[kept]] = songs[kept]
    return found


def _at_each(snapshot: Snapshot) -> Array:
    """(places, M) the songs that the listeners of each place love most, -1 where there are fewer."""
    lives = snapshot.relation(_HOMES)
    if not len(lives) or not snapshot.songs:
        return np.empty((0, LONGEST), dtype=np.int32)
    shape = (lives.targets, snapshot.users)
    at_home = sparse.csr_array((np.ones(len(lives)), (lives.indices, lives.edge_sources)), shape=shape)
    loved = sparse.csr_array(at_home @ preference_matrix(snapshot))
    found = np.full((lives.targets, LONGEST), -1, dtype=np.int32)
    for place in range(lives.targets):
        songs, love = (part[loved.indptr[place] : loved.indptr[place + 1]] for part in (loved.indices, loved.data))
        best = songs[np.lexsort((songs, -love))][:LONGEST]
        found[place, : len(best)] = best
    return found
