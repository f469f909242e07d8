"""What has happened since the release, folded by each worker from the event log, the exposures and the journal.

Counters and the catalogue's edits are folded for all; a listener's latest events are read from the log when they are
asked for. Nothing here asks the graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from graph.snapshot.histories import CODE, PLAYBACK_CODES, UNKNOWN_TIME
from graph.snapshot.ids import Ids
from graph.snapshot.snapshot import Snapshot, cell_of, cells
from recall.live.counters import EVENTS, Counters
from recall.live.edits import Edits, NewSongs
from recall.live.new_users import NewUsers
from recall.once import once

_log = structlog.get_logger(__name__)
# Shown to whoever asks `/readyz`, so it names no file and no address; the program's log has the details.
SILENT: Final = "the event log does not answer"
_EVENT: Final = ("user_id", "song_id", "action", "at", "count", "latitude", "longitude", "private")
FOLD_ROWS: Final = 50_000
"""Rows that are folded at a time, so that memory is bounded when a worker starts long after its release."""
FEW_ROWS: Final = 1_000
"""So many are read one by one: a frame costs more than they do."""


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
class ShownBatch:
    """Songs that were shown, in the order of the log: song and at (X,), as in `Exposures`."""

    song: Array
    at: Array


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

    def __init__(
        self, release: Release, log: EventLog | None, counted: Iterable[Callable[[Counters], object]] = ()
    ) -> None:
        """Each of `counted` asks for what it counts before the log is read, which is then read once for all of them."""
        self._release, self._log = release, log
        snapshot = release.snapshot
        self._vectors = song_space(release)
        self._offset, self._shown = release.offset, snapshot.exposures.last_offset
        edits = Edits(snapshot, int(release.manifest.get("graph", {}).get("version", 0)))
        self._users, self._folding = _Places(snapshot.ids["User"]), threading.Lock()
        self._songs = _Places(snapshot.ids["Song"])
        again = None if log is None else self._again
        self.overlay = Overlay(Counters(snapshot, again), edits, NewSongs(edits, self._vectors))
        self.status = LiveState("detached", "not looked at yet")
        self._generation: int | None = None
        self.outdated = False
        """Whether something was taken out of the log since it was first read: what was counted may hold it still."""
        for count in counted:
            count(self.overlay.counters)
        self.check()

    def check(self) -> LiveState:
        """Look at the log anew and fold in what it has: the status from now on."""
        before, self.status = self.status, self._look()
        if before.reason == SILENT and self.status.reason != SILENT:
            _log.info("event log answers again", release=self._release.id, live=self.status.state)
        return self.status

    def latest(self, user_id: str, after: int = 0) -> Sequence[Event]:
        """The listener's events since the release, in the order of the log, with an offset beyond `after`; none while
        detached."""
        if self._log is None or self.status.state != "attached":
            return ()
        try:
            return self._log.of_user(user_id, max(after, self._release.offset))
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
            generation = self._log.generation
            self._generation = generation if self._generation is None else self._generation
            self.outdated = generation != self._generation
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
            before, edits = self.overlay.edits, self.overlay.edits.after(entries)
            # a follow, say, leaves new songs as they were, and with them what channels have answered
            same = edits.songs is before.songs and edits.places is before.places
            songs = self.overlay.songs if same else NewSongs(edits, self._vectors)
            self.overlay = replace(self.overlay, edits=edits, songs=songs)
        while (last := log.last_offset()) > self._offset:
            upto = min(last, self._offset + FOLD_ROWS)
            self.overlay.counters.fold(events=self._happened(log, self._offset, upto), upto=upto)
            self._offset = upto
        while (last := log.last_exposure_offset()) > self._shown:
            upto = min(last, self._shown + FOLD_ROWS)
            self.overlay.counters.fold(exposures=self._exposed(log, self._shown, upto), upto=upto)
            self._shown = upto

    def _happened(self, log: EventLog, after: int, upto: int) -> EventBatch:
        """The events of the log on songs that are known, `after` < offset <= `upto`; those of new people are kept."""
        batch, user_ids = self._events(log, after, upto)
        self.overlay.new_users.add(user_ids, batch)
        return batch

    def _events(self, log: EventLog, after: int, upto: int) -> tuple[EventBatch, Sequence[str]]:
        """These events, and the ids of their listeners (E,)."""
        if upto - after > FEW_ROWS:
            return self._many_events(log, after, upto)
        new = self.overlay.edits.places
        found = []
        for user_id, song_id, action, at, count, latitude, longitude, private in log.rows(
            "events", _EVENT, after, upto
        ):
            nothing = song_id is None or private or action not in SONG_ACTIONS
            song = -1 if nothing else self._songs.of(song_id, new)
            if song >= 0:
                cell = 0 if latitude is None or longitude is None else cell_of(latitude, longitude)
                when, times = UNKNOWN_TIME if at is None else at, 1 if count is None else count
                found.append((user_id, self._users.of(user_id), song, CODE[action], when, times, cell))
        user_ids, *columns = zip(*found, strict=True) if found else ((),) * 7
        users, songs, actions, *rest = (np.array(column, dtype=np.int64) for column in columns)
        return EventBatch(users, songs, actions.astype(np.uint8), *rest), list(user_ids)

    def _many_events(self, log: EventLog, after: int, upto: int) -> tuple[EventBatch, Sequence[str]]:
        frame = log.columns("events", _EVENT, after, upto)
        frame = frame.filter(
            pl.col("song_id").is_not_null(), pl.col("action").is_in(SONG_ACTIONS), pl.col("private").fill_null(0) == 0
        )
        song = self._songs.of_all(frame["song_id"], self.overlay.edits.places)
        frame, song = frame.filter(song >= 0), song[song >= 0]
        action = _each(frame["action"], CODE.__getitem__).astype(np.uint8)
        at, count = frame["at"].fill_null(UNKNOWN_TIME).to_numpy(), frame["count"].fill_null(1).to_numpy()
        user = self._users.of_all(frame["user_id"])
        return EventBatch(user, song, action, at, count, cells(frame)), frame["user_id"].to_list()

    def _exposed(self, log: EventLog, after: int, upto: int) -> ShownBatch:
        new = self.overlay.edits.places
        if upto - after > FEW_ROWS:
            frame = log.columns("exposures", ("song_id", "at"), after, upto)
            song = self._songs.of_all(frame["song_id"], new)
            return ShownBatch(song[song >= 0], frame["at"].fill_null(UNKNOWN_TIME).to_numpy()[song >= 0])
        rows = [(self._songs.of(song, new), at) for song, at in log.rows("exposures", ("song_id", "at"), after, upto)]
        columns = np.array(
            [(song, UNKNOWN_TIME if at is None else at) for song, at in rows if song >= 0], dtype=np.int64
        ).reshape(-1, 2)
        return ShownBatch(columns[:, 0].copy(), columns[:, 1].copy())

    def _again(self, kind: str, upto: int) -> Iterator[EventBatch | ShownBatch]:
        """What has been folded in up to an offset, once more, for something that is counted from now on."""
        assert self._log is not None
        first = self._release.offset if kind == EVENTS else self._release.snapshot.exposures.last_offset
        for after in range(first, upto, FOLD_ROWS):
            last = min(after + FOLD_ROWS, upto)
            yield self._events(self._log, after, last)[0] if kind == EVENTS else self._exposed(self._log, after, last)

    def _silent(self, error: Exception) -> LiveState:
        if self.status.reason != SILENT:  # told once, not each second
            _log.warning("event log does not answer", release=self._release.id, reason=str(error))
        return LiveState("detached", SILENT)


class _Places:
    """Positions of ids, each looked up once: the same listeners and songs come again and again."""

    def __init__(self, ids: Ids) -> None:
        self._ids, self._known = ids, dict[str, int]()

    def of(self, text: str | None, more: Mapping[str, int] = MappingProxyType({})) -> int:
        """-1 where an id is unknown or None; `more` are positions of ids beyond these."""
        if text is None:
            return -1
        found = more.get(text, self._known.get(text, -1))
        if found < 0 and (found := self._ids.index(text)) >= 0:
            self._known[text] = found
        return found

    def of_all(self, texts: pl.Series, more: Mapping[str, int] = MappingProxyType({})) -> Array:
        """(E,) the same for many; equal ones are looked up once."""
        return _each(texts, lambda text: self.of(text, more))


def _each(texts: pl.Series, number: Callable[[str], int]) -> Array:
    """(E,) int64 the number of each text."""
    unique = texts.unique()
    table = pl.DataFrame({"text": unique, "number": pl.Series([number(text) for text in unique], dtype=pl.Int64)})
    found = texts.to_frame("text").join(table, on="text", how="left", maintain_order="left")
    return found["number"].to_numpy()
