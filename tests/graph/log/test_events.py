"""The event log: durable, ordered, idempotent, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from graph.errors import Busy, InvalidInput, NotWritable, StoreUnavailable
from graph.log import events, sql
from graph.log.events import Event, EventLog, export_parquet

PLAY = {"event_id": "e1", "user_id": "u1", "action": "play", "song_id": "s1"}


def play(event_id: str, user: str = "u1", **fields: object) -> dict[str, object]:
    return {**PLAY, "event_id": event_id, "user_id": user, **fields}


def test_offsets_count_from_one_in_the_order_of_the_batch(log: EventLog) -> None:
    log.append([play("b"), play("a")])
    log.append([play("c")])
    assert log.frame().select("offset", "event_id").rows() == [(1, "b"), (2, "a"), (3, "c")]
    assert log.last_offset() == 3


def test_empty_log_has_offset_zero_and_typed_columns(log: EventLog) -> None:
    assert log.last_offset() == 0
    assert log.frame().schema["at"] == pl.Int64
    assert log.frame().schema["latitude"] == pl.Float64
    assert log.exposures().is_empty()


def test_an_event_is_written_once_however_often_it_is_sent(log: EventLog) -> None:
    first = log.append([play("a"), play("a"), play("b")])
    again = log.append([play("b"), play("c")])
    assert (first.accepted, first.duplicates) == (2, 1)
    assert (again.accepted, again.duplicates) == (1, 1)
    assert log.frame()["event_id"].to_list() == ["a", "b", "c"]


def test_bad_events_are_named_and_do_not_stop_the_good_ones(log: EventLog) -> None:
    result = log.append([play("a"), play("b", action="dance"), play("c", song_id=None), play("d")])
    assert result.accepted == 2
    assert [index for index, _ in result.rejected] == [1, 2]
    assert result.rejected[1][1] == "song_id: required for play"


def test_an_event_id_with_other_content_is_rejected_and_the_first_one_stands(log: EventLog) -> None:
    where = {"latitude": 52.52, "longitude": 13.405}
    log.append([play("a", rating=4, **where)])
    same = [play("a"), play("a", rating=4.0, latitude=52.5201, longitude=13.4051), play("b"), play("b")]
    other = [play("a", rating=5), play("b", song_id="s2"), play("a", user="u2"), play("a", scene="radio")]
    result = log.append([*same, *other])
    assert (result.accepted, result.duplicates) == (1, 3)
    assert result.rejected == [
        (4 + i, f"event_id {id_}: other content than an earlier event") for i, id_ in enumerate("abaa")
    ]
    assert log.frame().select("event_id", "song_id", "rating").rows() == [("a", "s1", 4.0), ("b", "s1", None)]
    frame = pl.DataFrame([play("a", rating=5.0), play("b")]).select("event_id", "rating")
    assert (log.differing(frame), log.differing(frame, besides=1)) == (["a"], ["a"])


def test_what_a_request_says_too_outlives_its_source(log: EventLog) -> None:
    frame = pl.DataFrame([play("a"), play("b"), play("c")])
    assert log.append_source(frame, 1) == (3, {})
    assert log.append([play("b")]).duplicates == 1
    assert log.append_source(frame, 2) == (0, {"a": 1, "b": None, "c": 1})
    assert log.append_source(frame.head(2), 1, adopt=True) == (0, {})
    log.give(["a", "nowhere"], 2)
    assert [log.of_source("events", n)["event_id"].to_list() for n in (1, 2)] == [["b", "c"], ["a"]]
    assert log.take_out_events(1, ["a", "c"]) == 1
    assert log.frame()["event_id"].to_list() == ["a", "b"]


def test_an_event_without_an_id_gets_one(log: EventLog) -> None:
    log.append([{"user_id": "u1", "action": "play", "song_id": "s1"}] * 2)
    assert log.frame()["event_id"].n_unique() == 2


def test_all_fields_come_back_as_they_went_in(log: EventLog) -> None:
    given = play(
        "a", count=3, rating=4.5, at=10, played_ms=7, scene="daily", request_id="r", position=2, query='ä, "b"'
    )
    log.append(
        [given, {"event_id": "f", "user_id": "u2", "action": "follow", "target_label": "User", "target_id": "u1"}]
    )
    assert log.of_user("u1", 0) == [Event(**given, offset=1)]  # type: ignore[arg-type]
    row = log.frame().row(0, named=True)
    assert {name: row[name] for name in given} == given
    assert log.frame()["target_id"].to_list() == [None, "u1"]


def test_of_user_gives_only_the_listeners_own_later_events(log: EventLog) -> None:
    log.append([play("a"), play("b", "u2"), play("c"), play("d")])
    assert [event.event_id for event in log.of_user("u1", 1)] == ["c", "d"]
    assert log.of_user("nobody", 0) == []


def test_frame_reads_a_window_of_offsets(log: EventLog) -> None:
    log.append([play(f"e{i}") for i in range(5)])
    assert log.frame(1, 3)["offset"].to_list() == [2, 3]


def test_a_point_is_coarsened_before_it_is_written(log: EventLog) -> None:
    log.append([play("a", latitude=52.5200, longitude=13.4050), play("b", latitude=52.5201, longitude=13.4051)])
    rows = log.frame().select("latitude", "longitude").rows()
    assert rows[0] == rows[1]  # 10 m apart, one cell
    assert rows[0] != (52.52, 13.405)
    assert abs(rows[0][0] - 52.52) < 0.02
    assert log.coarsen(*rows[0]) == rows[0]


def test_bulk_append_coarsens_fills_the_count_and_is_idempotent(log: EventLog) -> None:
    frame = pl.DataFrame(
        {
            "event_id": ["a", "b", "b"],
            "user_id": "u",
            "action": "play",
            "song_id": "s",
            "latitude": 1.0,
            "longitude": 2.0,
        }
    )
    assert log.append_frame(frame) == (2, 1)
    assert log.append_frame(frame) == (0, 3)
    assert log.frame()["count"].to_list() == [1, 1]
    assert log.frame().select("latitude", "longitude").row(0) == log.coarsen(1.0, 2.0)


def test_bulk_append_of_many_rows_keeps_their_order(log: EventLog) -> None:
    ids = [f"e{i}" for i in range(1000)]
    log.append_frame(pl.DataFrame({"event_id": ids, "user_id": "u", "action": "play", "song_id": "s"}))
    assert log.frame()["event_id"].to_list() == ids


def test_bulk_append_refuses_unknown_columns_and_missing_ids(log: EventLog) -> None:
    with pytest.raises(ValueError, match="unknown column 'colour'"):
        log.append_frame(pl.DataFrame({"colour": ["red"]}))
    with pytest.raises(ValueError, match="every event needs event_id"):
        log.append_frame(pl.DataFrame({"user_id": ["u"], "action": ["play"]}))


def test_the_log_keeps_its_id(log: EventLog, log_url: str) -> None:
    with EventLog(log_url) as again:
        assert again.log_id == log.log_id


def test_two_logs_have_different_ids(tmp_path: Path, log: EventLog) -> None:
    with EventLog(f"sqlite:///{tmp_path}/other.db") as other:
        assert other.log_id != log.log_id


def test_what_is_taken_out_leaves_offsets_that_nobody_gets_again(log: EventLog, monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "CHUNK_ROWS", 2)
    many = pl.DataFrame({"event_id": ["a", "b", "c", "d"], "user_id": ["u1", "u2"] * 2, "action": "play", "at": 10})
    log.append_source(many, 3)
    log.append([play("e", at=10), play("f", at=20), play("g")])
    log.append_exposures([{"request_id": "r", "user_id": "u1", "song_id": "s1", "position": 0, "at": 20}])
    assert log.take_out(source=4) == log.take_out(user_id="u1", from_ms=11, to_ms=20) == log.generation == 0
    assert log.take_out(user_id="u1", from_ms=20) == 1  # and its exposure; what has no time stays
    assert (log.exposures().height, log.last_exposure_offset()) == (0, 1)
    assert log.take_out(user_id="u1", source=3) == 2
    seen = log.generation
    assert log.take_out(user_id="u1") == 2
    assert log.generation > seen
    assert (log.frame()["event_id"].to_list(), log.last_offset()) == (["b", "d"], 7)
    log.append([play("h")])
    log.append_exposures([{"request_id": "r", "song_id": "s1", "position": 0}])
    assert log.frame(4).select("offset", "event_id").rows() == [(8, "h")]
    assert log.exposures()["offset"].to_list() == [2]
    with pytest.raises(ValueError, match="needs a source or a user_id"):
        log.take_out(from_ms=0)


def test_exposures_come_back_in_order(log: EventLog) -> None:
    rows = [{"request_id": "r", "song_id": f"s{i}", "position": i, "propensity": 0.5} for i in range(3)]
    assert log.append_exposures(rows) == 3
    assert log.exposures(after=1)["song_id"].to_list() == ["s1", "s2"]
    with pytest.raises(ValueError, match="unknown exposure field 'colour'"):
        log.append_exposures([{"colour": "red"}])


def test_imported_exposures_go_on_where_they_stopped(log: EventLog) -> None:
    frame = pl.DataFrame({"request_id": "r", "song_id": ["s0", "s1", "s2"], "position": [0, 1, 2]})
    assert log.append_exposures_frame(frame.head(1), key="k") == 1
    assert log.append_exposures_frame(frame, key="k") == 2
    assert log.append_exposures_frame(frame, key="k") == 0
    assert log.exposures()["song_id"].to_list() == ["s0", "s1", "s2"]


def test_journal_lines_come_back_in_order(log: EventLog) -> None:
    log.append_journal("upsert", "Song", "s1", {"properties": {"title": "Ä"}})
    assert log.append_journal("import", None, None, {}) == 2
    assert log.last_journal_offset() == 2
    (line,) = log.journal(after=0)[:1]
    assert (line.kind, line.label, line.id, line.payload) == ("upsert", "Song", "s1", {"properties": {"title": "Ä"}})


def test_meta_keeps_the_last_value(log: EventLog) -> None:
    assert log.get_meta("clock") is None
    log.set_meta("clock", "wall")
    log.set_meta("clock", "data")
    assert log.get_meta("clock") == "data"
    assert log.meta("cl") == {"clock": "data"}


def test_writers_in_parallel_get_offsets_without_gaps_or_repeats(log_url: str) -> None:
    def write(name: str) -> None:
        with EventLog(log_url) as own:
            for i in range(20):
                own.append([play(f"{name}-{i}")])

    with EventLog(log_url) as log:
        threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        seen: list[int] = []
        while len(seen) < 60:  # a reader that follows the offsets
            seen += log.frame(seen[-1] if seen else 0)["offset"].to_list()
        for thread in threads:
            thread.join()
        assert seen == list(range(1, 61))


def test_a_lock_is_held_by_one_at_a_time(log: EventLog, log_url: str) -> None:
    with EventLog(log_url) as other:
        with log.exclusive("import"), pytest.raises(Busy, match="import lock"), other.exclusive("import", wait=False):
            pass
        with other.exclusive("import", wait=False):
            pass


WRITER = """
import sys
from graph.log.events import EventLog
with EventLog(sys.argv[1]) as log:
    for i in range(100_000):
        log.append([{"event_id": f"e{i}", "user_id": "u", "action": "play", "song_id": "s"}])
        log.append_exposures([{"request_id": f"e{i}", "song_id": "s", "position": 0}])
        print(i, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(log_url: str) -> None:
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", WRITER, log_url], stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.stdout.close()
    process.wait()
    with EventLog(log_url) as log:
        frame = log.frame()
        assert frame["offset"].to_list() == list(range(1, frame.height + 1))
        assert {f"e{i}" for i in acknowledged} <= set(frame["event_id"])
        assert {f"e{i}" for i in acknowledged} <= set(log.exposures()["request_id"])


def test_parquet_export_holds_both_tables(log: EventLog, tmp_path: Path) -> None:
    log.append([play("a")])
    assert export_parquet(log, tmp_path / "out") == {"events": 1, "exposures": 0}
    assert pl.read_parquet(tmp_path / "out" / "events.parquet")["event_id"].to_list() == ["a"]
    assert pl.read_parquet(tmp_path / "out" / "exposures.parquet").is_empty()


def test_sqlite_is_in_wal_mode_with_full_sync(sqlite_log: EventLog, tmp_path: Path) -> None:
    with sqlite_log._cursor(sqlite_log._writer) as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)


