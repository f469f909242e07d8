"""The event log: what listeners did, what they were shown, and the journal of single edits.

Three tables that grow at their end and a small key/value table in one SQL database: SQLite by default, PostgreSQL by
URL. Offsets are handed out inside the writing transaction, while no other writer can be in one (`BEGIN IMMEDIATE` on
SQLite, an advisory lock on PostgreSQL), so a reader that follows them never skips one. What is taken out leaves a gap
in them, and counts the log's `generation` up: by that its readers notice. An acknowledged append is durable; it is
idempotent by `event_id`. The hot paths speak to the database driver itself, through SQLAlchemy's pools.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import h3
import polars as pl
import sqlalchemy as sa
from sqlalchemy import event as sa_event

from graph.errors import Busy, NotWritable, StoreUnavailable
from graph.log.checks import EVENT_COLUMNS, EXPOSURE_COLUMNS, OTHER_CONTENT, now_ms, problem_of_event
from graph.log.sql import is_sqlite, make_folder, named_failure, open_engine, parsed_url

SCHEMA_VERSION: Final = "2"
_UPGRADED: Final = ("1",)  # versions that lack nothing but columns and tables which are added when the log is opened
CHUNK_ROWS: Final = 200_000  # rows a transaction of `append_frame`: bounds how long other writers wait (2 to 3 s)
_FETCH_ROWS: Final = 50_000
_ALL_EVENTS: Final = 2**63 - 1
_FEW: Final = 10_000  # ids that are named in one statement

_LOCKS: Final = {"events": 0x5E6E01, "exposures": 0x5E6E02, "journal": 0x5E6E03, "meta": 0x5E6E04}

# Connections that speak to the driver itself, in autocommit; any number at once, and eight are kept.
_POOL: Final[Mapping[str, Any]] = {
    "isolation_level": "AUTOCOMMIT",
    "poolclass": sa.QueuePool,
    "pool_size": 8,
    "max_overflow": -1,
    "pool_use_lifo": True,
}
_SQL_TYPES: Final[dict[type[pl.DataType], Any]] = {
    pl.String: sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
    pl.Int64: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    pl.Float64: sa.Double().with_variant(sa.Float(), "sqlite"),
}


def _offset() -> sa.Column[Any]:
    return sa.Column("offset", _SQL_TYPES[pl.Int64], primary_key=True, autoincrement=False)


def _columns(types: Mapping[str, type[pl.DataType]], required: Sequence[str]) -> list[sa.Column[Any]]:
    return [sa.Column(name, _SQL_TYPES[kind], nullable=name not in required) for name, kind in types.items()]


_TABLES: Final = sa.MetaData()
_EVENTS: Final = sa.Table(
    "events",
    _TABLES,
    _offset(),
    *_columns(EVENT_COLUMNS, ("event_id", "user_id", "action", "count")),
    sa.Column("source", _SQL_TYPES[pl.Int64]),  # the number of the source that was imported; null by REST
)
sa.Index("events_event_id", _EVENTS.c.event_id, unique=True)
sa.Index("events_user", _EVENTS.c.user_id, _EVENTS.c.offset)
_EXPOSURES: Final = sa.Table(
    "exposures",
    _TABLES,
    _offset(),
    *_columns(EXPOSURE_COLUMNS, ("request_id", "song_id", "position")),
    sa.Column("source", _SQL_TYPES[pl.Int64]),
)
_JOURNAL: Final = sa.Table(
    "journal",
    _TABLES,
    _offset(),
    *(sa.Column(name, _SQL_TYPES[pl.String], nullable=name in ("label", "id")) for name in ("kind", "label", "id")),
    sa.Column("payload", _SQL_TYPES[pl.String], nullable=False),
)
sa.Index("journal_node", _JOURNAL.c.label, _JOURNAL.c.id)
_META: Final = sa.Table(
    "meta",
    _TABLES,
    sa.Column("key", _SQL_TYPES[pl.String], primary_key=True),
    sa.Column("value", _SQL_TYPES[pl.String], nullable=False),
)


_STORED_FIELDS: Final = ", ".join(f'"{name}"' for name in (*EVENT_COLUMNS, "source"))
_EVENT_FIELDS: Final = ", ".join(f'"{name}"' for name in (*EVENT_COLUMNS, "offset"))  # in the order of `Event`


_GENERATION_KEY: Final = "generation"
_LAST_KEY: Final = "last:"  # meta: the last offset of a table when something was taken out of it
_COUNT_UP: Final = (
    "INSERT INTO meta (key, value) VALUES (?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)"
)


def _last(table: str, *, sqlite: bool) -> str:
    """The newest offset that was ever used in a table: its newest row may have been taken out."""
    return (
        f'SELECT {"max" if sqlite else "greatest"}(coalesce((SELECT max("offset") FROM {table}), 0), '  # noqa: S608
        f"coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = '{_LAST_KEY}{table}'), 0))"
    )


_LAST: Final = {
    sqlite: {table: _last(table, sqlite=sqlite) for table in ("events", "exposures", "journal")}
    for sqlite in (True, False)
}


def _insert(table: sa.Table) -> str:
    names = ", ".join(f'"{c.name}"' for c in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' for _ in table.columns)})"  # noqa: S608


def _select(table: sa.Table) -> str:
    names = ", ".join(f'"{c.name}"' for c in table.columns)
    return f"SELECT {names} FROM {table.name}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it stands in the log; `at` and `played_ms` in milliseconds, `offset` 0 before it is written."""

    event_id: str
    user_id: str
    action: str
    song_id: str | None = None
    target_label: str | None = None
    target_id: str | None = None
    query: str | None = None
    count: int = 1
    rating: float | None = None
    at: int | None = None
    played_ms: int | None = None
    scene: str | None = None
    request_id: str | None = None
    position: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    is_organic: int | None = None
    private: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Appended:
    """What became of a batch: `rejected` holds (index in the batch, reason)."""

    accepted: int
    duplicates: int
    rejected: list[tuple[int, str]]


