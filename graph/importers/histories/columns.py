"""Columns of a history's table: rows of delimited files, numbers in a known unit, times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from graph.batch import Batch, listed
from graph.errors import InvalidInput
from graph.importers.histories.members import Member
from graph.reading.delimited import Delimited
from graph.reading.values import Values, floats, times

_LONGEST_MS: Final = 10**10  # as a song's duration
_FAR_MS: Final = 10**14


def rows(
    member: Member,
    batch: Batch,
    *,
    separator: str | None = None,
    quoted: bool = True,
    header: Sequence[str] | None = None,
    expected: Sequence[str] = (),
) -> Iterator[pl.DataFrame]:
    """The rows of a delimited file in blocks: its columns (String), named in small letters, and `line`.

    `header`: the names, for a file whose first line is a row already; `expected`: names that tell the separator.
    Raises: InvalidInput for a file that is empty or damaged, or has two columns of one name.
    """
    file = Delimited(member.file, separator, quoted, header, expected)
    for block in file.rows():
        batch.read += block.read
        batch.reject(member.name, block.bad)
        batch.lose(member.name, [(line, "", text, reason) for line, reason, text in block.mended])
        names = [name.strip().lower() for name in block.frame.columns]
        if len(set(names)) < len(names):
            raise InvalidInput(f"{member.file}: two columns have the same name, but for case: {listed(block.frame)}")
        yield block.frame.rename(dict(zip(block.frame.columns, names, strict=True)))
    if file.note is not None:
        batch.warn(f"{member.name}: {file.note}")


def first_of(frame: pl.DataFrame, *names: str) -> pl.Series:
    """Per row the first value among those columns that the frame has (String); nulls if it has none of them."""
    found = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    for name in names:
        if name in frame.columns:
            found = found.zip_with(found.is_not_null(), frame[name])
    return found


@dataclass(frozen=True)
class Columns:
    """Reads columns of some rows of a file; what cannot be read is reported to the batch. `line`: of each row."""

    batch: Batch
    file: str
    line: pl.Series

    def lengths(self, name: str, column: pl.Series, unit_ms: float) -> pl.Series:
        """Duration("ms") of numbers in a unit of `unit_ms` milliseconds."""
        found = self.kept(name, column, floats(name, column, 0, int(_LONGEST_MS / unit_ms)))
        return (found * unit_ms).round(0).cast(pl.Int64, strict=False).cast(pl.Duration("ms"))

    def instants(self, name: str, column: pl.Series, unit_ms: float) -> pl.Series:
        """Datetime("ms") of numbers since 1970 in a unit of `unit_ms` milliseconds."""
        far = int(_FAR_MS / unit_ms)
        found = self.kept(name, column, floats(name, column, -far, far))
        return (found * unit_ms).round(0).cast(pl.Int64, strict=False).cast(pl.Datetime("ms"))

    def written(self, name: str, column: pl.Series, *, numbers: bool = False) -> pl.Series:
        """Datetime("ms") of texts of dates and times; with `numbers` of numbers too, in the unit that the column tells.

        Raises: InvalidInput if no unit makes the column's numbers plausible.
        """
        if not numbers:
            bare = column.str.contains(r"^\s*-?[\d.]+\s*$").fill_null(value=False)
            lost = zip(self.line.filter(bare), column.filter(bare), strict=True)
            self.batch.lose(
                self.file, [(n, name, text, f"{name}: expected a time, got '{text[:40]}'") for n, text in lost]
            )
            column = column.set(bare, None)
        found = times(name, column, now=self.batch.now, events=True, file=self.file)
        return self.kept(name, column, found).cast(pl.Datetime("ms"))

    def kept(self, name: str, column: pl.Series, found: Values) -> pl.Series:
        """The values of a column that could be read; the others are reported."""
        if found.note is not None and f"{self.file}: {found.note}" not in self.batch.warnings:
            self.batch.warn(f"{self.file}: {found.note}")
        if found.problems.null_count() < len(column):
            raw = column.cast(pl.String, strict=False)
            lost = pl.DataFrame({"line": self.line, "value": raw, "why": found.problems}).drop_nulls("why")
            self.batch.lose(self.file, [(line, name, value, why) for line, value, why in lost.rows()])
        return found.values
