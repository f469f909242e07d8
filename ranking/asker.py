"""Who asks for reasons, as a query knows him: whom he follows now, and what he has liked and undone of late."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.reasons.asker import Asker, Follows, Since
from graph.snapshot.histories import CODE
from recall.base import Query
from recall.blocked import refused_songs
from recall.listeners.listener import Listener
from recall.live.edits import Edits

OF_LATE: Final = 50
"""Latest songs that a reason may start from although the release does not know that they are liked."""
_VERBS: Final = {
    CODE["play"]: "played",
    CODE["full_play"]: "played",
    CODE["collect"]: "collected",
    CODE["like"]: "liked",
    CODE["share"]: "shared",
    CODE["download"]: "downloaded",
    CODE["playlist_add"]: "put on a playlist",
}
_UNDONE: Final = (("COLLECTED", "collect", "uncollect"), ("LIKED", "like", "unlike"))


def asker_of(query: Query) -> Asker:
    """The listener of a query, or its session."""
    listener = query.listener
    if listener.user_id is None:
        return Asker(session=tuple(dict.fromkeys(listener.song.tolist())))
    return Asker(
        listener.user,
        listener.user_id,
        follows_now(query.live.edits, listener),
        since=_liked_of_late(listener, query.at),
        undone=_undone(listener),
        blocked=frozenset(refused_songs(listener, query.live.songs).tolist()),
    )


def follows_now(edits: Edits, listener: Listener) -> Follows:
    """Whom a listener follows: as the release has it, with what was made and undone since."""
    known = Follows.of(listener.snapshot, listener.user)
    return Follows(
        _now(edits, (listener.user_id or "", "User"), known.people),
        _now(edits, (listener.user_id or "", "Artist"), known.artists),
    )


def _now(edits: Edits, key: tuple[str, str], known: Since) -> dict[int, int | None]:
    ids = edits.snapshot.ids[key[1]]
    undone = {ids.index(other) for other in edits.unfollowed.get(key, ())} | set(edits.positions_gone(key[1]).tolist())
    made = {ids.index(other): since for other, since in edits.followed.get(key, {}).items()}
    kept = {other: since for other, since in known.items() if other not in undone}
    return kept | {other: since for other, since in made.items() if other >= 0}


def _liked_of_late(listener: Listener, now: int) -> dict[int, str]:
    """The latest songs that the listener still likes, with the verb of the last time."""
    songs, weights = listener.preferences(now)
    liked = set(songs[weights > 0].tolist())
    found: dict[int, str] = {}
    for song, action in zip(listener.song[::-1].tolist(), listener.action[::-1].tolist(), strict=True):
        if len(found) == OF_LATE:
            break
        if action in _VERBS and song in liked:
            found.setdefault(song, _VERBS[action])
    return found


def _undone(listener: Listener) -> frozenset[tuple[str, int]]:
    """Relationships that the listener has taken back: (type, song)."""
    found = set()
    for name, make, undo in _UNDONE:
        relevant = np.isin(listener.action, (CODE[make], CODE[undo]))
        last = dict(zip(listener.song[relevant].tolist(), listener.action[relevant].tolist(), strict=True))
        found |= {(name, song) for song, action in last.items() if action == CODE[undo]}
    return frozenset(found)
