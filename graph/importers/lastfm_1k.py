"""`lastfm-1k`: the Last.fm data set of about a thousand listeners:
`userid-timestamp-artid-artname-traid-traname.tsv` without a header, and `userid-profile.tsv`.

A song is the track's MBID, else it is made of its artist and title; `at` is when it began. Each row is a `play`. Of a
profile gender and the day of joining are kept, and the year of birth is the year of joining less the age.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import polars as pl

from graph.importers.histories.columns import Columns, rows
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.plays import History
from graph.importers.histories.profiles import add_profiles

_PLAYS: Final = ("user", "time", "artist_id", "artist", "song", "title")
_LINE: Final = re.compile(r"[^\t]+\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*")


class LastFM1K(HistoryImporter):
    """The files at `path`."""

    format = "lastfm-1k"
    expected = "userid-timestamp-artid-artname-traid-traname.tsv"
    several = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    @classmethod
    def takes(cls, member: Member) -> bool:
        if member.base in (cls.expected, "userid-profile.tsv"):
            return True
        first = member.head().partition("\n")[0].strip("\r") if member.base.endswith((".tsv", ".txt")) else ""
        return bool(_LINE.fullmatch(first))

    def _rank(self, member: Member) -> int:
        return int("profile" not in member.base)

    def _read(self, member: Member, history: History) -> None:
        if "profile" in member.base:
            add_profiles(member, history.batch)
            return
        for frame in rows(member, history.batch, separator="\t", quoted=False, header=_PLAYS):
            at = Columns(history.batch, member.name, frame["line"]).written("time", frame["time"])
            history.add(frame.with_columns(at.alias("at"), action=pl.lit("play")), file=member.name)
