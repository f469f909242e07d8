"""Inputs as people bring them: a row loses only what is wrong in it, and everything that is lost is told."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import run_import
from graph.log.events import EventLog
from graph.sources.registry import find, sources
from graph.sources.withdraw import forget
from graph.store.store import GraphStore

Read = Callable[..., Batch]


def folder_of(folder: Path, **tables: str) -> Path:
    for name, text in {"users": "id\nu1\n", **tables}.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_a_song_loses_only_what_is_wrong_in_it(tmp_path: Path) -> None:
    songs = "\n".join(
        (
            "id,title,duration_ms,released_at,tier,language",
            "s1,Old,200000,-326246400000,1,en",
            "s2,Dated,215.4,1999-05-01,1,NULL",
            "s3,Lost,long,soon,x,N/A",
            "s4,A\ttab,1000000,1959,1.0,de",
            "s5,None,-5,99999999999999999999,1e9,",
        )
    )
    result = run_import("tables", folder_of(tmp_path, songs=songs), None, None, tmp_path, dry_run=True)
    assert (result["read"], result["rejected"]) == (6, 0)
    lost = pl.read_csv(result["rejects_file"]).select("file", "line", "field", "value")
    assert lost.rows() == [
        ("songs.csv", 4, "duration_ms", "long"),
        ("songs.csv", 4, "released_at", "soon"),
        ("songs.csv", 4, "tier", "x"),
        ("songs.csv", 5, "title", "A\ttab"),
        ("songs.csv", 6, "duration_ms", "-5"),
        ("songs.csv", 6, "released_at", "99999999999999999999"),
        ("songs.csv", 6, "tier", "1e9"),
    ]
    assert "songs.csv: 2 values were not as they should be, the first in line 4: tier: expected" in str(
        result["warnings"]
    )


def test_what_is_kept_of_them(tmp_path: Path, read: Read) -> None:
    songs = "id,title,duration_ms,released_at\ns1,A,200,1959\ns2,B,x,1999-05-01\ns3,C,180.5,NULL\n"
    batch = read("tables", folder_of(tmp_path, songs=songs))
    assert batch.nodes["Song"].rows() == [
        ("s1", "A", 200_000, -347_155_200_000),
        ("s2", "B", None, 925_516_800_000),
        ("s3", "C", 180_500, None),
    ]
    assert batch.warnings == ["songs.csv: duration_ms: read as seconds", "songs.csv: released_at: read as years"]


def test_a_birth_year_out_of_bounds_does_not_lose_its_listener(tmp_path: Path, read: Read) -> None:
    batch = read("tables", folder_of(tmp_path, songs="id\ns\n", users="id,birth_year\nu1,80\nu2,1980\n"))
    assert batch.nodes["User"].rows() == [("u1", None), ("u2", 1980)]
    assert batch.lost["reason"].to_list() == ["birth_year: expected 1850 to 2200, got '80'"]


def test_events_in_seconds_are_read_as_that(tmp_path: Path, read: Read) -> None:
    rows = "user_id,action,song_id,at\nu1,play,s1,1700000000\nu1,play,s2,1700000240\n"
    batch = read("tables", folder_of(tmp_path, events=rows))
    assert batch.events["at"].to_list() == [1_700_000_000_000, 1_700_000_240_000]
    assert batch.warnings == ["events.csv: at: read as seconds"]


def test_events_at_no_time_of_any_unit_are_refused(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InvalidInput, match=r"events\.csv: at: no unit makes these times plausible, 0 to 60"):
        read("tables", folder_of(tmp_path, events="user_id,action,song_id,at\nu1,play,s1,0\nu1,play,s2,60\n"))


def test_an_event_keeps_what_is_right_in_it(tmp_path: Path, read: Read) -> None:
    rows = "user_id,action,song_id,count,rating,latitude,longitude\nu1,play,s1,x,good,47,\nu1,play,s2,2,4,47,200\n"
    batch = read("tables", folder_of(tmp_path, events=rows))
    kept = batch.events.select("song_id", "count", "rating", "latitude", "longitude")
    assert kept.rows() == [("s1", 1, None, None, None), ("s2", 2, 4.0, None, None)]
    assert batch.lost.select("line", "field").rows() == [
        (2, "count"), (2, "rating"), (2, "latitude"), (3, "longitude"), (3, "latitude"),
    ]  # fmt: skip


def test_packed_and_tabbed_tables_are_read_and_what_nobody_reads_is_named(tmp_path: Path, read: Read) -> None:
    folder_of(tmp_path, songs="id\ns1\n")
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(b"user_id,action,song_id\nu1,play,s1\n"))
    (tmp_path / "Follows.TSV").write_text("user_id\tfollowed_id\nu1\tu2\n")
    (tmp_path / "artists.csv.zst").write_bytes(pa.Codec("zstd").compress(b"id;name\r\na1;A, B\r\n", asbytes=True))
    (tmp_path / "notes.md").write_text("x")
    batch = read("tables", tmp_path)
    assert batch.events["song_id"].to_list() == ["s1"]
    assert batch.relationships[schema.relationship("FOLLOWS", "User", "User")].rows()[0][:2] == ("u1", "u2")
    assert batch.nodes["Artist"].rows() == [("a1", "A, B")]
    assert batch.warnings == ["notes.md: no table has this name; not read"]


def test_names_that_no_id_may_be_are_kept_as_names(tmp_path: Path, read: Read) -> None:
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    (tmp_path / "x.item").write_text("item_id:token\tartist_name:token\tgenre:token\n2\tAC/DC\tHip-Hop/Rap\n")
    batch = read("recbole", tmp_path)
    assert batch.nodes["Artist"].rows() == [("AC%2FDC", "AC/DC")]
    assert batch.nodes["Genre"].rows() == [("Hip-Hop%2FRap", "Hip-Hop/Rap")]
    assert batch.relationships[schema.relationship("PERFORMED_BY", "Song", "Artist")].rows() == [("2", "AC%2FDC")]
    assert batch.rejects.is_empty()


@pytest.mark.parametrize("name", ["lightgcn", "s3rec"])
@pytest.mark.parametrize("separator", [" ", "\t", ",", "  ", ", "])
def test_lists_are_parted_by_blanks_tabs_or_commas(tmp_path: Path, read: Read, name: str, separator: str) -> None:
    (tmp_path / "train.txt").write_text("\n".join(separator.join(line.split()) for line in ("0 1 2", "1 2 3", "2 3")))
    path = tmp_path if name == "lightgcn" else tmp_path / "train.txt"
    events = read(name, path).events
    assert events.select("user_id", "song_id").rows() == [("0", "1"), ("0", "2"), ("1", "2"), ("1", "3"), ("2", "3")]


@pytest.mark.parametrize("line", ["{i} {j} 5 88125009{i}", "{i}\t{j}\t4\t88125009{i}", "{i},{j},88125009{i}"])
def test_ratings_with_times_are_no_lists(tmp_path: Path, read: Read, line: str) -> None:
    (tmp_path / "train.txt").write_text("\n".join(line.format(i=i, j=i + 1) for i in range(5)))
    with pytest.raises(InvalidInput, match=r"expected a user and its items a line, got \d fields in each line"):
        read("lightgcn", tmp_path)


def test_a_header_of_lists_is_told_from_a_row(tmp_path: Path, read: Read) -> None:
    (tmp_path / "train.txt").write_text("user items\n0 1\n1 2\n")
    batch = read("lightgcn", tmp_path)
    assert batch.events["user_id"].to_list() == ["0", "1"]
    assert batch.warnings == ["train.txt: the first line is taken for a header"]


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("id_1,id_2\n0,1\n1,2\n", [("0", "1"), ("1", "2")]),
        ("artist_a,artist_b\nX,Y\nY,Z\n", [("X", "Y"), ("Y", "Z")]),
        ("who,whom\n0,1\n1,2\n", [("0", "1"), ("1", "2")]),
        ("a b strength\nx y 1\ny z 2.5\n", [("x", "y"), ("y", "z")]),
        ('"Earth, Wind",b\nb,"say ""hi"""\n', [("Earth, Wind", "b"), ("b", 'say "hi"')]),
        ("a;b\nb;c\n", [("a", "b"), ("b", "c")]),
        ("a\rb\r", []),
    ],
)
def test_edges_as_people_write_them(tmp_path: Path, read: Read, text: str, edges: list[tuple[str, str]]) -> None:
    file = tmp_path / "e.csv"
    file.write_text(text, newline="")
    found = read("edgelist", file).relationships.get(schema.relationship("RELATED", "Entity", "Entity"))
    assert found is not None
    assert found.select("source", "target").rows() == edges