def test_another_schema_version_is_refused(log: EventLog, log_url: str) -> None:
    log.set_meta("schema_version", "999")
    with pytest.raises(StoreUnavailable, match="schema version 999, this version of Segue reads 2"):
        EventLog(log_url)


OLD_EVENTS = """CREATE TABLE events ("offset" {integer} PRIMARY KEY, event_id TEXT NOT NULL, user_id TEXT NOT NULL,
    action TEXT NOT NULL, song_id TEXT, target_label TEXT, target_id TEXT, query TEXT, count {integer} NOT NULL,
    rating {float}, at {integer}, played_ms {integer}, scene TEXT, request_id TEXT, position {integer},
    latitude {float}, longitude {float})"""


OLD_EXPOSURES = """("offset" {integer} PRIMARY KEY, request_id TEXT NOT NULL, user_id TEXT, song_id TEXT NOT NULL,
    position {integer} NOT NULL, at {integer}, scene TEXT, channel TEXT, score {float}, propensity {float},
    policy TEXT)"""


def test_a_log_of_the_first_version_is_upgraded_where_it_lies(log_url: str) -> None:
    engine = sa.create_engine(log_url)
    kinds = ("INTEGER", "FLOAT") if engine.dialect.name == "sqlite" else ("BIGINT", "DOUBLE PRECISION")
    with engine.begin() as connection:
        connection.exec_driver_sql(OLD_EVENTS.format(integer=kinds[0], float=kinds[1]))
        connection.exec_driver_sql("CREATE UNIQUE INDEX events_event_id ON events (event_id)")
        connection.exec_driver_sql("CREATE TABLE exposures " + OLD_EXPOSURES.format(integer=kinds[0], float=kinds[1]))
        connection.exec_driver_sql("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.exec_driver_sql("INSERT INTO meta VALUES ('schema_version', '1'), ('log_id', 'kept')")
        connection.exec_driver_sql(
            'INSERT INTO events ("offset", event_id, user_id, action, song_id, count) '
            "VALUES (7, 'old', 'u1', 'play', 's1', 1)"
        )
    engine.dispose()
    for _ in range(2):  # the second opening finds it upgraded
        with EventLog(log_url) as log:
            log.append([play("new", private=1, is_organic=0)])
            log.append_exposures([{"request_id": "r", "song_id": "s1", "position": 0}])
            assert log.log_id == "kept"
            assert log.get_meta("schema_version") == "2"
            assert log.frame().select("offset", "event_id", "private", "is_organic").rows() == [
                (7, "old", None, None),
                (8, "new", 1, 0),
            ]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    file.write_text("hello, this is no database at all" * 100)
    with pytest.raises(StoreUnavailable, match=r"events\.db does not answer: file is not a database"):
        EventLog(f"sqlite:///{file}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        EventLog(f"sqlite:///{tmp_path}/file/events.db")


def test_a_log_that_cannot_be_written_yet_opens_when_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    (tmp_path / "events.db").mkdir()
    monkeypatch.setattr(sql, "_takes_nothing", lambda _: True)
    with pytest.raises(NotWritable):
        EventLog(url)
    with EventLog(url, writable_later=True) as log:
        for asked in (lambda: log.log_id, log.last_offset, lambda: log.append([play("a")]), lambda: log.get_meta("x")):
            with pytest.raises(NotWritable, match=r"events\.db cannot be written"):
                asked()
        (tmp_path / "events.db").rmdir()
        assert log.append([play("a")]).accepted == 1
        with EventLog(url) as other:
            assert other.log_id == log.log_id


def test_a_lock_in_a_folder_that_is_gone_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with EventLog(f"sqlite:///{tmp_path}/state/events.db") as log:
        (tmp_path / "state").rename(tmp_path / "elsewhere")
        with pytest.raises(NotWritable, match="edits"), log.exclusive("edits"):
            pass


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", ""])
def test_a_url_of_no_durable_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"expected sqlite:///FILE or postgresql\+psycopg"):
        EventLog(url)


def test_a_postgresql_that_is_down_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreUnavailable) as caught:
        EventLog("postgresql+psycopg://me:secret@127.0.0.1:1/segue")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_writer_that_waits_too_long_is_told_who_is_busy(sqlite_log: EventLog, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with sqlite_log._cursor(sqlite_log._writer) as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")  # the pool hands the same connection out again
    with pytest.raises(Busy, match="another process is writing"):
        sqlite_log.append([play("a")])
    other.close()


def test_a_resolution_that_h3_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 to 15"):
        EventLog(f"sqlite:///{tmp_path}/e.db", h3_resolution=16)
