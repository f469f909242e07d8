"""`lastfm-export`: scrobbles of Last.fm as the usual exporters write them, in CSV or TSV.

With the header `uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid` (in any order), with `Title Artist
Album Date Timestamp` between tabs, or without a header `artist,album,track,"DD MMM YYYY HH:mm"` (UTC, sometimes empty).
A song is its `track_mbid`, else it is made of its artist and title; `at` is when it began. Each scrobble is a `play`.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from graph.batch import listed
from graph.errors import InvalidInput
from graph.importers.histories.columns import Columns, first_of, rows
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.plays import History
from graph.reading.delimited import SEPARATORS, fields_of

_TITLES: Final = ("track", "title")
_TIMES: Final = ("uts", "timestamp", "utc_time", "date")
_BARE: Final = ("artist", "album", "track", "date")
_KNOWN: Final = (*_BARE, *_TITLES, *_TIMES, "artist_mbid", "album_mbid", "track_mbid")
_WRITTEN: Final = re.compile(r"\d{1,2} [A-Za-z]{3,9} \d{4},? \d{1,2}:\d{2}")
_SUFFIXES: Final = (".csv", ".tsv", ".txt")


class LastFMExport(HistoryImporter):
    """The files at `path`."""

    format = "lastfm-export"
    expected = "scrobbles as .csv or .tsv: artist, album, track and their time"

    @classmethod
    def takes(cls, member: Member) -> bool:
        return member.base.endswith(_SUFFIXES) and (_has_header(member) or _is_bare(member))

    def _read(self, member: Member, history: History) -> None:
        bare = not _has_header(member)
        if bare and not _is_bare(member, dated=False):
            raise InvalidInput(f"{member.file}: expected {self.expected}")
        for frame in rows(
            member, history.batch, header=_BARE if bare else None, separator="," if bare else None, expected=_KNOWN
        ):
            if not ("artist" in frame.columns and any(name in frame.columns for name in _TITLES)):
                raise InvalidInput(f"{member.file}: expected the columns artist, track and uts, got {listed(frame)}")
            plays = frame.select(
                "line",
                first_of(frame, *_TITLES).alias("title"),
                pl.col("artist"),
                first_of(frame, "track_mbid").alias("song"),
                first_of(frame, "album").alias("album"),
                first_of(frame, "album_mbid").alias("album_id"),
                first_of(frame, "artist_mbid").alias("artist_id"),
                _times(frame, member, history).alias("at"),
                action=pl.lit("play"),
            )
            history.add(plays, file=member.name, coarse="uts" not in frame.columns and "timestamp" not in frame.columns)


def _times(frame: pl.DataFrame, member: Member, history: History) -> pl.Series:
    """When each began: in seconds, where that is missing as a text."""
    read = Columns(history.batch, member.name, frame["line"])
    texts = first_of(frame, "utc_time", "date")
    if "uts" in frame.columns:
        found = read.instants("uts", frame["uts"], 1000)
    elif "timestamp" in frame.columns:
        found = read.written("Timestamp", frame["timestamp"], numbers=True)
    else:
        return read.written("date", texts)
    rest = texts.set(found.is_not_null(), None)
    return found.zip_with(found.is_not_null(), read.written("utc_time", rest))


def _first_line(member: Member) -> list[str]:
    line = next((line for line in member.head().splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=line.count)
    return [field.strip() for field in fields_of(line, separator, quoted=True) or []]


def _has_header(member: Member) -> bool:
    names = {name.lower() for name in _first_line(member)}
    return "artist" in names and bool(names & set(_TITLES)) and bool(names & set(_TIMES))


def _is_bare(member: Member, *, dated: bool = True) -> bool:
    """Whether most of the first lines are artist, album, title and a time in words or none, `dated`: and one has it."""
    lines = [line for line in member.head().splitlines()[:20] if line.strip()]
    found = [fields_of(line, ",", quoted=True) or [] for line in lines]
    times = [fields[3].strip() for fields in found if len(fields) == len(_BARE)]
    timed = sum(bool(_WRITTEN.fullmatch(time)) for time in times)
    return (timed > 0 or not dated) and (timed + times.count("")) * 2 > len(lines)
