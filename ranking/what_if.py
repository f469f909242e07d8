"""What a slate would be if a relationship did not exist: does a song still stand in it, and what takes its place?

Only what a listener did and whom he follows can be left out: vectors, lists and rankers stay as the release has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from graph.reasons.edges import Edge
from graph.schema import PLAYBACK_ACTIONS
from graph.snapshot.histories import CODE
from ranking.cascade import Cascade
from recall.base import Query
from recall.listeners.listener import Listener
from recall.live.edits import Edits

_ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "LISTENED": PLAYBACK_ACTIONS,
    "COLLECTED": ("collect", "uncollect"),
    "LIKED": ("like", "unlike"),
    "SHARED": ("share",),
    "BLOCKED": ("block", "unblock"),
}
_FOLLOWED: Final = {"FOLLOWS": "User", "FOLLOWS_ARTIST": "Artist"}
AS_IT_IS: Final = "only what the listener did or follows can be left out: still, recommended and rank are as they are"


@dataclass(frozen=True)
class WhatIf:
    """Whether a channel would still propose the song (`still`), whether it would stand in the slate (`recommended`), at
    which `rank` (from 1), and the id of the song that would be there instead (`replaced_by`)."""

    still: bool
    recommended: bool
    rank: int | None
    replaced_by: str | None
    note: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "still": self.still,
            "recommended": self.recommended,
            "rank": self.rank,
            "replaced_by": self.replaced_by,
            "note": self.note,
        }


def what_if(cascade: Cascade, query: Query, song: int, without: Edge | None) -> WhatIf:
    """What becomes of position `song` in the slate of `query` without a relationship; None leaves nothing out."""
    before = cascade.slate(query)
    less = None if without is None else _less(cascade, query, without)
    after = before if less is None else cascade.slate(less)
    places = np.flatnonzero(after.songs == song)
    rank = int(places[0]) + 1 if len(places) else None
    entering = [other for other in after.songs.tolist() if other not in before.songs]
    gone = rank is None and song in before.songs
    return WhatIf(
        still=bool((after.pool.songs == song).any()),
        recommended=rank is not None,
        rank=rank,
        replaced_by=query.live.song_id(entering[0]) if gone and entering else None,
        note=AS_IT_IS if less is None and without is not None else None,
    )


def _less(cascade: Cascade, query: Query, without: Edge) -> Query | None:
    """The query without an event or follow of its listener, None where the relationship is neither."""
    type_, source, target = without
    listener, live = query.listener, query.live
    if source != listener.user_id:
        return None
    if type_ in _ACTIONS:
        listener = forget(listener, live.edits.song(target), _ACTIONS[type_])
    elif type_ in _FOLLOWED:
        live = replace(live, edits=unfollow(live.edits, (source, _FOLLOWED[type_]), target))
    else:
        return None
    return cascade.ask(listener, query.at, latitude=query.latitude, longitude=query.longitude, overlay=live)


def forget(listener: Listener, song: int, actions: tuple[str, ...]) -> Listener:
    """The listener as if these actions on a song had not happened."""
    codes = [CODE[action] for action in actions]
    kept = ~((listener.song == song) & np.isin(listener.action, codes))
    columns = {name: getattr(listener, name)[kept] for name in ("song", "action", "at", "count")}
    late = [event for event in listener.new_events if event[0] != song or event[1] not in codes]
    return replace(listener, **columns, new_events=late, _kept={})


def unfollow(edits: Edits, who: tuple[str, str], other: str) -> Edits:
    """The edits as if a listener, `who` = (id, label of whom is followed), did not follow `other`."""
    made = {id_: since for id_, since in edits.followed.get(who, {}).items() if id_ != other}
    undone = edits.unfollowed.get(who, frozenset()) | {other}
    return replace(edits, followed={**edits.followed, who: made}, unfollowed={**edits.unfollowed, who: undone})