def test_whoever_knows_says_whether_there_is_a_header(tmp_path: Path, read: Read) -> None:
    file = tmp_path / "e.csv"
    file.write_text("from,to\nx,y\n")
    related = schema.relationship("RELATED", "Entity", "Entity")
    assert read("edgelist", file, header=False).relationships[related].height == 2
    file.write_text("x,y\ny,z\n")
    assert read("edgelist", file, header=True).relationships[related].height == 1


def test_strict_refuses_a_single_lost_value(tmp_path: Path) -> None:
    folder_of(tmp_path, songs="id,tier\ns1,x\n")
    with pytest.raises(InvalidInput, match=r"1 bad values \(strict\), the first in songs\.csv line 2: tier: expected"):
        run_import("tables", tmp_path, None, None, tmp_path, dry_run=True, strict=True)


@pytest.mark.parametrize("unlike", ["7.0", "7 ", " 7", "7\u200b", "\ufeff7"])
def test_ids_that_only_look_like_a_known_one_are_told(tmp_path: Path, unlike: str) -> None:
    rows = f"user_id,action,song_id\nu1,play,7\nu1,play,8\nu1,play,{unlike}\nu1,play,\\N\n"
    folder_of(tmp_path, songs="id\n7\n8\n", events=rows)
    result = run_import("tables", tmp_path, None, None, tmp_path, dry_run=True)
    assert result["warnings"] == [f"2 of 4 events name none of songs, e.g. {unlike!r} ('7' exists)"]


