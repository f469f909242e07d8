"""A private PostgreSQL server for tests: its own cluster in a temporary folder, reached by a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skip with the reason; with SEGUE_REQUIRE_POSTGRESQL=1 that is a failure."""
    if os.environ.get("SEGUE_REQUIRE_POSTGRESQL") == "1":
        pytest.fail(f"PostgreSQL is required: {reason}")
    pytest.skip(reason)


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: on the path, or where Debian's package puts the newest."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    folders = [f.parent for f in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda f: int(f.parent.name) if f.parent.name.isdigit() else 0, default=None)


class Server:
    """A running cluster; `new_database()` gives the URL of an empty database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new_database(self) -> str:
        import psycopg

        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://segue@/{name}?host={self._folder}"

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._dsn("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _dsn(self, database: str) -> str:
        return f"host={self._folder} user=segue dbname={database} connect_timeout=5"


@contextmanager
def server() -> Iterator[Server]:
    """Start a cluster, stop and delete it at the end."""
    where = binaries()
    if where is None:
        unavailable("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        unavailable("psycopg is not installed (the extra `scale`)")
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="segue-pg-"))
    process = None
    try:
        if owner:
            shutil.chown(folder, owner["user"], owner["group"])
        data = folder / "data"
        made = subprocess.run(
            [where / "initdb", "-D", data, "-U", "segue", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            capture_output=True, text=True, cwd=folder, check=False, **owner,
        )  # fmt: skip
        if made.returncode:
            unavailable(f"initdb failed: {made.stderr.strip()[-300:]}")
        with (folder / "log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [where / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
                stdout=log, stderr=log, cwd=folder, **owner,
            )  # fmt: skip
        started = Server(folder)
        deadline = time.monotonic() + 30
        while not started.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                unavailable(f"postgres did not start: {(folder / 'log').read_text(encoding='utf-8')[-300:]}")
            time.sleep(0.05)
        yield started
    finally:
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # fast shutdown
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> dict[str, Any]:
    """Whom to run as: initdb refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    unavailable("there is no user that is not root to run PostgreSQL as")