@dataclass(frozen=True)
class JournalEntry:
    """One line of the journal: a single edit, or a whole import."""

    offset: int
    kind: str
    label: str | None
    id: str | None
    payload: dict[str, Any]


class EventLog:
    """Events, exposures and the journal of one state folder; usable from many threads and processes at once.

    Raises: InvalidInput for a URL that is neither `sqlite:///FILE` nor `postgresql+psycopg://…`, StoreUnavailable if
    the database does not answer, is no database, or was written with another schema version, NotWritable in a folder
    that cannot be written, Busy if another process held the write lock for half a minute.
    """

    def __init__(
        self, url: str = "sqlite:///var/events.db", *, h3_resolution: int = 7, writable_later: bool = False
    ) -> None:
        """With `writable_later` a folder that cannot be written is no failure here: every call raises NotWritable until
        it can, and the first one then opens the log."""
        if not 0 <= h3_resolution <= 15:
            raise ValueError(f"h3_resolution must be 0 to 15 (got {h3_resolution})")
        self.h3_resolution = h3_resolution
        self._mutex = threading.Lock()
        self._log_id: str | None = None
        parsed = parsed_url(url)
        self._shown = parsed.render_as_string(hide_password=True)
        self._sqlite = is_sqlite(parsed)
        if self._sqlite:
            make_folder(Path(str(parsed.database)), f"event log {self._shown}")
            self._writer = _sqlite_engine(parsed, "FULL")
            # Survives a killed process; a power cut may lose the last slates, which nobody was promised.
            self._lazy = _sqlite_engine(parsed, "NORMAL")
            self._reader = _sqlite_engine(parsed, "FULL", read_only=True)
        else:
            engine = open_engine(parsed, **_POOL)
            self._writer = self._lazy = self._reader = engine
        driver = self._writer.dialect.loaded_dbapi
        self._failures: tuple[type[Exception], ...] = (
            driver.OperationalError,
            driver.InterfaceError,
            sa.exc.DBAPIError,
        )
        try:
            self._open()
        except NotWritable:
            if not writable_later:
                self.close()
                raise
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log_id(self) -> str:
        """Names this log: a release says which one it was made from.

        Raises: StoreUnavailable.
        """
        return self._open()

    def close(self) -> None:
        """Close every connection; closing twice is harmless."""
        for engine in (self._writer, self._lazy, self._reader):
            engine.dispose()

    # ---- events

    def append(self, events: Sequence[Mapping[str, Any]], *, now: int | None = None) -> Appended:
        """Check and write events; they are durable when this returns.

        An event without `event_id` gets a random one. One whose `event_id` the log (or the batch) has is a duplicate if
        the fields that it gives are the same there, and is rejected otherwise. One that an imported source has too
        outlives that source.
        `now`: epoch milliseconds that an `at` may pass by a day at most (default: the clock).
        """
        now = now_ms() if now is None else now
        rejected: list[tuple[int, str]] = []
        rows: dict[str, tuple[Any, ...]] = {}
        places: dict[str, int] = {}
        repeats: list[tuple[int, tuple[Any, ...]]] = []  # index and row
        for index, given in enumerate(events):
            problem = problem_of_event(given, now)
            if problem is not None:
                rejected.append((index, problem))
                continue
            row: dict[str, Any] = {name: given.get(name) for name in EVENT_COLUMNS}
            id_ = row["event_id"] = row["event_id"] or uuid.uuid4().hex
            row["count"] = 1 if row["count"] is None else row["count"]
            if row["latitude"] is not None:
                row["latitude"], row["longitude"] = self.coarsen(row["latitude"], row["longitude"])
            values = (*row.values(), None)
            if id_ in rows:
                repeats.append((index, values))
            else:
                rows[id_], places[id_] = values, index
        stored: dict[str, tuple[Any, ...]] = {}
        if rows:
            with self._transaction("events") as cursor:
                stored = self._write_events(cursor, rows)
                self._give(cursor, [id_ for id_, row in stored.items() if row[-1] is not None], None)
        repeats += [(places[id_], rows[id_]) for id_ in stored]
        first = {**rows, **stored} if repeats else {}
        other = [(i, new[0]) for i, new in repeats if _differs(events[i], new, first[new[0]])]
        rejected += [(i, f"event_id {id_}: {OTHER_CONTENT}") for i, id_ in other]
        return Appended(len(rows) - len(stored), len(repeats) - len(other), sorted(rejected))

    def append_frame(self, frame: pl.DataFrame) -> tuple[int, int]:
        """Write many events whose columns are checked already (`graph.log.checks.event_problems`).

        Columns of an event that are missing are null (`count`: 1). Written in transactions of `CHUNK_ROWS` rows, each
        durable on its own; after an interruption the same call adds what is missing. Of an `event_id` the first stands.
        Returns: (accepted, duplicates).
        Raises: ValueError for a column that no event has, or a null where a value is required.
        """
        accepted, _ = self.append_source(frame, None)
        return accepted, frame.height - accepted

    def append_source(
        self, frame: pl.DataFrame, source: int | None, *, adopt: bool = False
    ) -> tuple[int, dict[str, int | None]]:
        """`append_frame` of the events of the source with that number.

        `adopt`: those that stand in the log without a source become its own.
        Returns: how many were accepted, and of those that the log had of another source or by request (None), by their
        ids, of which.
        """
        frame = _shaped(frame, EVENT_COLUMNS, {"count": 1})
        for name in ("event_id", "user_id", "action"):
            if frame[name].null_count():
                raise ValueError(f"every event needs {name} ({frame[name].null_count()} have none)")
        accepted, others = 0, dict[str, int | None]()
        for chunk in frame.iter_slices(CHUNK_ROWS):
            rows = {row[0]: (*row, source) for row in reversed(self.coarsened(chunk).rows())}
            rows = dict(reversed(rows.items()))  # the first of an id, in the order of the frame
            with self._transaction("events") as cursor:
                stored = self._write_events(cursor, rows)
                found = {id_: row[-1] for id_, row in stored.items() if row[-1] != source}
                if adopt:
                    self._give(cursor, [id_ for id_, of in found.items() if of is None], source)
                    found = {id_: of for id_, of in found.items() if of is not None}
            accepted += len(rows) - len(stored)
            others |= found
        return accepted, others

    def differing(self, frame: pl.DataFrame, *, besides: int | None = None) -> list[str]:
        """The ids of events that the log has with other content; a null is not compared.

        `frame`: `event_id` and any fields of an event, points coarsened. `besides`: a source whose events do not count.
        """
        found: list[str] = []
        names = [name for name in EVENT_COLUMNS if name in frame.columns]
        for chunk in frame.select(names).iter_slices(CHUNK_ROWS):
            with self._cursor(self._reader) as cursor:
                stored = self._stored(cursor, chunk["event_id"].to_list())
            for row in chunk.rows():
                first = stored.get(row[0])
                if first is not None and (besides is None or first[-1] != besides):
                    there = dict(zip(EVENT_COLUMNS, first[:-1], strict=True))
                    if any(v is not None and v != there[name] for name, v in zip(names, row, strict=True)):
                        found.append(row[0])
        return found

    def of_source(self, table: str, source: int) -> pl.DataFrame:
        """The "events" or "exposures" that an import of that source has brought, ordered by offset."""
        kinds, where = (EVENT_COLUMNS if table == "events" else EXPOSURE_COLUMNS), f" AND source = {int(source)}"
        return self._export(_EVENTS if table == "events" else _EXPOSURES, kinds, 0, None, where)

    def give(self, event_ids: Sequence[str], source: int | None) -> None:
        """Make events those of a source, or nobody's (None); ids that the log does not have are left out."""
        for first in range(0, len(event_ids), CHUNK_ROWS):
            with self._transaction("events") as cursor:
                self._give(cursor, event_ids[first : first + CHUNK_ROWS], source)

    def last_offset(self) -> int:
        """The newest event's offset, 0 for an empty log; it stays when that event is taken out."""
        return self._last("events")

    @property
    def generation(self) -> int:
        """How often something was taken out: what was read under another one may hold events that are gone."""
        return int(self.get_meta(_GENERATION_KEY) or 0)

    def take_out(
        self,
        *,
        source: int | None = None,
        user_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> int:
        """Delete the events and exposures of a source or a listener, and of a time: `from_ms` <= at < `to_ms`.

        Those without a time stay where a time is given. Done in transactions of at most `CHUNK_ROWS` offsets; after an
        interruption the same call goes on. Returns: how many events went.
        Raises: ValueError without a source and a listener.
        """
        if source is None and user_id is None:
            raise ValueError("take_out needs a source or a user_id")
        given = {"source = ?": source, "user_id = ?": user_id, "at >= ?": from_ms, "at < ?": to_ms}
        where = {condition: value for condition, value in given.items() if value is not None}
        gone = self._take_out("events", " AND ".join(where), list(where.values()))
        self._take_out("exposures", " AND ".join(where), list(where.values()))
        return gone

    def take_out_events(self, source: int, event_ids: Sequence[str]) -> int:
        """Delete those of a source's events that have one of these ids. Returns: how many went."""
        return sum(
            self._take_out("events", f"source = ? AND {self._among()}", [source, self._list(event_ids[i : i + _FEW])])
            for i in range(0, len(event_ids), _FEW)
        )

    def take_out_exposures(self, source: int, key: str) -> None:
        """Delete a source's exposures, so that `append_exposures_frame` writes those under `key` from the first one."""
        self.set_meta(key, "0")
        self._take_out("exposures", "source = ?", [source])

    def frame(self, after: int = 0, upto: int | None = None) -> pl.DataFrame:
        """All events with `after` < offset <= `upto`, ordered by offset: `offset`, then an event's fields."""
        return self._export(_EVENTS, EVENT_COLUMNS, after, upto)

    def rows(self, table: str, columns: Sequence[str], after: int, upto: int) -> list[tuple[Any, ...]]:
        """Some `columns` of the "events" or "exposures" with `after` < offset <= `upto`, ordered by offset.

        For a handful of rows this costs far less than a frame."""
        names = ", ".join(f'"{name}"' for name in columns)
        query = f'SELECT {names} FROM {table} WHERE "offset" > ? AND "offset" <= ? ORDER BY "offset"'  # noqa: S608
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, query, (after, upto))
            return list(cursor.fetchall())

    def columns(self, table: str, names: Sequence[str], after: int, upto: int) -> pl.DataFrame:
        """The same as `rows` in a frame, after the column `offset`: for thousands of rows this costs far less."""
        kinds = EVENT_COLUMNS if table == "events" else EXPOSURE_COLUMNS
        return self._export(_EVENTS if table == "events" else _EXPOSURES, {n: kinds[n] for n in names}, after, upto)

    def of_user(self, user_id: str, after: int = 0) -> list[Event]:
        """The listener's events with an offset beyond `after`, in order of offset."""
        query = f'SELECT {_EVENT_FIELDS} FROM events WHERE user_id = ? AND "offset" > ? ORDER BY "offset"'  # noqa: S608
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, query, (user_id, after))
            return [Event(*row) for row in cursor.fetchall()]

    def coarsen(self, latitude: float, longitude: float) -> tuple[float, float]:
        """The centre (degrees) of the H3 cell that holds the point; what the log keeps instead of it."""
        cell = h3.latlng_to_cell(latitude, longitude, self.h3_resolution)
        centre: tuple[float, float] = h3.cell_to_latlng(cell)
        return centre

    # ---- exposures

    def append_exposures(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write what was shown; survives a killed process without a sync for each slate. Returns: the last offset.

        Raises: ValueError for a field that no exposure has.
        """
        values = []
        for row in rows:
            if not row.keys() <= EXPOSURE_COLUMNS.keys():
                unknown = min(row.keys() - EXPOSURE_COLUMNS.keys())
                raise ValueError(f"unknown exposure field {unknown!r} (expected {', '.join(EXPOSURE_COLUMNS)})")
            values.append((*map(row.get, EXPOSURE_COLUMNS), None))
        with self._transaction("exposures", durable=False) as cursor:
            return self._write_rows(cursor, _EXPOSURES, values)

    def append_exposures_frame(self, frame: pl.DataFrame, *, key: str, source: int | None = None) -> int:
        """Write many checked exposures once: `key` names them in the meta table, where the rows done are counted.

        `source`: the number of the source that they are of.
        Returns: how many rows this call added; a repeated call goes on where an interrupted one stopped.
        """
        frame = _shaped(frame, EXPOSURE_COLUMNS, {})
        done = int(self.get_meta(key) or 0)
        added = 0
        for chunk in frame.slice(done).iter_slices(CHUNK_ROWS):
            with self._transaction("exposures") as cursor:
                self._write_rows(cursor, _EXPOSURES, [(*row, source) for row in chunk.rows()])
                done += chunk.height
                self._put_meta(cursor, key, str(done))
            added += chunk.height
        return added

    def exposures(self, after: int = 0, upto: int | None = None) -> pl.DataFrame:
        """All exposures with `after` < offset <= `upto`, ordered by offset."""
        return self._export(_EXPOSURES, EXPOSURE_COLUMNS, after, upto)

    def last_exposure_offset(self) -> int:
        """The newest exposure's offset, 0 for none."""
        return self._last("exposures")

    # ---- journal and meta

    def deletions(self) -> dict[tuple[str, str], int]:
        """The nodes (label, id) that single edits deleted and did not make again since, each with the offset that the
        events had by then."""
        query = (
            "SELECT label, id, payload FROM journal AS gone WHERE kind = 'delete' AND NOT EXISTS "
            "(SELECT 1 FROM journal AS later WHERE later.label = gone.label AND later.id = gone.id "
            'AND later."offset" > gone."offset" AND later.kind IN '
            "('upsert', 'relations', 'delete'))"
        )
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, query, ())
            rows = cursor.fetchall()
        return {(label, key): json.loads(text).get("events", _ALL_EVENTS) for label, key, text in rows}

    def is_deleted(self, label: str, id: str) -> bool:  # noqa: A002
        """Whether the last single edit of a node deleted it."""
        query = (
            "SELECT kind FROM journal WHERE label = ? AND id = ? AND kind IN ('upsert', 'relations', 'delete') "
            'ORDER BY "offset" DESC LIMIT 1'
        )
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, query, (label, id))
            found = cursor.fetchone()
        return found is not None and found[0] == "delete"

    def append_journal(self, kind: str, label: str | None, id: str | None, payload: Mapping[str, Any]) -> int:  # noqa: A002
        """Write one line of the journal, durable on return. Returns: its offset."""
        text = json.dumps(dict(payload), ensure_ascii=False, sort_keys=True)
        with self._transaction("journal") as cursor:
            return self._write_rows(cursor, _JOURNAL, [(kind, label, id, text)])

    def journal(self, after: int = 0, kind: str | None = None) -> list[JournalEntry]:
        """The journal's lines beyond offset `after`, in order; only those of a `kind` if one is given."""
        where, values = ('"offset" > ?', [after]) if kind is None else ('"offset" > ? AND kind = ?', [after, kind])
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, f'{_select(_JOURNAL)} WHERE {where} ORDER BY "offset"', values)
            rows = cursor.fetchall()
        return [JournalEntry(offset, kind, label, key, json.loads(text)) for offset, kind, label, key, text in rows]

    def last_journal_offset(self) -> int:
        """The newest journal line's offset, 0 for none."""
        return self._last("journal")

    def get_meta(self, key: str) -> str | None:
        """The value kept under `key`, or None."""
        self._open()
        return self._meta(key)

    def set_meta(self, key: str, value: str) -> None:
        """Keep `value` under `key`, durable on return."""
        with self._transaction("meta") as cursor:
            self._put_meta(cursor, key, value)

    def drop_meta(self, key: str) -> None:
        """Keep nothing under `key`."""
        with self._transaction("meta") as cursor:
            self._execute(cursor, "DELETE FROM meta WHERE key = ?", (key,))

    def meta(self, prefix: str = "") -> dict[str, str]:
        """Every key that begins with `prefix`, and its value."""
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, "SELECT key, value FROM meta ORDER BY key", ())
            return {key: value for key, value in cursor.fetchall() if key.startswith(prefix)}

    # ---- inside

    def _open(self) -> str:
        """Make the tables of a new log, or check the version of one that is there, once. Returns: its id."""
        if self._log_id is None:
            self._create()
            self._log_id = self._meta("log_id")
        return str(self._log_id)

    def _create(self) -> None:
        if self._sqlite:
            self._refuse_protected()
            self._wal()
        with self._begun("meta") as cursor:
            dialect = self._writer.dialect
            for table in _TABLES.sorted_tables:
                cursor.execute(str(sa.schema.CreateTable(table, if_not_exists=True).compile(dialect=dialect)))
                for index in table.indexes:
                    cursor.execute(str(sa.schema.CreateIndex(index, if_not_exists=True).compile(dialect=dialect)))
            for key, value in (("schema_version", SCHEMA_VERSION), ("log_id", uuid.uuid4().hex)):
                self._execute(
                    cursor, "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value)
                )
            self._upgrade(cursor)

    def _upgrade(self, cursor: Any) -> None:
        """Give an older log what it lacks, within the transaction that checks its version."""
        cursor.execute("SELECT value FROM meta WHERE key = 'schema_version'")
        found = cursor.fetchone()[0]
        if found == SCHEMA_VERSION:
            return
        if found not in _UPGRADED:
            raise StoreUnavailable(
                f"event log {self._shown} has schema version {found}, this version of Segue reads {SCHEMA_VERSION}"
            )
        for table in (_EVENTS, _EXPOSURES):
            cursor.execute(f"SELECT * FROM {table.name} LIMIT 0")  # noqa: S608
            there = {column[0] for column in cursor.description}
            for column in table.columns:
                if column.name not in there:
                    kind = column.type.compile(self._writer.dialect)
                    cursor.execute(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}')
        cursor.execute("CREATE INDEX IF NOT EXISTS journal_node ON journal (label, id)")
        self._put_meta(cursor, "schema_version", SCHEMA_VERSION)

    def _refuse_protected(self) -> None:
        """Before SQLite looks: beside a file that it may not write, it would make others with the same rights, and they
        would stay protected when the file no longer is."""
        file = Path(str(self._writer.url.database))
        for path in (file.parent, file):
            if path.exists() and not os.access(path, os.W_OK):
                raise NotWritable(f"event log {self._shown} cannot be written: {path} is protected")

    def _meta(self, key: str) -> str | None:
        with self._connected(self._reader) as cursor:
            self._execute(cursor, "SELECT value FROM meta WHERE key = ?", (key,))
            row = cursor.fetchone()
            return None if row is None else str(row[0])

    def _wal(self) -> None:
        with self._connected(self._writer) as cursor:
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _cursor(self, engine: sa.Engine) -> Iterator[Any]:
        """As `_connected`, once the log is open."""
        self._open()
        with self._connected(engine) as cursor:
            yield cursor

    @contextmanager
    def _connected(self, engine: sa.Engine) -> Iterator[Any]:
        """A driver's cursor on a pooled connection in autocommit; driver failures become StoreUnavailable or Busy."""
        try:
            connection = engine.raw_connection()
            try:
                cursor = connection.cursor()
                try:
                    yield cursor
                finally:
                    cursor.close()
            except BaseException:
                connection.invalidate()  # whatever it was in the middle of is rolled back by the database
                raise
            finally:
                connection.close()
        except self._failures as failure:
            raise self._named(failure) from failure
        except self._writer.dialect.loaded_dbapi.DatabaseError as failure:
            if self._sqlite and type(failure) is sqlite3.DatabaseError:  # "file is not a database", a damaged page
                raise self._named(failure) from failure
            raise

    def _named(self, failure: Exception) -> Busy | StoreUnavailable:
        return named_failure(failure, f"event log {self._shown}", self._writer.url)

    @contextmanager
    def exclusive(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a lock of that name that one thread of one process can have at a time; a killed holder loses it.

        Raises: Busy if `wait` is false and another has it; NotWritable.
        """
        busy = Busy(f"event log {self._shown}: another process holds the {name} lock")
        if self._sqlite:
            path = Path(f"{self._writer.url.database}.{name}.lock")
            try:
                file = path.open("w", encoding="utf-8")
            except OSError as failure:
                raise NotWritable(f"{path} cannot be written: {failure.strerror}") from failure
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    raise busy from None
                yield
            return
        key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")
        with self._cursor(self._writer) as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)" if wait else "SELECT pg_try_advisory_lock(%s)", (key,))
            if cursor.fetchone()[0] is False:
                raise busy
            try:
                yield
            finally:
                with suppress(*self._failures):  # a connection that is gone has let go of it
                    cursor.execute("SELECT pg_advisory_unlock(%s)", (key,))

    @contextmanager
    def _transaction(self, table: str, *, durable: bool = True) -> Iterator[Any]:
        """As `_begun`, once the log is open."""
        self._open()
        with self._begun(table, durable=durable) as cursor:
            yield cursor

    @contextmanager
    def _begun(self, table: str, *, durable: bool = True) -> Iterator[Any]:
        """A cursor inside a transaction that no other writer of `table` can be in at the same time."""
        with self._mutex, self._connected(self._writer if durable else self._lazy) as cursor:
            if self._sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            else:
                cursor.execute("BEGIN")
                cursor.execute(f"SELECT pg_advisory_xact_lock({_LOCKS[table]})")
                if not durable:
                    cursor.execute("SET LOCAL synchronous_commit TO off")
            try:
                yield cursor
            except BaseException:
                with suppress(*self._failures):
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def _execute(self, cursor: Any, query: str, values: Sequence[Any]) -> None:
        cursor.execute(query if self._sqlite else query.replace("?", "%s"), values)

    def _last(self, table: str) -> int:
        with self._cursor(self._reader) as cursor:
            return self._last_in(cursor, table)

    def _last_in(self, cursor: Any, table: str) -> int:
        cursor.execute(_LAST[self._sqlite][table])
        return int(cursor.fetchone()[0])

    def _take_out(self, table: str, where: str, values: Sequence[Any]) -> int:
        """Delete the rows of a table for which `where` is true. Returns: how many there were."""
        gone, after = 0, 0
        while (first := self._first(table, where, values, after)) is not None:
            after = first - 1 + CHUNK_ROWS
            with self._transaction(table) as cursor:
                last = self._last_in(cursor, table)
                query = f'DELETE FROM {table} WHERE {where} AND "offset" >= ? AND "offset" <= ?'  # noqa: S608
                self._execute(cursor, query, (*values, first, after))
                if cursor.rowcount:
                    gone += cursor.rowcount
                    self._put_meta(cursor, _LAST_KEY + table, str(last))
                    self._execute(cursor, _COUNT_UP, (_GENERATION_KEY, "1"))
        return gone

    def _first(self, table: str, where: str, values: Sequence[Any], after: int) -> int | None:
        """The offset of the first row beyond `after` for which `where` is true."""
        query = f'SELECT "offset" FROM {table} WHERE {where} AND "offset" > ? ORDER BY "offset" LIMIT 1'  # noqa: S608
        with self._cursor(self._reader) as cursor:
            self._execute(cursor, query, (*values, after))
            row = cursor.fetchone()
            return None if row is None else int(row[0])

    def _write_events(self, cursor: Any, rows: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        """Insert those of `rows` (by event id) that the log does not have. Returns: what it has of the others."""
        stored = self._stored(cursor, list(rows))
        fresh = [row for key, row in rows.items() if key not in stored] if stored else list(rows.values())
        self._write_rows(cursor, _EVENTS, fresh)
        return stored

    def _stored(self, cursor: Any, event_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """What the log has of these ids: the fields of `EVENT_COLUMNS` and the source."""
        query = f"SELECT {_STORED_FIELDS} FROM events WHERE {self._among()}"  # noqa: S608
        self._execute(cursor, query, (self._list(event_ids),))
        return {row[0]: row for row in cursor.fetchall()}

    def _give(self, cursor: Any, event_ids: Sequence[str], source: int | None) -> None:
        if event_ids:
            query = f"UPDATE events SET source = ? WHERE {self._among()}"  # noqa: S608
            self._execute(cursor, query, (source, self._list(event_ids)))

    def _among(self) -> str:
        """The condition that an event's id is in a `_list`."""
        return "event_id IN (SELECT value FROM json_each(?))" if self._sqlite else "event_id = ANY(?)"

    def _list(self, event_ids: Sequence[str]) -> Any:
        return json.dumps(list(event_ids)) if self._sqlite else list(event_ids)

    def _write_rows(self, cursor: Any, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert rows at the next offsets. Returns: the last offset."""
        last = self._last_in(cursor, table.name)
        numbered = [(offset, *row) for offset, row in enumerate(rows, last + 1)]
        if self._sqlite:
            cursor.executemany(_insert(table), numbered)
        elif len(numbered) < 200:
            cursor.executemany(_insert(table).replace("?", "%s"), numbered)
        else:
            names = ", ".join(f'"{c.name}"' for c in table.columns)
            with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in numbered:
                    copy.write_row(row)
        return last + len(numbered)

    def _put_meta(self, cursor: Any, key: str, value: str) -> None:
        query = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self._execute(cursor, query, (key, value))

    def _export(
        self, table: sa.Table, types: Mapping[str, type[pl.DataType]], after: int, upto: int | None, where: str = ""
    ) -> pl.DataFrame:
        kinds: dict[str, type[pl.DataType]] = {"offset": pl.Int64, **types}
        bounds = f'"offset" > {int(after)}' + ("" if upto is None else f' AND "offset" <= {int(upto)}') + where
        names = ", ".join(f'"{name}"' for name in kinds)
        query = f'SELECT {names} FROM {table.name} WHERE {bounds} ORDER BY "offset"'  # noqa: S608
        with self._cursor(self._reader) as cursor:
            if not self._sqlite:
                with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as copy:
                    data = b"".join(copy)
                if not data:
                    return pl.DataFrame(schema=kinds)
                return pl.read_csv(io.BytesIO(data), has_header=False, schema=kinds)
            return self._columnar(cursor, table.name, kinds, bounds)

    def _columnar(self, cursor: Any, table: str, kinds: Mapping[str, type[pl.DataType]], bounds: str) -> pl.DataFrame:
        """SQLite's rows within `bounds` as a frame; columns without a value are not fetched, which halves the time."""
        counts = ", ".join(f'count("{name}")' for name in kinds)
        cursor.execute("BEGIN")  # both queries see the same rows
        try:
            cursor.execute(f"SELECT {counts} FROM {table} WHERE {bounds}")  # noqa: S608
            used = [name for name, n in zip(kinds, cursor.fetchone(), strict=True) if n]
            parts = [pl.DataFrame(schema=kinds)]
            if used:
                names = ", ".join(f'"{name}"' for name in used)
                cursor.execute(f'SELECT {names} FROM {table} WHERE {bounds} ORDER BY "offset"')  # noqa: S608
            while used and (rows := cursor.fetchmany(_FETCH_ROWS)):
                columns = zip(used, zip(*rows, strict=True), strict=True)
                part = pl.DataFrame([pl.Series(name, values, dtype=kinds[name]) for name, values in columns])
                missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in kinds.items() if name not in used]
                parts.append(part.with_columns(missing).select(list(kinds)))
        finally:
            cursor.execute("COMMIT")
        return pl.concat(parts, rechunk=True)

    def coarsened(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with every point (`latitude`, `longitude`) moved to its cell's centre, half a point left out."""
        points = frame.select("latitude", "longitude").drop_nulls().unique()  # equal ones are looked up once
        centres = [self.coarsen(*point) for point in points.rows()]
        table = points.with_columns(
            pl.Series(f"{name}_", [c[i] for c in centres], dtype=pl.Float64)
            for i, name in enumerate(("latitude", "longitude"))
        )
        return (
            frame.join(table, on=["latitude", "longitude"], how="left", maintain_order="left")
            .with_columns(latitude=pl.col("latitude_"), longitude=pl.col("longitude_"))
            .select(frame.columns)
        )


def export_parquet(log: EventLog, folder: Path, *, after: int = 0) -> dict[str, int]:
    """Write `events.parquet` and `exposures.parquet` into `folder`, for a data warehouse; each appears whole or not.

    Returns: rows written per table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, frame in (("events", log.frame(after)), ("exposures", log.exposures(after))):
        partial = folder / f".{name}.parquet.partial"
        frame.write_parquet(partial)
        partial.replace(folder / f"{name}.parquet")
        written[name] = frame.height
    return written


def _differs(given: Mapping[str, Any], new: tuple[Any, ...], first: tuple[Any, ...]) -> bool:
    """Whether an event says something else than the row of the same id that came first, as far as it says anything."""
    fields = zip(EVENT_COLUMNS, new, first, strict=False)
    return any(value != there and given.get(name) is not None for name, value, there in fields)


def _shaped(frame: pl.DataFrame, types: Mapping[str, type[pl.DataType]], defaults: Mapping[str, Any]) -> pl.DataFrame:
    """The frame with exactly the columns of `types`, in that order and of those types."""
    if unknown := sorted(set(frame.columns) - set(types)):
        raise ValueError(f"unknown column {unknown[0]!r} (expected {', '.join(types)})")
    present = set(frame.columns)
    chosen = [
        (pl.col(name).cast(kind) if name in present else pl.lit(None, dtype=kind).alias(name))
        for name, kind in types.items()
    ]
    return frame.select(chosen).with_columns(pl.col(name).fill_null(value) for name, value in defaults.items())


def _sqlite_engine(url: sa.URL, synchronous: str, *, read_only: bool = False) -> sa.Engine:
    engine = open_engine(url, **_POOL)

    @sa_event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute(f"PRAGMA cache_size = {-16_384 if read_only else -262_144}")  # KiB, used as needed
        cursor.execute("PRAGMA temp_store = MEMORY")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    return engine
