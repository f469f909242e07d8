"""`deezer`: what Deezer gives to whoever asks: `deezer-data_N.xlsx` with the sheet `10_listeningHistory`.

A song is its ISRC, else it is made of its artists and title. Several artists stand apart by commas. `Listening Time` is
in seconds; `at` is `Date`, when it was played.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import polars as pl

from graph.batch import one_line
from graph.errors import InvalidInput
from graph.importers.histories.columns import Columns
from graph.importers.histories.importer import HistoryImporter
from graph.importers.histories.members import Member
from graph.importers.histories.plays import ARTIST, History, action_of

_SHEET: Final = "10_listeningHistory"
_COLUMNS: Final = {
    "song title": "title", "artist": "artist", "isrc": "song", "album title": "album", "listening time": "seconds",
    "date": "date",
}  # fmt: skip
_BLOCK: Final = 100_000


class Deezer(HistoryImporter):
    """The workbooks at `path`."""

    format = "deezer"
    expected = f"deezer-data_N.xlsx with the sheet {_SHEET}"

    @classmethod
    def takes(cls, member: Member) -> bool:
        return member.base.endswith(".xlsx") and ("deezer" in member.base or _SHEET in _sheets(member))

    def _read(self, member: Member, history: History) -> None:
        header: list[str | None] = []
        block: list[list[str | int | None]] = []
        for number, row in enumerate(_rows(member), 1):
            if not header:
                header = [_COLUMNS.get(_text(cell).strip().lower()) for cell in row]
                if not {"title", "artist"} <= set(header):
                    raise InvalidInput(f"{member.file}: expected the columns Song Title, Artist and Date in {_SHEET}")
                continue
            cells = {name: _text(cell) or None for name, cell in zip(header, row, strict=False) if name}
            if any(cells.values()):
                block.append([*(cells.get(name) for name in _COLUMNS.values()), number])
            if len(block) == _BLOCK:
                self._add(block, member, history)
                block = []
        self._add(block, member, history)

    @staticmethod
    def _add(block: list[list[str | int | None]], member: Member, history: History) -> None:
        frame = pl.DataFrame(
            block, schema={**dict.fromkeys(_COLUMNS.values(), pl.String), "line": pl.Int64}, orient="row"
        )
        history.batch.read += frame.height
        read = Columns(history.batch, member.name, frame["line"])
        names = (
            pl.col("artist")
            .str.split(",")
            .list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))
        )
        artists = frame.select("line", name=names).explode("name").drop_nulls("name")
        grouped = artists.select("line", artist=pl.struct(pl.lit(None, pl.String).alias("id"), "name").cast(ARTIST))
        grouped = grouped.group_by("line").agg(artists="artist")
        plays = frame.join(grouped, on="line", how="left", maintain_order="left").with_columns(
            at=read.written("Date", frame["date"]),
            played=read.lengths("Listening Time", frame["seconds"], 1000),
        )
        unknown = pl.lit(None, dtype=pl.Duration("ms"))
        history.add(plays.with_columns(action=action_of(pl.col("played"), unknown)), file=member.name)


def _text(cell: Any) -> str:
    """What a cell says; a time as ISO 8601."""
    if cell is None:
        return ""
    return cell.isoformat(" ", "milliseconds") if isinstance(cell, datetime) else str(cell).strip()


def _rows(member: Member) -> Iterator[tuple[Any, ...]]:
    """The rows of the sheet.

    Raises: InvalidInput if it is no workbook, or has no such sheet.
    """
    from openpyxl import load_workbook  # only when a workbook is read

    try:
        with member.file.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles that are not there
            book = load_workbook(stream, read_only=True, data_only=True)
            if _SHEET not in book.sheetnames:
                raise InvalidInput(
                    f"{member.file}: expected the sheet {_SHEET}, got {one_line(', '.join(book.sheetnames))}"
                )
            yield from book[_SHEET].iter_rows(values_only=True)
            book.close()
    except InvalidInput:
        raise
    except Exception as failure:
        raise InvalidInput(f"{member.file}: expected a whole workbook ({one_line(str(failure))})") from failure


def _sheets(member: Member) -> str:
    """What the workbook says of its sheets, as XML; empty if it is none."""
    try:
        with member.file.open("rb") as stream, zipfile.ZipFile(stream) as book:
            return book.read("xl/workbook.xml").decode("utf-8", "replace")
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return ""
