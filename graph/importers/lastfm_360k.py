"""`lastfm-360k`: the Last.fm data set of 360,000 listeners: `usersha1-artmbid-artname-plays.tsv` without a header, and
`usersha1-profile.tsv`.

As in `lastfm` each artist is one song performed by that artist; both have the artist's MBID as id, else one made of the
name. A row is one `play` without a time whose `count` is the row's plays.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import polars as pl

from graph.importers.histories.columns import rows
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.names import made_ids
from graph.importers.histories.plays import History
from graph.importers.histories.profiles import add_profiles
from graph.log.checks import MAX_COUNT
from graph.reading.values import integers

_PLAYS: Final = ("user", "artist_id", "artist", "plays")
_LINE: Final = re.compile(r"[0-9a-f]{40}\t[^\t]*\t[^\t]*\t *\d+")


class LastFM360K(HistoryImporter):
    """The files at `path`."""

    format = "lastfm-360k"
    expected = "usersha1-artmbid-artname-plays.tsv"
    several = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    @classmethod
    def takes(cls, member: Member) -> bool:
        if member.base in (cls.expected, "usersha1-profile.tsv"):
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
            count = integers("plays", frame["plays"], 1, MAX_COUNT)
            counted = frame.with_columns(count=count.values, why=count.problems.fill_null("plays: required"))
            bad = counted.filter(pl.col("count").is_null()).select("line", "why", "user", "artist", "plays")
            history.batch.reject(
                member.name,
                [(line, why, ",".join(field or "" for field in fields)) for line, why, *fields in bad.rows()],
            )
            plays = counted.filter(pl.col("count").is_not_null())
            ids = plays.select(song=pl.coalesce("artist_id", made_ids(plays, "artist")))["song"]
            history.add(
                plays.with_columns(song=ids, artist_id=ids, title="artist", action=pl.lit("play")), file=member.name
            )
