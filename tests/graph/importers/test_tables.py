from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import run_import

Read = Callable[..., Batch]


def test_counts_of_the_example(read: Read) -> None:
    batch = read("tables")
    assert {label: frame.height for label, frame in batch.nodes.items()} == {"Song": 2, "User": 2}
    assert {r.key: f.height for r, f in batch.relationships.items()} == {
        "PERFORMED_BY:Song:Artist": 2,
        "FOLLOWS:User:User": 1,
    }
    assert batch.nodes["Song"].rows() == [("s1", "Hello, world", 200000, 0.5), ("s2", "Two", 1000, None)]
    assert batch.events["count"].to_list() == [1, 1, 3]
    assert (batch.exposures.height, batch.read) == (1, 13)
    assert batch.audio_segments is not None
    assert batch.audio_segments.rows()[1] == ("s1", 1, 0.5, 0.75)
    assert batch.bare_nodes()["Artist"]["id"].to_list() == ["a1"]


def test_parquet_gives_what_csv_gives(read: Read, example: Callable[[str], Path]) -> None:
    folder = example("tables")
    before = read("tables", folder)
    for file in list(folder.glob("*.csv")):
        pl.read_csv(file).write_parquet(file.with_suffix(".parquet"))
        file.unlink()
    after = read("tables", folder)
    assert after.events.equals(before.events)
    assert after.nodes["Song"].equals(before.nodes["Song"])


def test_a_bad_row_is_reported_with_its_line_and_stops_no_other(tmp_path: Path) -> None:
    rows = ['s1,"a, b",1', "s2,x,abc", "s3,only two", "s1,again,2", ",none,3", "s4,ok,4"]
    (tmp_path / "songs.csv").write_text("\n".join(["id,title,duration_ms", *rows]))
    (tmp_path / "users.csv").write_text("id\nu1\n")
    result = run_import("tables", tmp_path, None, None, tmp_path, dry_run=True)
    rejects = pl.read_csv(result["rejects_file"])
    assert rejects.select("file", "line", "reason").rows() == [
        ("songs.csv", 3, "duration_ms: expected a duration, got 'abc'"),
        ("songs.csv", 4, "expected 3 fields, got 2: no duration_ms"),
        ("songs.csv", 5, "id: an earlier row has the same"),
        ("songs.csv", 6, "id: required"),
    ]
    assert (result["read"], result["rejected"]) == (7, 2)


def test_a_quoted_line_break_does_not_shift_the_lines(tmp_path: Path, read: Read) -> None:
    (tmp_path / "users.csv").write_text('id,name\nu1,"two\nlines"\n\nu/2,x\n')
    (tmp_path / "songs.csv").write_text("id\ns1\n")
    batch = read("tables", tmp_path)
    assert batch.nodes["User"].rows() == [("u1", "two lines"), ("u%2F2", "x")]
    assert batch.lost.select("line", "reason").rows() == [(2, "name: control characters become blanks")]
    assert batch.warnings == ["users.csv: id: 1 ids hold what no id may: made of the name, 'u/2' is u%2F2"]


def test_strict_makes_a_bad_row_fatal(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,action,song_id\nu,play,s\nu,dance,s\n")
    with pytest.raises(InvalidInput, match=r"1 bad rows \(strict\), the first in events\.csv line 3: action: expected"):
        run_import("tables", tmp_path, None, None, tmp_path, dry_run=True, strict=True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"songs.csv": "id\ns\n"}, "expected events, or songs and users, as .csv, .tsv or .parquet, got songs"),
        ({"events.csv": "user,action\nu,play\n"}, "events.csv: expected the columns user_id, action, got user, action"),
        ({"events.csv": "user_id,user_id\nu,u\n"}, "two columns are named 'user_id'"),
        ({"events.parquet": "PAR1 nonsense PAR1"}, "expected a whole Parquet file"),
        ({"events.csv": "x", "events.parquet": "x"}, "expected one file of events, got events.csv and events.parquet"),
        (
            {"songs.csv": "id\n1\n", "users.csv": "id\n1\n", "song_tag.csv": "song_id\ns\n"},
            "song_tag.csv: expected the columns song_id, tag_id, got song_id",
        ),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_told(
    tmp_path: Path, read: Read, files: dict[str, str], expected: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read("tables", tmp_path)
    assert expected in str(caught.value)


def test_a_truncated_parquet_file_is_named(tmp_path: Path, read: Read) -> None:
    pl.DataFrame({"user_id": ["u"], "action": ["play"]}).write_parquet(tmp_path / "events.parquet")
    data = (tmp_path / "events.parquet").read_bytes()
    (tmp_path / "events.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidInput, match=r"events\.parquet: expected a whole Parquet file"):
        read("tables", tmp_path)


@pytest.mark.parametrize("column", [[["a"]], [{"a": 1}], [b"x"], [True], [1.5]])
def test_a_parquet_column_that_holds_no_ids_is_refused(tmp_path: Path, read: Read, column: list[object]) -> None:
    pl.DataFrame({"user_id": column, "action": ["play"]}).write_parquet(tmp_path / "events.parquet")
    with pytest.raises(InvalidInput, match=r"events\.parquet: column user_id holds .*, expected text"):
        read("tables", tmp_path)


def test_times_may_be_timestamps(tmp_path: Path, read: Read) -> None:
    frame = pl.DataFrame({"user_id": ["u"], "action": ["play"], "song_id": ["s"], "at": [1_700_000_001_500]})
    frame.with_columns(pl.from_epoch("at", time_unit="ms")).write_parquet(tmp_path / "events.parquet")
    assert read("tables", tmp_path).events["at"].to_list() == [1_700_000_001_500]


def test_columns_and_files_without_a_place_are_warned_of(tmp_path: Path, read: Read) -> None:
    (tmp_path / "events.csv").write_text("user_id,action,song_id,colour\nu,play,s,red\n")
    (tmp_path / "song.csv").write_text("id\ns\n")
    assert read("tables", tmp_path).warnings == [
        "song.csv: no table has this name; not read",
        "events.csv: columns that the format does not have are left out: colour",
    ]


def test_every_table_of_the_schema_can_be_read(tmp_path: Path, read: Read) -> None:
    (tmp_path / "songs.csv").write_text("id\ns1\n")
    (tmp_path / "users.csv").write_text("id\nu1\n")
    tables = [r for r in schema.RELATIONSHIPS if r.table is not None]
    for relation in tables:
        names = [relation.source_column, relation.target_column, *(p.name for p in relation.properties)]
        values = ["x", "y", *("2001-01-01" if p.unit == "time" else "1" for p in relation.properties)]
        (tmp_path / f"{relation.table}.csv").write_text(",".join(names) + "\n" + ",".join(values) + "\n")
    batch = read("tables", tmp_path)
    assert set(batch.relationships) == set(tables)
    assert batch.rejects.is_empty()
