import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from graph.errors import Busy, InvalidInput, NotWritable, StoreUnavailable
from graph.log import sql
from graph.log.sql import make_folder, named_failure, parsed_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no database URL"),
        ("mysql://host/db", "unknown scheme 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_of_no_lasting_database_is_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parsed_url(url)


def test_postgresql_gets_the_driver_that_ships() -> None:
    assert parsed_url("postgresql://ana@host/db").drivername == "postgresql+psycopg"


def test_a_locked_database_is_busy_and_any_other_failure_is_an_outage(tmp_path: Path) -> None:
    holder, other = (sqlite3.connect(tmp_path / "a.db", timeout=0) for _ in range(2))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as locked:
        other.execute("BEGIN IMMEDIATE")
    for connection in (holder, other):
        connection.close()
    url = parsed_url(f"sqlite:///{tmp_path}/a.db")
    busy = named_failure(locked.value, "the table", url)
    assert (type(busy), str(busy)) == (Busy, "the table: another process is writing (database is locked)")
    wrapped = sa.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk\n I/O error"))
    gone = named_failure(wrapped, "the table", url)
    assert (type(gone), str(gone)) == (StoreUnavailable, "the table does not answer: disk I/O error")


def test_a_failure_in_a_folder_that_takes_nothing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.db").mkdir()
    with pytest.raises(sqlite3.OperationalError) as failed:
        sqlite3.connect(tmp_path / "a.db")
    url = parsed_url(f"sqlite:///{tmp_path}/a.db")
    assert type(named_failure(failed.value, "the table", url)) is StoreUnavailable
    monkeypatch.setattr(sql, "_NEEDED", 1 << 60)  # more than its disk has
    full = named_failure(failed.value, "the table", url)
    assert (type(full), str(full)) == (NotWritable, "the table cannot be written: unable to open database file")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"the log does not answer: .*file/inside"):
        make_folder(tmp_path / "file" / "inside" / "a.db", "the log")
