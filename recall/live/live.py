"""What has happened since the release, folded by each worker from the event log, the exposures and the journal.

Counters and the catalogue's edits are folded for all; a listener's latest events are read from the log when they are
asked for. Nothing here asks the graph.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl
import structlog

from embeddings.vectors.model_vectors import song_space
from graph.errors import Busy, StoreUnavailable
from graph.log.events import Event, EventLog
from graph.release import Release
from graph.schema import SONG_ACTIONS
from graph.snapshot.arrays import Array
from graph.snapshot.exposures import Exposures
from graph.snapshot.histories import CODE, PLAYBACK_CODES, UNKNOWN_TIME
from graph.snapshot.ids import Ids
from graph.snapshot.snapshot import Snapshot, cells
from recall.live.counters import Counters
from recall.live.edits import Edits, NewSongs
from recall.live.new_users import NewUsers
from recall.once import once

_log = structlog.get_logger(__name__)
# Shown to whoever asks `/readyz`, so it names no file and no address; the program's log has the details.
SILENT: Final = "the event log does not answer"
FOLD_ROWS: Final = 50_000
"""Rows that are folded at a time, so that memory is bounded when a worker starts long after its release."""


@dataclass(frozen=True)
class LiveState:
    """Whether a release is joined to the log: `state` is "attached" or "detached", with the `reason`.

    `lag` is how many events the log was ahead of the release at the last look, `behind` how many of them were not
    folded in by then; both are None while detached.
    """

    state: str
    reason: str | None = None
    lag: int | None = None
    behind: int | None = None


@dataclass(frozen=True)
class EventBatch:
    """Events on songs, in the order of the log: E of them, every array (E,), as in `Histories`.

    `user` is a position among the release's users, -1 for others; `song` may be a new song's.
    """

    user: Array
    song: Array
    action: Array
    at: Array
    count: Array
    cell: Array

    @property
    def playbacks(self) -> Array:
        """(E,) whether an event is a playback."""
        return np.isin(self.action, PLAYBACK_CODES)


@dataclass(frozen=True)
class Overlay:
    """What a query sees beside the release: live counters, and the catalogue as it stands."""

    counters: Counters
    edits: Edits
    songs: NewSongs
    new_users: NewUsers = field(default_factory=NewUsers)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Overlay:
        """That of a snapshot that nothing follows."""

        def compute() -> Overlay:
            edits = Edits(snapshot, 0)
            return cls(Counters.of(snapshot), edits, NewSongs(edits, None))

        return once(snapshot, "overlay", compute)

    @property
    def size(self) -> int:
        """How many places for songs there are, those of new songs included."""
        return self.songs.first + len(self.songs)

    def song_id(self, song: int) -> str:
        """The id of the song at a position."""
        known = self.edits.snapshot.songs
        return self.edits.snapshot.ids["Song"][song] if song < known else self.songs.ids[song - known]


class Live:
    """A release and the event log that goes on behind it.

    Detached (another log, a release ahead of the log, a log that does not answer) it serves from the release and what
    was folded in before, and says why in `status`. A log that fails detaches it; `check`, which a service calls several
    times a second, joins it again and folds in what came since.
    """

    def __init__(self, release: Release, log: EventLog | None) -> None:
        self._release, self._log = release, log
        snapshot = release.snapshot
        self._vectors = song_space(release)
        self._offset, self._shown = release.offset, snapshot.exposures.last_offset
        edits = Edits(snapshot, int(release.manifest.get("graph", {}).get("version", 0)))
        self._users, self._folding = _Places(snapshot.ids["User"]), threading.Lock()
        self._songs = _Places(snapshot.ids["Song"])
        self.overlay = Overlay(Counters(snapshot), edits, NewSongs(edits, self._vectors))
        self.status = LiveState("detached", "not looked at yet")
        self.check()

    def check(self) -> LiveState:
        """Look at the log anew and fold in what it has: the status from now on."""
        before, self.status = self.status, self._look()
        if before.reason == SILENT and self.status.reason != SILENT:
            _log.info("event log answers again", release=self._release.id, live=self.status.state)
        return self.status

    def latest(self, user_id: str) -> Sequence[Event]:
        """The listener's events since the release, in the order of the log; none while detached."""
        if self._log is None or self.status.state != "attached":
            return ()
        try:
            return self._log.of_user(user_id, self._release.offset)
        except (StoreUnavailable, Busy) as error:
            # serving goes on from the release, and nobody else waits for this log until `check` finds it again
            self.status = self._silent(error)
            return ()

    def _look(self) -> LiveState:
        if self._log is None:
            return LiveState("detached", "no event log")
        try:
            if self._log.log_id != self._release.log_id:
                return LiveState("detached", "the release was made from another event log")
            if self._log.last_offset() < self._release.offset:
                return LiveState("detached", "the release is ahead of the event log")
            with self._folding:
                self._fold(self._log)
                last = self._log.last_offset()
        except (StoreUnavailable, Busy) as error:
            return self._silent(error)
        return LiveState("attached", lag=last - self._release.offset, behind=last - self._offset)

    def _fold(self, log: EventLog) -> None:
        """The journal first: events may be on songs that it made."""
        entries = log.journal(self.overlay.edits.offset)
        if entries:
            edits = self.overlay.edits.after(entries)
            self.overlay = replace(self.overlay, edits=edits, songs=NewSongs(edits, self._vectors))
        while (last := log.last_offset()) > self._offset:
            upto = min(last, self._offset + FOLD_ROWS)
            self.overlay.counters.fold(events=self._happened(log.frame(self._offset, upto)))
            self._offset = upto
        while (last := log.last_exposure_offset()) > self._shown:
            upto = min(last, self._shown + FOLD_ROWS)
            self.overlay.counters.fold(exposures=self._exposed(log.exposures(self._shown, upto)))
            self._shown = upto

    def _happened(self, frame: pl.DataFrame) -> EventBatch:
        mine = frame.filter(pl.col("action").is_in(list(SONG_ACTIONS)) & pl.col("song_id").is_not_null())
        song = self._songs.of(mine["song_id"], self.overlay.edits.places)
        mine, song = mine.filter(pl.Series(song >= 0)), song[song >= 0]
        happened = EventBatch(
            self._users.of(mine["user_id"]),
            song,
            np.array([CODE[action] for action in mine["action"]], dtype=np.uint8),
            mine["at"].fill_null(UNKNOWN_TIME).to_numpy(),
            mine["count"].fill_null(1).to_numpy(),
            cells(mine),
        )
        self.overlay.new_users.add(mine["user_id"].to_list(), happened)
        return happened

    def _exposed(self, frame: pl.DataFrame) -> Exposures:
        channels = sorted(set(frame["channel"].drop_nulls()))
        song = self._songs.of(frame["song_id"], self.overlay.edits.places)
        frame, song = frame.filter(pl.Series(song >= 0)), song[song >= 0]
        place = {name: i for i, name in enumerate(channels)}
        return Exposures(
            self._users.of(frame["user_id"]),
            song,
            frame["at"].fill_null(UNKNOWN_TIME).to_numpy(),
            frame["position"].to_numpy(),
            np.array([place.get(name, -1) for name in frame["channel"]], dtype=np.int32),
            frame["score"].fill_null(float("nan")).to_numpy(),
            frame["offset"].to_numpy(),
            channels,
        )

    def _silent(self, error: Exception) -> LiveState:
        if self.status.reason != SILENT:  # told once, not each second
            _log.warning("event log does not answer", release=self._release.id, reason=str(error))
        return LiveState("detached", SILENT)


class _Places:
    """Positions of ids, each looked up once: the same listeners and songs come again and again."""

    def __init__(self, ids: Ids) -> None:
        self._ids, self._known = ids, dict[str, int]()

    def of(self, texts: pl.Series, more: Mapping[str, int] = MappingProxyType({})) -> Array:
        """(n,) int32, -1 where an id is unknown or null; `more` are positions of ids beyond these."""
        place = {}
        for text in texts.unique().drop_nulls():
            found = more.get(text, self._known.get(text, -1))
            if found < 0 and (found := self._ids.index(text)) >= 0:
                self._known[text] = found
            place[text] = found
        return texts.replace_strict(place, default=-1, return_dtype=pl.Int32).to_numpy()
