"""Columns of a history's table: rows of delimited files, numbers in a known unit, times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def lengths(column: pl.Series, name: str, unit_ms: float, batch: Batch, file: str, line: pl.Series) -> pl.Series:
    """Numbers of a unit of `unit_ms` milliseconds as a Duration("ms"); what is none is reported as lost."""
    found = floats(name, column, 0, _LONGEST_MS / unit_ms)
    _report(found, name, column, batch, file, line)
    return (found.values * unit_ms).round(0).cast(pl.Int64, strict=False).cast(pl.Duration("ms"))


def instants(column: pl.Series, name: str, unit_ms: float, batch: Batch, file: str, line: pl.Series) -> pl.Series:
    """Numbers of a unit of `unit_ms` milliseconds since 1970 as a Datetime("ms"); what is none is reported as lost."""
    found = floats(name, column, -_FAR_MS / unit_ms, _FAR_MS / unit_ms)
    _report(found, name, column, batch, file, line)
    return (found.values * unit_ms).round(0).cast(pl.Int64, strict=False).cast(pl.Datetime("ms"))


def written(
    column: pl.Series, name: str, batch: Batch, file: str, line: pl.Series, *, numbers: bool = False
) -> pl.Series:
    """Texts of dates and times as a Datetime("ms"); with `numbers` numbers too, in the unit that the column tells.

    What is none is reported as lost.
    Raises: InvalidInput if no unit makes the column's numbers plausible.
    """
    if not numbers:
        bare = column.str.contains(r"^\s*-?[\d.]+\s*$").fill_null(value=False)
        why = [
            (n, name, text, f"{name}: expected a time, got '{text[:40]}'")
            for n, text in zip(line.filter(bare), column.filter(bare), strict=True)
        ]
        batch.lose(file, why)
        column = column.set(bare, None)
    found = times(name, column, now=batch.now, events=True, file=file)
    _report(found, name, column, batch, file, line)
    return found.values.cast(pl.Datetime("ms"))


def _report(found: Values, name: str, column: pl.Series, batch: Batch, file: str, line: pl.Series) -> None:
    if found.note is not None and found.note not in batch.warnings:
        batch.warn(f"{file}: {found.note}")
    if found.problems.null_count() < len(column):
        frame = pl.DataFrame({"line": line, "value": column.cast(pl.String, strict=False), "why": found.problems})
        lost = frame.drop_nulls("why")
        batch.lose(file, [(number, name, value, why) for number, value, why in lost.rows()])
