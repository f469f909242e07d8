"""`apple-music`: `Apple Music Play Activity.csv` of what Apple gives to whoever asks.

Only rows of `PLAY_END` are plays (there `Play Duration Milliseconds` is known); the others are counted. There is
usually no artist: then a song is made of its title and its album. `at` is when it began, else when it ended.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from graph.batch import listed
from graph.errors import InvalidInput
from graph.importers.histories.columns import Columns, first_of, rows
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.names import made_ids
from graph.importers.histories.plays import History, action_of

_TITLES: Final = ("song name", "content name")
_PLAYED: Final = "play duration milliseconds"
_CUT: Final = ("TRACK_SKIPPED_FORWARDS",)
_ENDED: Final = "NATURAL_END_OF_TRACK"


class AppleMusic(HistoryImporter):
    """The file at `path`, or in the folder or zip file."""

    format = "apple-music"
    expected = "Apple Music Play Activity.csv"

    @classmethod
    def takes(cls, member: Member) -> bool:
        first = member.head().partition("\n")[0].lower() if member.base.endswith(".csv") else ""
        return _PLAYED in first and any(name in first for name in _TITLES)

    def _read(self, member: Member, history: History) -> None:
        for frame in rows(member, history.batch, expected=(*_TITLES, _PLAYED)):
            if not any(name in frame.columns for name in _TITLES):
                raise InvalidInput(f"{member.file}: expected the column Song Name, got {listed(frame)}")
            self._add(_ends(frame, history), member, history)

    @staticmethod
    def _add(frame: pl.DataFrame, member: Member, history: History) -> None:
        read = Columns(history.batch, member.name, frame["line"])
        began = first_of(frame, "event start timestamp", "event end timestamp")
        whole = first_of(frame, "media duration in milliseconds")
        reason = first_of(frame, "end reason type").str.strip_chars()
        plays = frame.select(
            "line",
            first_of(frame, *_TITLES).alias("title"),
            first_of(frame, "artist name", "container artist name").alias("artist"),
            first_of(frame, "album name").alias("album"),
            read.written("Event Start Timestamp", began).alias("at"),
            read.lengths("Play Duration Milliseconds", first_of(frame, _PLAYED), 1).alias("played"),
            read.lengths("Media Duration In Milliseconds", whole, 1).alias("duration"),
            reason.alias("reason"),
        )
        apart = pl.when(pl.col("artist").is_null()).then(made_ids(plays, "artist", "album", "title"))
        plays = plays.with_columns(song=apart)
        action = action_of(
            pl.col("played"),
            pl.col("duration"),
            cut=pl.col("reason").is_in(list(_CUT)),
            ended=pl.col("reason") == _ENDED,
        )
        history.add(plays.with_columns(action=action), file=member.name)


def _ends(frame: pl.DataFrame, history: History) -> pl.DataFrame:
    """The rows of plays that ended and name a song; the others are counted."""
    kind = first_of(frame, "event type").str.strip_chars().fill_null("PLAY_END")
    video = (first_of(frame, "media type").str.to_uppercase() == "VIDEO").fill_null(value=False)
    nameless = first_of(frame, *_TITLES).is_null()
    for what, found in (
        ("rows other than PLAY_END", kind != "PLAY_END"),
        ("videos", (kind == "PLAY_END") & video),
        ("plays without a name", (kind == "PLAY_END") & ~video & nameless),
    ):
        if found.any():
            history.passed_over[what] += int(found.sum())
    return frame.filter((kind == "PLAY_END") & ~video & ~nameless)