def test_ids_of_relations_that_join_nothing_are_told(tmp_path: Path) -> None:
    pairs = "song_id,artist_id\nBjo\u0308rk,a\nBjörk,b\n"
    folder_of(tmp_path, songs="id\nBjörk\n", song_artist=pairs, artists="id\nb\n")
    result = run_import("tables", tmp_path, None, None, tmp_path, dry_run=True)
    assert result["warnings"] == [
        r"1 of 2 song_artist name none of songs, e.g. 'Bjo\u0308rk' ('Björk' exists)",
        "1 of 2 song_artist name none of artists, e.g. 'a'",
    ]


PLAYS = "user_id,action,song_id,at\nu1,full_play,s1,1700000000000\nu1,full_play,s2,1700000240000\n"
CORRECTED = {
    "a time was wrong and a song is out": (
        {"songs": "id,title\ns1,One\ns2,Two\ns3,Three\n", "events": f"{PLAYS}u1,full_play,s3,1700090000000\n"},
        {"songs": "id,title\ns1,One\ns2,Two\n", "events": f"{PLAYS}u1,full_play,s1,1700000480000\n"},
        "1 events, 1 Song of",
    ),
    "an event with an id had the wrong song": (
        {"songs": "id\ns1\ns2\n", "events": "event_id,user_id,action,song_id\ne1,u1,play,s1\ne2,u1,play,s2\n"},
        {"songs": "id\ns1\ns2\n", "events": "event_id,user_id,action,song_id\ne1,u1,play,s2\ne2,u1,play,s2\n"},
        "1 events of",
    ),
    "a song had the artist of another one": (
        {"songs": "id\ns1\ns2\n", "song_artist": "song_id,artist_id\ns1,a1\ns2,a2\n"},
        {"songs": "id\ns1\ns2\n", "song_artist": "song_id,artist_id\ns1,a1\ns2,a1\n"},
        "1 Artist, 1 PERFORMED_BY:Song:Artist of",
    ),
    "a listener should not be there": (
        {"users": "id\nu1\nu2\n", "follows": "user_id,followed_id\nu1,u2\n", "songs": "id\ns1\n"},
        {"users": "id\nu1\n", "follows": "user_id,followed_id\n", "songs": "id\ns1\n"},
        "1 User, 1 FOLLOWS:User:User of",
    ),
}


