"""Tables of texts: which separator, where a field ends, and which rows are no rows.

Most files have a line for each row and no quotes; polars reads those. A row is read by itself only where that takes a
closer look: it has a quote, or not as many fields as there are columns.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from graph.errors import InvalidInput
from graph.reading.opened import BLOCK_BYTES, Block, Readable, TextFile

SEPARATORS: Final = (",", "\t", ";", "|")
_MOST_LINES: Final = 100  # that a quoted field may have; an unclosed quote is looked for no further
FREE: Final = ("title", "name")
"""Columns of free text: where a row has too many fields, the separators that are too many are theirs."""
Finding = tuple[int, str, str]  # line, reason, text


@dataclass
class Rows:
    """Some rows of a table: `frame` has the columns (String; an empty field is null) and `line` (Int64).

    read: how many rows the file had, good and bad; bad: those that are none; mended: those that are kept, and what was
    found wrong with them.
    """

    frame: pl.DataFrame
    read: int
    bad: list[Finding] = field(default_factory=list)
    mended: list[Finding] = field(default_factory=list)


@dataclass
class Delimited:
    """A file of fields that a separator parts.

    separator: None finds it out in the first line. quoted: whether a field may stand in double quotes (RFC 4180).
    header: the columns' names, for a file whose first line is a row already. expected: names by which the separator is
    found. otherwise: as `TextFile` has it.
    """

    path: Readable
    separator: str | None = None
    quoted: bool = True
    header: Sequence[str] | None = None
    expected: Sequence[str] = ()
    otherwise: str | None = None
    note: str | None = None

    def rows(self, size: int = BLOCK_BYTES) -> Iterator[Rows]:
        """The rows in blocks of about `size` bytes; the first one comes even without any row.

        Raises: InvalidInput for a file that is empty or damaged, or has two columns of one name.
        """
        file = TextFile(self.path, self.otherwise)
        names: list[str] = list(self.header or ())
        separator = self.separator or ""
        waiting = ""  # lines whose last row goes on in the next block
        blocks = file.blocks(size)
        block: Block | None = next(blocks)
        while block is not None:
            following = next(blocks, None)
            block = Block(waiting + block.text, block.first - waiting.count("\n"), block.faulty)
            if not separator:
                separator = self._found(next((line for line in block.lines if line.strip()), ""))
            if not names:
                names, block = self._named(block, separator)
            found, waiting = _read(block, names, separator, self.quoted, more=following is not None)
            found.bad.extend(block.faulty)
            found.read += len(block.faulty)
            yield found
            block = following
        self.note = file.note

    def _found(self, first: str) -> str:
        """The separator by which most names are expected ones, or else with which there are most."""

        def gain(separator: str) -> tuple[int, int]:
            names = [_plain(name) for name in fields_of(first, separator, quoted=self.quoted) or ()]
            return sum(name in self.expected for name in names), len(names)

        return max(SEPARATORS, key=gain)

    def _named(self, block: Block, separator: str) -> tuple[list[str], Block]:
        """The names in the first line that is not blank, and the lines below it."""
        skip, rest = 0, block.text
        while True:
            first, _, rest = rest.partition("\n")
            skip += 1
            if first.strip() or not rest:
                break
        names = fields_of(first, separator, quoted=self.quoted) or first.split(separator)
        names = [name.strip() for name in names]
        while len(names) > 1 and not names[-1]:
            names.pop()  # spreadsheets end lines with separators
        repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if repeated is not None:
            shown = "".join(c if c.isprintable() else "?" for c in repeated[:200])
            raise InvalidInput(f"{self.path}: two columns are named {shown!r}")
        return names, Block(rest, block.first + skip, block.faulty)


def _plain(name: str) -> str:
    return name.strip().lower()


def _read(block: Block, names: Sequence[str], separator: str, quoted: bool, *, more: bool) -> tuple[Rows, str]:
    """The rows of some lines, and the lines at their end that are to be read with the next ones (`more` follow)."""
    whole = _regular(block, names, separator, quoted)
    if whole is not None:
        return whole, ""
    width, first, lines = len(names), block.first, block.lines
    text = pl.Series("text", lines, dtype=pl.String)
    odd = text.str.count_matches(separator, literal=True) != width - 1
    if quoted:
        odd |= text.str.contains('"', literal=True)
    if width == 1:
        odd |= text.str.strip_chars() == ""
    frame = pl.DataFrame({"text": text}).with_columns(line=pl.int_range(first, first + pl.len(), dtype=pl.Int64))
    if not odd.any():
        return Rows(_split(frame, names, separator), frame.height), ""
    faulty = {line for line, _, _ in block.faulty}
    own = _Own(lines, first, names, separator, quoted, more, faulty)
    own.read([int(i) for i in odd.arg_true()])
    plain = frame.filter(~odd)
    if own.taken:
        taken = pl.Series(sorted(own.taken), dtype=pl.Int64)
        plain = plain.filter(~pl.col("line").is_in((taken + first).implode()))
    if own.waiting:
        plain = plain.filter(pl.col("line") < first + len(lines) - own.waiting)
    kinds = {**dict.fromkeys(names, pl.String), "line": pl.Int64}
    parsed = pl.DataFrame(own.good, schema=kinds, orient="row")
    both = pl.concat([_split(plain, names, separator), parsed]).sort("line", maintain_order=True)
    rows = Rows(both, both.height + len(own.bad), own.bad, own.mended)
    return rows, "\n".join([*lines[len(lines) - own.waiting :], ""]) if own.waiting else ""


def _regular(block: Block, names: Sequence[str], separator: str, quoted: bool) -> Rows | None:
    """The rows, if each line has its fields and no quote; None if that takes a closer look."""
    size, text = block.size, block.text
    if len(names) == 1 or (quoted and '"' in text) or text.count(separator) != (len(names) - 1) * size:
        return None
    kinds = dict.fromkeys(names, pl.String)
    if not size:
        return Rows(pl.DataFrame(schema={**kinds, "line": pl.Int64}), 0)
    try:
        # polars refuses a line with too many fields; since the sum is right, there is none with too few either
        frame = pl.read_csv(text.encode(), has_header=False, separator=separator, quote_char=None, schema=kinds)
    except pl.exceptions.PolarsError:
        return None
    if frame.height != size:
        return None
    return Rows(frame.with_columns(line=pl.int_range(block.first, block.first + size, dtype=pl.Int64)), size)


def _split(frame: pl.DataFrame, names: Sequence[str], separator: str) -> pl.DataFrame:
    """Lines that have as many fields as there are columns, none of them quoted."""
    kinds = dict.fromkeys(names, pl.String)
    if frame.is_empty():
        return pl.DataFrame(schema={**kinds, "line": pl.Int64})
    if len(names) == 1:
        return frame.select(pl.col("text").alias(names[0]), "line")
    try:
        fields = pl.read_csv(
            io.BytesIO("\n".join(frame["text"]).encode()),
            has_header=False, separator=separator, quote_char=None, schema=kinds,
        )  # fmt: skip
        if fields.height == frame.height:
            return fields.with_columns(frame["line"])
    except pl.exceptions.PolarsError:
        pass
    parts: pl.DataFrame = (
        frame["text"].str.split_exact(separator, len(names) - 1).struct.renamefields_of(list(names)).struct.unnest()
    )
    return parts.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)) for name in names).with_columns(
        frame["line"]
    )


class _Own:
    """Reads rows one by one: lines with quotes, and lines that have not as many fields as there are columns."""

    def __init__(
        self,
        lines: list[str],
        first: int,
        names: Sequence[str],
        separator: str,
        quoted: bool,
        more: bool,
        faulty: set[int],
    ) -> None:
        self._lines, self._first, self._names, self._separator = lines, first, names, separator
        self._quoted, self._more, self._faulty = quoted, more, faulty
        free = [i for i, name in enumerate(names) if _plain(name.partition(":")[0]) in FREE]
        self._free = free[0] if len(free) == 1 else None
        self.good: list[list[str | int | None]] = []
        self.bad: list[Finding] = []
        self.mended: list[Finding] = []
        self.taken: set[int] = set()  # lines that belong to a row that began above them
        self.waiting = 0  # lines at the end that belong to a row which may go on

    def read(self, odd: list[int]) -> None:
        for i in odd:
            blank = not self._lines[i].strip() and self._separator not in self._lines[i]
            if not blank and i not in self.taken and self._first + i not in self._faulty and self._row(i):
                return

    def _row(self, i: int) -> bool:
        """Read the row that begins in line `i`; true if the lines from it on are to wait."""
        line, width = self._lines[i], len(self._names)
        row = fields_of(line, self._separator, quoted=self._quoted)
        if row is None:
            upto = min(i + _MOST_LINES, len(self._lines))
            for last in range(i + 2, upto + 1):
                text = "\n".join(self._lines[i:last])
                row = fields_of(text, self._separator, quoted=True, whole=True)
                if row is not None:
                    break
            else:
                if self._more and upto == len(self._lines):
                    self.waiting = len(self._lines) - i
                    return True
            if not row or len(row) != width or self._swallows_rows(i + 1, last):
                self.bad.append((self._first + i, "a quote is opened and never closed", line))
                return False
            self.taken.update(range(i + 1, last))
        elif "\r" in line and len(row) != width:
            pieces = [fields_of(piece, self._separator, quoted=self._quoted) for piece in line.split("\r")]
            if all(piece is not None and len(piece) == width for piece in pieces):
                for piece in pieces:
                    self._keep(i, piece or [])
                return False
        self._fit(i, row)
        return False

    def _swallows_rows(self, start: int, end: int) -> bool:
        """Whether lines that a quote above them would take in are rows of their own: one of those before the last,
        which has a quote at the end of a field, or even that one. With two columns a line of text may look like a row;
        there it takes half of them."""
        if len(self._names) == 1:
            return False
        rows = [self._is_row(line) for line in self._lines[start:end] if line.strip()]
        found = sum(rows[:-1])
        return rows[-1] or (found > 0 if len(self._names) > 2 else found * 2 > len(rows[:-1]))

    def _is_row(self, line: str) -> bool:
        fields = fields_of(line, self._separator, quoted=True)
        return fields is not None and len(fields) == len(self._names) and not any(f.endswith('"') for f in fields)

    def _fit(self, i: int, row: list[str]) -> None:
        """Keep a row with as many fields as there are columns, or the nearest that it can have been."""
        width, line, shown = len(self._names), self._first + i, self._lines[i]
        found = len(row)
        if found > width and not any(value.strip() for value in row[width:]):
            row = row[:width]  # spreadsheets end lines with separators
        elif found > width and self._free is not None:
            extra, free = found - width, self._free
            row = [*row[:free], self._separator.join(row[free : free + extra + 1]), *row[free + extra + 1 :]]
            said = f"expected {width} fields, got {found}: what is too much is taken for part of {self._names[free]}"
            self.mended.append((line, said, shown))
        elif found > width:
            self.bad.append((line, f"expected {width} fields, got {found}", shown))
            return
        elif found < width:
            missing = ", ".join(self._names[found:])
            self.mended.append((line, f"expected {width} fields, got {found}: no {missing}", shown))
            row = row + [""] * (width - found)
        self._keep(i, row)

    def _keep(self, i: int, row: list[str]) -> None:
        self.good.append([*(value or None for value in row), self._first + i])


_CLOSED: Final = re.compile(r'"((?:[^"]|"")*+)"[ ]*')


def fields_of(text: str, separator: str, *, quoted: bool, whole: bool = False) -> list[str] | None:
    """The fields of a row, or None if a quote is opened and not closed in it.

    A field that begins with a quote ends at the next one (two stand for one) if a separator or the end comes after it;
    otherwise the quotes are part of a text such as `"Weird Al" live`. With `whole` that is no such text, since a row of
    several lines has to be quoted: [].
    """
    if not quoted or '"' not in text:
        return text.split(separator)
    fields, at, size = [], 0, len(text)
    while True:
        start = at
        if separator != " ":
            while start < size and text[start] == " ":
                start += 1
        if start < size and text[start] == '"':
            closed = _CLOSED.match(text, start)
            if closed is None:
                return None
            end = closed.end()
            if end == size or text.startswith(separator, end):
                fields.append(closed[1].replace('""', '"'))
                if end == size:
                    return fields
                at = end + 1
                continue
            if whole:
                return []
        end = text.find(separator, at)
        if end < 0:
            fields.append(text[at:])
            return fields
        fields.append(text[at:end])
        at = end + 1
