"""The SQL database of a state folder: its URL, its engines, and what its failures are called.

The event log and the jobs table stand in the same database.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from graph.errors import Busy, InvalidInput, NotWritable, StoreUnavailable

BUSY_TIMEOUT_S: Final = 30
"""Seconds that a writer waits for SQLite's write lock, which an import holds for some."""
_NEEDED: Final = 1 << 18
"""Bytes that SQLite needs to open a database: with less it names no reason of its own."""
_CONNECT_TIMEOUT_S: Final = 3
"""Short, because an answer may wait for it (once: then serving goes on without the log)."""


_UNWRITABLE: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
)


def parsed_url(url: str) -> sa.URL:
    """The URL as SQLAlchemy reads it, with the driver that ships.

    Raises: InvalidInput if it is of no database that Segue knows, or names no file.
    """
    expected = "expected sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise InvalidInput(f"events.url is no database URL ({expected})") from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise InvalidInput(f"events.url has the unknown scheme {parsed.drivername!r} ({expected})")
    if is_sqlite(parsed) and parsed.database in (None, "", ":memory:"):
        raise InvalidInput(f"events.url names no file, and an event log in memory would not be durable ({expected})")
    return parsed


def is_sqlite(url: sa.URL) -> bool:
    """Whether it is a file of SQLite's; otherwise it is PostgreSQL."""
    return url.get_backend_name() == "sqlite"


def open_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """An engine for what `parsed_url` gave, with further `options` of SQLAlchemy's; it connects when it is first used.

    Raises: StoreUnavailable if PostgreSQL's driver is not installed.
    """
    if is_sqlite(url):
        connect = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        return sa.create_engine(url, connect_args=connect, **options)
    try:
        # a server that was restarted is noticed by the ping, not by a caller
        return sa.create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S}, **options
        )
    except ModuleNotFoundError:
        raise StoreUnavailable("an event log in PostgreSQL needs psycopg (the extra `scale`)") from None


def make_folder(file: Path, what: str) -> None:
    """Make the folder that a file of SQLite's is to stand in.

    Raises: StoreUnavailable, which begins with `what`, if that cannot be.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise StoreUnavailable(f"{what} does not answer: {failure.strerror}: {file.parent}") from failure


def named_failure(failure: Exception, what: str, url: sa.URL) -> Busy | StoreUnavailable:
    """What to raise for a failure of SQLAlchemy or of its driver: Busy if SQLite is locked, NotWritable if its folder
    takes no more; it begins with `what`."""
    cause = failure.orig if isinstance(failure, sa.exc.DBAPIError) and failure.orig is not None else failure
    reason = " ".join(str(cause).split()) or type(cause).__name__
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(f"{what}: another process is writing ({reason})")
    if code is not None and code & 0xFF in _UNWRITABLE and _takes_nothing(Path(str(url.database)).parent):
        return NotWritable(f"{what} cannot be written: {reason}")
    return StoreUnavailable(f"{what} does not answer: {reason}")


def _takes_nothing(folder: Path) -> bool:
    """Whether a folder is read-only, or its disk full."""
    try:
        return not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < _NEEDED
    except OSError:
        return False