@pytest.mark.parametrize(("wrong", "right", "told"), CORRECTED.values(), ids=CORRECTED)
def test_a_corrected_source_takes_the_place_of_the_wrong_one(
    tmp_path: Path,
    embedded_store: GraphStore,
    sqlite_log: EventLog,
    wrong: dict[str, str],
    right: dict[str, str],
    told: str,
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()

    def brought(log: EventLog, state: Path, tables: dict[str, str], **options: bool) -> list[str]:
        result = run_import("tables", folder_of(folder, **tables), embedded_store, log, state, **options)
        return list(result["warnings"])

    def held(log: EventLog) -> list[object]:
        return [embedded_store.counts(), log.frame().drop("offset").sort("event_id").rows()]

    brought(sqlite_log, tmp_path, wrong)
    assert f"{told} an earlier version stay; --replace takes them out" in brought(sqlite_log, tmp_path, right)
    assert f"{told} the earlier version were taken out" in brought(sqlite_log, tmp_path, right, replace=True)
    found, lines = held(sqlite_log), sqlite_log.last_journal_offset()
    assert brought(sqlite_log, tmp_path, right, replace=True)[-1].endswith("nothing was added")
    assert sqlite_log.last_journal_offset() == lines
    forget(embedded_store, sqlite_log, find(sqlite_log, str(folder)), tmp_path)
    assert not sources(sqlite_log)
    assert not any(sum(kind.values()) for kind in embedded_store.counts().values())
    with EventLog(f"sqlite:///{tmp_path}/fresh.db") as fresh:
        brought(fresh, tmp_path / "fresh", right)
        assert found == held(fresh)


def test_an_event_id_with_other_content_is_told_with_its_line(
    tmp_path: Path, embedded_store: GraphStore, sqlite_log: EventLog
) -> None:
    sqlite_log.append([{"event_id": "e9", "user_id": "u1", "action": "play", "song_id": "s1"}])
    rows = ["e1,s1", "e1,s2", "e2,s1", "e2,s1", "e9,s2"]
    events = "event_id,user_id,action,song_id\n" + "\n".join(f"{row[:2]},u1,play,{row[3:]}" for row in rows)
    folder_of(tmp_path, songs="id\ns1\ns2\n", events=events)
    for _ in range(2):  # the second import finds the same: the log's are its own by then
        result = run_import("tables", tmp_path, embedded_store, sqlite_log, tmp_path)
        assert pl.read_csv(result["rejects_file"]).select("file", "line", "reason").rows() == [
            ("events.csv", 3, "event_id e1: other content than an earlier event"),
            ("events.csv", 6, "event_id e9: other content than an earlier event"),
        ]
    stands = [("e9", "s1"), ("e1", "s1"), ("e2", "s1")]
    assert sqlite_log.frame().select("event_id", "song_id").rows() == stands
    with pytest.raises(InvalidInput, match=r"2 bad rows \(strict\), the first in events\.csv line 3: event_id e1"):
        run_import("tables", tmp_path, embedded_store, sqlite_log, tmp_path, strict=True)
