"""Listening sessions and playlists as sequences of songs: what sequence embeddings learn from.

The cleaning rule, in this order:
1. only playbacks count (`play`, `full_play`, a song that was rated well); a `skip` or a low rating says that the song
   did not fit, so it is left out;
2. a playback known to be shorter than `min_played_ms` is left out;
3. a session ends where the next playback comes more than `session_gap_ms` later;
4. a song repeated at once counts once (a song on loop is one choice, not twenty);
5. after `unattended_after` playbacks with a time in a session without one sign of attention (a skip, a collect, a
   rating, any other action) the rest, until the next sign, is taken to play to an empty room and left out.

Events without a time keep the order of the log. A history of aggregates (untimed events with a `count` above 1, such
as Last.fm's play counts) has no order: it is a bag, shuffled anew each epoch by whoever trains on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from graph.snapshot.arrays import Array
from graph.snapshot.histories import CODE, Histories
from graph.snapshot.snapshot import Snapshot

_AGAINST = (CODE["skip"], CODE["dislike"])


@dataclass(frozen=True)
class SequenceConfig:
    """How listening is cut into sequences (see the module's rule)."""

    min_played_ms: int = 10_000
    """Milliseconds below which a playback is left out."""
    session_gap_ms: int = 30 * 60 * 1000
    """Milliseconds without a playback after which a new session begins."""
    unattended_after: int = 60
    """Playbacks in a session without a sign of attention, after which the rest counts as unattended."""
    playlists: bool = True
    """Whether playlists are sequences too."""


@dataclass(frozen=True)
class Sequences:
    """S sequences of T songs in all.

    Shapes: indptr (S + 1,), songs (T,) positions among the songs, bag (S,) whether the order says nothing.
    """

    indptr: Array
    songs: Array
    bag: Array

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def parts(self, songs: int) -> Iterator[Sequences]:
        """All sequences in turn, some `songs` songs at a time, and at least one sequence."""
        cuts = np.searchsorted(self.indptr, np.arange(songs, int(self.indptr[-1]), songs))
        for a, b in pairwise(np.unique([0, *cuts, len(self)]).tolist()):
            low, high = self.indptr[[a, b]]
            yield Sequences(self.indptr[a : b + 1] - low, self.songs[low:high], self.bag[a:b])

    def shuffled(self, rng: np.random.Generator) -> Array:
        """(T,) the songs, those of each bag in a new order."""
        lengths = np.diff(self.indptr)
        loose = np.flatnonzero(np.repeat(self.bag, lengths))
        bag = np.repeat(np.arange(len(self)), lengths)[loose]
        songs = self.songs.copy()
        songs[loose] = self.songs[loose[np.lexsort((rng.random(len(loose)), bag))]]
        return songs

    @classmethod
    def of(cls, snapshot: Snapshot, config: SequenceConfig, *, among: Array | None = None) -> Sequences:
        """Sessions of every listener, then playlists; sequences of a single song included (entities need them).

        With `among` (E,) only the sessions that hold one of these events, and no playlists.
        """
        parts = [_sessions(snapshot.histories, config, among)]
        if config.playlists and among is None:
            parts.append(_playlists(snapshot))
        lengths = np.concatenate([np.diff(indptr) for indptr, _, _ in parts])
        indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        songs = np.concatenate([songs for _, songs, _ in parts])
        return cls(indptr, songs, np.concatenate([bag for _, _, bag in parts]))


def _sessions(histories: Histories, config: SequenceConfig, among: Array | None) -> tuple[Array, Array, Array]:
    user, at = histories.user, histories.at
    # (E,) whether a new session starts here, seen from all events so that attention is counted in its own session
    gap = np.diff(at, prepend=at[:1]) > config.session_gap_ms
    starts = (np.diff(user, prepend=-1) != 0) | (gap & (at >= 0))
    session = np.cumsum(starts) - 1
    heard = histories.playbacks & ~np.isin(histories.action, _AGAINST)
    short = (histories.played_ms >= 0) & (histories.played_ms < config.min_played_ms)
    attended = _attended(session, heard, histories.action == CODE["like"], config.unattended_after)
    keep = heard & ~short & ((at < 0) | attended)
    if among is not None:
        wanted = np.zeros(int(session[-1]) + 1 if len(session) else 0, dtype=bool)
        wanted[session[among]] = True
        keep &= wanted[session]
    songs, session, user = histories.song[keep], session[keep], user[keep]
    repeated = np.zeros(len(songs), dtype=bool)
    repeated[1:] = (songs[1:] == songs[:-1]) & (session[1:] == session[:-1])
    songs, session, user = songs[~repeated], session[~repeated], user[~repeated]
    first = np.flatnonzero(np.diff(session, prepend=-1))
    indptr = np.append(first, len(songs)).astype(np.int64)
    aggregate = np.zeros(histories.users, dtype=bool)
    aggregate[histories.user[(histories.at < 0) & (histories.count > 1)]] = True
    return indptr, songs, aggregate[user[first]]


def _attended(session: Array, heard: Array, rated: Array, after: int) -> Array:
    """(E,) whether fewer than `after` playbacks went by in the session since its last sign of attention."""
    fresh = (np.diff(session, prepend=-1) != 0) | ~heard | rated
    since = np.cumsum(heard)
    # playbacks counted at the last sign before each event; a session's first playback itself counts as one
    base = np.maximum.accumulate(np.where(fresh, since - heard, 0))
    return (since - base) <= after


def _playlists(snapshot: Snapshot) -> tuple[Array, Array, Array]:
    contains = snapshot.relation("CONTAINS", "Playlist")
    order = np.lexsort((contains.properties["position"], contains.edge_sources)) if len(contains) else slice(0)
    lengths = np.diff(contains.indptr)
    lengths = lengths[lengths > 0]
    indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return indptr, contains.indices[order], np.zeros(len(lengths), dtype=bool)
