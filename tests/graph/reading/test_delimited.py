"""Tables of texts as people have them, and tables that were damaged at random."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.errors import InvalidInput
from graph.reading.delimited import Delimited, Finding

SIZES = (1, 7, 64, 1 << 20)


def read(path: Path, size: int = 1 << 20, **options: object) -> tuple[list[tuple[object, ...]], list[Finding], int]:
    """Rows without their lines, bad rows, rows read; the same for every block size, or the test fails."""
    blocks = list(Delimited(path, **options).rows(size))  # type: ignore[arg-type]
    rows = pl.concat([block.frame for block in blocks]).drop("line").rows()
    return rows, [bad for block in blocks for bad in block.bad], sum(block.read for block in blocks)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_encoding_and_line_end(tmp_path: Path, end: str, encoding: str) -> None:
    lines = ["id,title", "s1,Björk 🎵", "s2,二"]
    for last in ("", end):
        file = written(tmp_path / "t.csv", end.join(lines) + last, encoding)
        for size in (4, 8, 64):
            assert read(file, size) == ([("s1", "Björk 🎵"), ("s2", "二")], [], 2)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('s1,"a, b"', ("s1", "a, b")),
        ('s1,"say ""hi"""', ("s1", 'say "hi"')),
        ('s1,"Weird Al" live', ("s1", '"Weird Al" live')),
        ('s1,12" single', ("s1", '12" single')),
        ('s1, "a, b" ', ("s1", "a, b")),
        ("s1,Hello, Goodbye", ("s1", "Hello, Goodbye")),
        ("s1,a,,", ("s1", "a")),
        ("s1", ("s1", None)),
        ('"s1",""', ("s1", None)),
        ('s1,"two\nlines, x"', ("s1", "two\nlines, x")),
    ],
)
def test_what_a_line_says(tmp_path: Path, line: str, fields: tuple[str | None, ...]) -> None:
    file = written(tmp_path / "t.csv", f"id,title\n{line}\ns2,after\n")
    for size in SIZES:
        assert read(file, size) == ([fields, ("s2", "after")], [], 2)


@pytest.mark.parametrize("opened", ['"Heroes', '"Heroes, live', '"""', '"""Heroes""'])
def test_an_unclosed_quote_costs_one_line(tmp_path: Path, opened: str) -> None:
    lines = ["id,title", *(f"s{i},Song {i}" for i in range(1, 400)), 'q,"fine, too"', 'r,9" single']
    lines.insert(200, f"bad,{opened}")
    file = written(tmp_path / "t.csv", "\n".join(lines))
    for size in (*SIZES, 3000):
        rows, bad, count = read(file, size)
        assert len(rows) == 401
        assert rows[-2:] == [("q", "fine, too"), ("r", '9" single')]
        assert (count, [line for line, *_ in bad]) == (402, [201])
        assert bad[0][1] == "a quote is opened and never closed"


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_found_in_the_header(tmp_path: Path, separator: str) -> None:
    file = written(tmp_path / "t.csv", f"id{separator}title\ns1{separator}a b\n")
    assert read(file, expected=("id", "title"))[0] == [("s1", "a b")]


def test_a_comma_in_a_header_of_tabs_does_not_part_it(tmp_path: Path) -> None:
    file = written(tmp_path / "t.tsv", "id\ttitle, as sung, by whom, and when\ns1\ta\n")
    assert read(file, expected=("id",))[0] == [("s1", "a")]


@pytest.mark.parametrize("packed", ["gz", "zst", "zip"])
def test_packed_files_are_read_whatever_they_are_called(tmp_path: Path, packed: str) -> None:
    text = b"id,title\n" + b"".join(b"s%d,Song\n" % i for i in range(5000))
    file = tmp_path / "t.csv"
    if packed == "gz":
        file.write_bytes(gzip.compress(text))
    elif packed == "zst":
        file.write_bytes(pa.Codec("zstd").compress(text, asbytes=True))
    else:
        with zipfile.ZipFile(file, "w") as whole:
            whole.writestr("__MACOSX/._t.csv", "x")
            whole.writestr("t.csv", text)
    assert read(file, 1000)[2] == 5000
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    with pytest.raises(InvalidInput, match=r"t\.csv: (damaged|expected a whole zip)"):
        read(file)


def test_a_byte_of_another_encoding_costs_its_row(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("id,title\ns1,Björk\n".encode() + b"s2,Beyonc\xe9\ns3,x\n")
    for size in SIZES:
        rows, bad, count = read(file, size)
        assert (rows, count) == ([("s1", "Björk"), ("s3", "x")], 3)
        assert bad == [(3, "expected UTF-8 text, got the byte 0xe9", "s2,Beyonc\ufffd")]


def test_a_zero_byte_costs_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"id,title\ns1,a\0b\ns2,x\n")
    rows, bad, count = read(file, 5)
    assert (rows, bad, count) == ([("s2", "x")], [(2, "expected text, got a zero byte", "s1,a\0b")], 2)


def test_a_file_of_windows_is_read_as_that_and_it_is_said(tmp_path: Path) -> None:
    names = ["Beyoncé", "Björk", "Sigur Rós", "“Weird Al”", "plain"]
    file = written(tmp_path / "t.csv", "id,name\n" + "".join(f"{i},{n}\n" for i, n in enumerate(names)), "cp1252")
    table = Delimited(file)
    assert [row for block in table.rows() for row in block.frame["name"]] == names
    assert table.note == "not UTF-8, read as Windows-1252"


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="the file is empty"):
        read(written(tmp_path / "t.csv", text))


FIELD = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=6) | st.sampled_from(
    ['"', '""', ",", 'a"b', '"a" b', "two\nlines", " "]
)


@settings(max_examples=400, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 99).map(str), FIELD, FIELD), min_size=1, max_size=12),
    size=st.sampled_from((1, 5, 33, 1 << 20)),
    separator=st.sampled_from((",", "\t", ";")),
)
def test_what_is_written_by_the_book_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], size: int, separator: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerows([("id", "a", "b"), *rows])
    file = written(tmp_path_factory.mktemp("book") / "t.csv", out.getvalue())
    found, bad, count = read(file, size, separator=separator)
    assert (found, bad, count) == ([tuple(value or None for value in row) for row in rows], [], len(rows))


@settings(max_examples=600, deadline=None)
@given(data=st.data(), size=st.sampled_from((3, 40, 1 << 20)))
def test_damage_costs_the_lines_that_it_is_in(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, size: int
) -> None:
    lines = [f"s{i},{1000 + i},t{i}".encode() for i in range(30)]
    hurt = data.draw(st.sets(st.integers(0, 29), max_size=6))
    for i in hurt:
        damage = data.draw(st.sampled_from((b'"', b"\xff", b"\xc3(", b",x,y,z", b'"a,', b"\x00", b"")))
        at = data.draw(st.integers(0, len(lines[i])))
        lines[i] = lines[i][:at] + damage + lines[i][at:]
    file = tmp_path_factory.mktemp("damage") / "t.csv"
    file.write_bytes(b"id,tier,code\n" + b"\n".join(lines) + data.draw(st.sampled_from((b"", b"\n"))))
    found, bad, count = read(file, size)
    assert len(found) + len(bad) == count
    assert 30 - count < max(1, len(hurt))  # a quote at the front and one at a later end make one row of several lines
    whole = [(f"s{i}", str(1000 + i), f"t{i}") for i in range(30) if i not in hurt]
    assert [row for row in found if row in set(whole)] == whole
    assert {line - 2 for line, *_ in bad} <= hurt
