"""`spotify`: streaming histories as Spotify gives them to whoever asks, extended and short, any number of files.

Extended: `Streaming_History_Audio_*.json`, `endsong_*.json`; a song is its `spotify_track_uri`, `at` is `ts`, when it
ended. Short: `StreamingHistory_music_*.json`, `StreamingHistory*.json`; a song is made of its artist and title, `at` is
`endTime`, when it ended, to the minute. Episodes of podcasts, chapters of audiobooks and videos have no track.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import polars as pl

from graph.importers.histories.columns import Columns
from graph.importers.histories.entries import Entry, entries
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.plays import History, action_of

_NAME: Final = re.compile(r"(?:streaming_?history|endsong).*\.json")
_SONG: Final = "spotify:track:"
_ROW: Final = {
    **dict.fromkeys(("user", "song", "title", "artist", "album", "ended", "reason"), pl.String),
    "ms": pl.Float64, "skipped": pl.Boolean, "private": pl.Boolean, "coarse": pl.Boolean, "line": pl.Int64,
}  # fmt: skip


class Spotify(HistoryImporter):
    """The history at `path`; `incognito`: whether plays of private sessions come in too."""

    format = "spotify"
    expected = "Streaming_History_Audio_*.json, endsong_*.json or StreamingHistory*.json"

    def __init__(self, path: Path, *, user: str | None = None, incognito: bool = False) -> None:
        super().__init__(path, user=user)
        self._incognito = incognito

    @classmethod
    def takes(cls, member: Member) -> bool:
        if _NAME.fullmatch(member.base):
            return True
        head = member.head() if member.base.endswith(".json") else ""
        return '"ms_played"' in head or ('"msPlayed"' in head and '"endTime"' in head)

    def _rank(self, member: Member) -> int:
        """The extended ones name the listener, and are finer."""
        return int('"ms_played"' not in member.head())

    def _read(self, member: Member, history: History) -> None:
        for block in entries(member, history.batch):
            rows = [row for entry in block if (row := _row(entry, history)) is not None]
            history.batch.lose(member.name, [lost for entry in block for lost in entry.lost])
            frame = pl.DataFrame(rows, schema=_ROW, orient="row")
            for coarse in (False, True):
                part = frame.filter(pl.col("coarse") == coarse)
                if part.height:
                    self._add(part, coarse, member, history)

    def _add(self, frame: pl.DataFrame, coarse: bool, member: Member, history: History) -> None:
        names = ("endTime", "msPlayed") if coarse else ("ts", "ms_played")
        read = Columns(history.batch, member.name, frame["line"])
        plays = frame.with_columns(
            at=read.written(names[0], frame["ended"]),
            played=read.lengths(names[1], frame["ms"], 1),
        )
        cut = pl.col("skipped").fill_null(value=False) | (pl.col("reason") == "fwdbtn")
        unknown = pl.lit(None, dtype=pl.Duration("ms"))
        action = action_of(pl.col("played"), unknown, cut=cut, ended=pl.col("reason") == "trackdone")
        plays = plays.with_columns(action=action)
        private = plays["private"].fill_null(value=False) & (not self._incognito)
        if private.any():
            history.hide(plays.filter(private), file=member.name)
            history.batch.warn(
                f"{member.name}: {private.sum()} plays of private sessions are left out (--incognito keeps them)"
            )
        history.add(plays.filter(~private), file=member.name, coarse=coarse)


def _row(entry: Entry, history: History) -> tuple[Any, ...] | None:
    """What a play says (as `_ROW`), or None for an entry without a track."""
    if entry.get("endTime") is not None or entry.get("msPlayed") is not None:
        return _short(entry, history)
    uri, title = entry.text("spotify_track_uri"), entry.text("master_metadata_track_name")
    song = uri if uri is not None and uri.startswith(_SONG) else None
    if song is None and title is None and entry.get("master_metadata_track_name") is None:
        history.passed_over[_what(entry)] += 1
        return None
    user = entry.text("username")
    history.named = history.named or user or ""
    return (
        user,
        song,
        title,
        entry.text("master_metadata_album_artist_name"),
        entry.text("master_metadata_album_album_name"),
        entry.text("ts"),
        entry.text("reason_end"),
        entry.number("ms_played"),
        entry.truth("skipped"),
        entry.truth("incognito_mode"),
        False,
        entry.line,
    )


def _short(entry: Entry, history: History) -> tuple[Any, ...] | None:
    if entry.get("trackName") is None and entry.get("artistName") is None:
        history.passed_over[_what(entry)] += 1
        return None
    artist, title = entry.text("artistName"), entry.text("trackName")
    return (
        None, None, title, artist, None, entry.text("endTime"), None, entry.number("msPlayed"), None, None,
        True, entry.line,
    )  # fmt: skip


def _what(entry: Entry) -> str:
    """What an entry without a track is."""
    kinds = {
        "episodes of podcasts": ("episode_name", "spotify_episode_uri", "podcastName", "episodeName"),
        "chapters of audiobooks": ("audiobook_title", "audiobook_uri", "audiobookName", "chapterName"),
    }
    return next((kind for kind, names in kinds.items() if any(entry.get(n) is not None for n in names)), "others")
