"""`rockbox`: `.scrobbler.log` of Rockbox and other portable players: tabs between artist, album, title, position,
seconds, `L` or `S`, time and MBID, under lines that begin with `#`.

A song is its MBID, else it is made of its artist and title. `L` (listened) is a `play`, `S` a `skip`. `at` is when it
began, in seconds; with `#TZ/UNKNOWN` the player's clock is taken for UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from graph.batch import Batch
from graph.importers.histories.columns import Columns
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.plays import History
from graph.reading.opened import TextFile

_MARK: Final = "#AUDIOSCROBBLER"
_COMMENTS: Final = (_MARK, "#TZ/", "#CLIENT/")
_FIELDS: Final = ("artist", "album", "title", "place", "seconds", "rating", "time", "song")
_RATINGS: Final = {"L": "play", "S": "skip"}


class Rockbox(HistoryImporter):
    """The logs at `path`."""

    format = "rockbox"
    expected = ".scrobbler.log, whose first line begins with #AUDIOSCROBBLER"

    @classmethod
    def takes(cls, member: Member) -> bool:
        return member.base.endswith((".log", ".txt")) and member.head().lstrip().startswith(_MARK)

    def _read(self, member: Member, history: History) -> None:
        batch = history.batch
        good, bad = [], []
        for number, line in _lines(member, batch):
            if line.startswith("#TZ/UNKNOWN"):
                batch.warn(f"{member.name}: the player knew no time zone; its clock is taken for UTC")
            if not line.strip() or line.startswith(_COMMENTS):
                continue
            fields = line.split("\t")
            fields += [""] * (len(_FIELDS) - len(fields)) if len(fields) == len(_FIELDS) - 1 else []  # no MBID
            if len(fields) != len(_FIELDS):
                bad.append((number, f"expected {len(_FIELDS)} fields, got {len(fields)}", line))
            elif fields[5].strip().upper() not in _RATINGS:
                bad.append((number, "rating: expected L or S", line))
            else:
                good.append([*fields, number])
        batch.read += len(good) + len(bad)
        batch.reject(member.name, bad)
        frame = pl.DataFrame(good, schema={**dict.fromkeys(_FIELDS, pl.String), "line": pl.Int64}, orient="row")
        self._add(frame.with_columns(pl.col(pl.String).replace("", None)), member, history)

    @staticmethod
    def _add(frame: pl.DataFrame, member: Member, history: History) -> None:
        read = Columns(history.batch, member.name, frame["line"])
        plays = frame.with_columns(
            at=read.instants("time", frame["time"], 1000),
            duration=read.lengths("duration", frame["seconds"], 1000),
            action=pl.col("rating")
            .str.strip_chars()
            .str.to_uppercase()
            .replace_strict(_RATINGS, return_dtype=pl.String),
        )
        history.add(plays, file=member.name)


def _lines(member: Member, batch: Batch) -> Iterator[tuple[int, str]]:
    """The lines with their numbers; one that cannot be decoded goes to the rejects."""
    for block in TextFile(member.file).blocks():
        batch.read += len(block.faulty)
        batch.reject(member.name, block.faulty)
        yield from enumerate(block.lines, block.first)
