"""Refresh jobs that REST starts: each runs in a process of its own, its state in the SQL database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from api.settings import Settings
from graph.errors import Busy, StoreUnavailable
from graph.release import Releases

_log = structlog.get_logger(__name__)
_TABLES: Final = sa.MetaData()
_JOBS: Final = sa.Table(
    "jobs",
    _TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("server_pid", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
ACTIVE: Final = ("queued", "running")
_KEPT: Final = 200


class Jobs:
    """The jobs of one state folder; usable from several workers at once."""

    def __init__(self, settings: Settings, command: list[str]) -> None:
        """`command` starts the command line of the same settings, `["python", "-m", "api", "--config", …]`."""
        self._settings, self._command = settings, command
        self._engine = sa.create_engine(settings.events.url, pool_pre_ping=True)
        try:
            _TABLES.create_all(self._engine)
        except sa.exc.SQLAlchemyError as error:
            raise StoreUnavailable(f"jobs table: {error}") from error
        self._threads: list[threading.Thread] = []

    def start(self, *, full: bool = False, id_: str | None = None) -> dict[str, Any]:
        """Start a refresh.

        Raises: Busy if one is under way.
        """
        active = [job for job in self.all() if job["status"] in ACTIVE]
        if active:
            raise Busy(f"job {active[0]['id']} is {active[0]['status']}")
        id_ = id_ or uuid.uuid4().hex
        row = {
            "id": id_,
            "kind": "refresh",
            "status": "queued",
            "report": "{}",
            "server_pid": os.getpid(),
            "created_at": int(time.time() * 1000),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(_JOBS).values(row))
        except sa.exc.IntegrityError as error:
            raise Busy(f"job {id_} exists") from error
        thread = threading.Thread(target=self._run, args=(id_, full), name=f"job-{id_}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return self.get(id_) or {}

    def get(self, id_: str) -> dict[str, Any] | None:
        """One job, or None."""
        self._bury_the_dead()
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_JOBS).where(_JOBS.c.id == id_)).mappings().first()
        return None if row is None else self._described(row)

    def all(self) -> list[dict[str, Any]]:
        """The latest jobs, the newest first."""
        self._bury_the_dead()
        query = sa.select(_JOBS).order_by(_JOBS.c.created_at.desc(), _JOBS.c.id).limit(_KEPT)
        with self._engine.connect() as connection:
            return [self._described(row) for row in connection.execute(query).mappings()]

    def cancel(self, id_: str) -> dict[str, Any] | None:
        """Interrupt a job; what it had built stays for the next refresh. None for an unknown one."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(_JOBS).where(_JOBS.c.id == id_)).mappings().first()
            if row is None:
                return None
            if row["status"] in ACTIVE:
                connection.execute(sa.update(_JOBS).where(_JOBS.c.id == id_).values(status="cancelled"))
                if row["pid"] is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(row["pid"], signal.SIGINT)
        return self.get(id_)

    def nightly(self, stop: threading.Event) -> None:
        """Start the refresh of `refresh.schedule` once a day until `stop` is set; the day is in the job's id, so
        several workers start one between them."""
        schedule = self._settings.refresh.schedule
        last = datetime.now(UTC)
        while schedule and not stop.wait(20):
            now = datetime.now(UTC)
            hour, minute = (int(part) for part in schedule.split(":"))
            due = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            if last < due <= now:
                with contextlib.suppress(Busy, StoreUnavailable):
                    self.start(id_=f"nightly-{now:%Y%m%d}")
            last = now

    def close(self) -> None:
        """Interrupt the jobs of this process and wait for them."""
        for thread in self._threads:
            if thread.is_alive():
                self.cancel(thread.name.removeprefix("job-"))
                thread.join(timeout=30)
        self._engine.dispose()

    # ---- inside

    def _run(self, id_: str, full: bool) -> None:
        command = [*self._command, "refresh", "--json", *(["--full"] if full else [])]
        # a group of its own: cancelling reaches all of it, and Ctrl-C on the server does not reach it twice
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self._update(id_, status="running", pid=process.pid, only=ACTIVE)
        current = self.get(id_)
        if current is not None and current["status"] == "cancelled":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
        report = _last_json(out)
        if process.returncode == 0:
            self._update(id_, status="done", report=json.dumps(report), only=ACTIVE)
        else:
            reason = report.get("reason") or (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            self._update(id_, status="failed", report=json.dumps(report), error=reason, only=ACTIVE)

    def _update(self, id_: str, *, only: tuple[str, ...], **values: Any) -> None:
        with self._engine.begin() as connection:
            query = sa.update(_JOBS).where(_JOBS.c.id == id_, _JOBS.c.status.in_(only)).values(**values)
            connection.execute(query)

    def _described(self, row: RowMapping) -> dict[str, Any]:
        report = json.loads(row["report"])
        steps = report.get("steps", [])
        if row["status"] == "running":
            steps = self._steps_so_far()
        return {
            "id": row["id"],
            "status": row["status"],
            "steps": steps,
            "release": report.get("release"),
            "error": row["error"],
        }

    def _steps_so_far(self) -> list[dict[str, Any]]:
        from api.jobs.steps import Build

        done = Build(Releases(self._settings.releases.dir).building).state
        return [
            {"name": n, "status": "ran", "seconds": None, "fingerprint": s["fingerprint"][:16]} for n, s in done.items()
        ]

    def _bury_the_dead(self) -> None:
        """Jobs whose server and process are both gone failed with them: nobody is left to write down their end."""
        active = _JOBS.c.status.in_(ACTIVE)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_JOBS).where(active)).mappings().all()
        for row in rows:
            if not any(_alive(pid) for pid in (row["server_pid"], row["pid"]) if pid is not None):
                self._update(row["id"], status="failed", error="the server stopped while it ran", only=ACTIVE)


def refresh_command(config: str | None) -> list[str]:
    """The command line of this program with the same settings file."""
    return [sys.executable, "-m", "api", *(["--config", config] if config else [])]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _last_json(text: str) -> dict[str, Any]:
    for line in reversed(text.strip().splitlines()):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}
