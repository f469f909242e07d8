"""Every listener's events on songs in the order they happened, and what is derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from graph.schema import ACTIONS, PLAYBACK_ACTIONS
from graph.snapshot.arrays import Array
from graph.snapshot.relations import Relation

CODE: Final = {action: code for code, action in enumerate(ACTIONS)}
PLAYBACK_CODES: Final = tuple(CODE[action] for action in PLAYBACK_ACTIONS)
_JUDGED: Final = (CODE["like"], CODE["dislike"])
# A derived relationship, the action that makes it and the one that takes it away.
_STATES: Final = (
    ("COLLECTED", "collect", "uncollect"),
    ("LIKED", "like", "unlike"),
    ("DISLIKED", "dislike", "undislike"),
    ("SHARED", "share", None),
    ("BLOCKED", "block", "unblock"),
)
UNKNOWN_TIME: Final = -1
# What one action says about liking the song, in units of a full play.
STRENGTH: Final = {
    "full_play": 1.0,
    "play": 0.4,
    "skip": -0.6,
    "collect": 3.0,
    "like": 2.0,
    "share": 2.5,
    "download": 2.0,
    "playlist_add": 2.5,
    "uncollect": -3.0,
    "unlike": -2.0,
    "dislike": -2.0,
    "undislike": 0.0,
    "block": -6.0,
    "unblock": 0.0,
}
STRENGTH_BY_CODE: Final = np.array(
    [STRENGTH.get(action, 0.0) for action in sorted(CODE, key=CODE.__getitem__)], dtype=np.float64
)


def strengths(action: Array, count: Array) -> Array:
    """What each of E events says about liking its song (E,): an aggregate of n counts as 1 + ln n events."""
    return STRENGTH_BY_CODE[action] * (1.0 + np.log(np.maximum(count, 1)))


def _in_order(user: Array, at: Array, offset: Array) -> Array:
    """Places (E,) of the events by user, then as they happened.

    An event without a time happened after whatever the log held of that user before it.
    """
    by_offset = np.lexsort((offset, user))
    if not (at == UNKNOWN_TIME).any():
        return np.lexsort((offset, at, user))
    frame = pl.DataFrame({"user": user[by_offset], "at": at[by_offset]})
    latest = frame.select(pl.col("at").cum_max().over("user"))["at"].to_numpy()
    happened = np.where(frame["at"].to_numpy() == UNKNOWN_TIME, latest, frame["at"].to_numpy())
    return by_offset[np.lexsort((happened, frame["user"].to_numpy()))]


@dataclass(frozen=True)
class Histories:
    """Events on songs of U users, those of one user side by side and in the order they happened (see `_in_order`).

    Shapes: E events; indptr (U + 1,); every other array (E,). `song` is a position among the songs, `action` a place
    in `schema.ACTIONS`, `at` epoch milliseconds or -1 where unknown, `played_ms` -1 and `rating` NaN where unknown,
    `offset` the event's place in the log; `cell` the H3 cell where it happened (an int64), 0 where unknown.
    """

    songs: int
    indptr: Array
    song: Array
    action: Array
    at: Array
    count: Array
    played_ms: Array
    rating: Array
    offset: Array
    cell: Array

    @property
    def users(self) -> int:
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.song)

    def of(self, user: int) -> slice:
        """Where the events of `user` stand."""
        return slice(int(self.indptr[user]), int(self.indptr[user + 1]))

    @cached_property
    def user(self) -> Array:
        """User of every event (E,)."""
        return np.repeat(np.arange(self.users, dtype=np.int32), np.diff(self.indptr))

    @property
    def playbacks(self) -> Array:
        """(E,) whether an event is a playback. Who rates a song has heard it: a like or a dislike with a rating is
        one."""
        rated = np.isin(self.action, _JUDGED) & ~np.isnan(self.rating)
        return np.isin(self.action, PLAYBACK_CODES) | rated

    @property
    def newest(self) -> int:
        """Time of the newest event, or -1 if no event has one."""
        return int(self.at.max()) if len(self.at) else UNKNOWN_TIME

    def where(self, keep: Array) -> Histories:
        """The events for which `keep` (E,) is true."""
        indptr = np.zeros_like(self.indptr)
        np.cumsum(np.bincount(self.user[keep], minlength=self.users), out=indptr[1:])
        columns = {name: getattr(self, name)[keep] for name in _COLUMNS}
        return Histories(self.songs, indptr, **columns)

    @classmethod
    def of_events(cls, columns: Mapping[str, Array], users: int, songs: int) -> Histories:
        """From unsorted events with the columns `user` and those of this class."""
        order = _in_order(columns["user"], columns["at"], columns["offset"])
        indptr = np.zeros(users + 1, dtype=np.int64)
        np.cumsum(np.bincount(columns["user"], minlength=users), out=indptr[1:])
        return cls(songs, indptr, **{name: columns[name][order] for name in _COLUMNS})

    @cached_property
    def first_seen(self) -> Array:
        """Log offset of each song's first event (songs,); songs without any come after all others, in id order."""
        first = np.full(self.songs, np.iinfo(np.int64).max, dtype=np.int64)
        np.minimum.at(first, self.song, self.offset)
        return first

    def listened(self) -> Relation:
        """LISTENED: plays, full plays and skips of every (user, song), with the first and the last time; a dislike with
        a rating counts as a skip."""
        # Filtered by hand: `with_columns` over a million rows is the slowest part of opening a view.
        keep = self.playbacks
        frame = pl.DataFrame(
            {
                "user": self.user[keep],
                "song": self.song[keep],
                "action": self.action[keep],
                "at": self.at[keep],
                "count": self.count[keep].astype(np.int64),
            }
        )
        known = pl.col("at") >= 0
        grouped = frame.group_by("user", "song").agg(
            plays=pl.col("count").sum(),
            full_plays=pl.col("count").filter(pl.col("action") == CODE["full_play"]).sum(),
            skips=pl.col("count").filter(pl.col("action").is_in([CODE["skip"], CODE["dislike"]])).sum(),
            first_at=pl.col("at").filter(known).min().fill_null(UNKNOWN_TIME),
            last_at=pl.col("at").filter(known).max().fill_null(UNKNOWN_TIME),
        )
        names = ("plays", "full_plays", "skips", "first_at", "last_at")
        return self._relation("LISTENED", grouped, names)

    def states(self) -> dict[str, Relation]:
        """COLLECTED, LIKED, DISLIKED, SHARED and BLOCKED as they stand after every undoing action."""
        frame = pl.DataFrame({"user": self.user, "song": self.song, "action": self.action, "at": self.at})
        found = {}
        for name, make, undo in _STATES:
            codes = [CODE[make]] + ([CODE[undo]] if undo else [])
            last = (
                frame.filter(pl.col("action").is_in(codes))
                .group_by("user", "song")
                .agg(pl.col("action").last(), pl.col("at").last())
                .filter(pl.col("action") == CODE[make])
            )
            found[name] = self._relation(name, last, ("at",))
        return found

    def _relation(self, name: str, frame: pl.DataFrame, properties: tuple[str, ...]) -> Relation:
        columns = {p: frame[p].to_numpy().astype(np.int64) for p in properties}
        key = f"{name}:User:Song"
        source, target = frame["user"].to_numpy(), frame["song"].to_numpy()
        return Relation.of_edges(key, source, target, columns, self.users, self.songs)

    def arrays(self, prefix: str) -> dict[str, Array]:
        """As named arrays, for `write_arrays`."""
        return {f"{prefix}/{name}": getattr(self, name) for name in ("indptr", *_COLUMNS)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], prefix: str, songs: int) -> Histories:
        return cls(songs, *(arrays[f"{prefix}/{name}"] for name in ("indptr", *_COLUMNS)))


_COLUMNS: Final = tuple(f.name for f in fields(Histories) if f.name not in {"songs", "indptr"})
