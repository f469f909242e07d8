"""Refresh jobs that REST starts: each runs in a process of its own, its state in the SQL database.

A process is named `PID:START`, its start in clock ticks since the machine came up where the system tells it
(`/proc`), so that another process with a number that was used before is not taken for it.
"""

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
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from api.problems import JobBusy
from api.settings import Settings
from api.threads import environment_of_jobs
from graph.errors import NotWritable, SegueError
from graph.log.sql import named_failure, open_engine, parsed_url
from graph.release import Releases

_log = structlog.get_logger(__name__)
_TABLES: Final = sa.MetaData()
_JOBS: Final = sa.Table(
    "refresh_jobs",
    _TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("process", sa.String(64)),
    sa.Column("server", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
ACTIVE: Final = ("queued", "running")
_KEPT: Final = 200
_LOOK_S: Final = 2.0  # how often a job's thread looks whether another worker has cancelled it
_NIGHTLY_LOOK_S: Final = 20.0


class Jobs:
    """The jobs of one state folder; usable from several workers at once.

    Raises (but when it is made): NotWritable in a folder that cannot be written. Raises (everywhere): StoreUnavailable
    if the database does not answer; Busy if another process held its write lock for half a minute.
    """

    def __init__(self, settings: Settings, command: list[str]) -> None:
        """`command` starts the command line of the same settings, `["python", "-m", "api", "--config", …]`."""
        self._settings, self._command = settings, command
        self._url = parsed_url(settings.events.url)
        self._engine, self._open = open_engine(self._url), False
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._ends: dict[str, dict[str, Any]] = {}  # how jobs ended, until the database has taken it
        with contextlib.suppress(NotWritable):  # the service answers without it, and whoever asks for a job is told
            self._bury_the_dead(before_us=True)

    def start(self, *, full: bool = False, id_: str | None = None) -> dict[str, Any]:
        """Start a refresh.

        Raises: JobBusy if one is under way, or there has been one of that id.
        """
        active = [job for job in self.all() if job["status"] in ACTIVE]
        if active:
            raise JobBusy(f"job {active[0]['id']} is {active[0]['status']}")
        id_ = id_ or uuid.uuid4().hex
        row = {
            "id": id_,
            "status": "queued",
            "report": "{}",
            "server": _identity(os.getpid()),
            "created_at": int(time.time() * 1000),
        }
        try:
            with self._connection() as connection:
                connection.execute(sa.insert(_JOBS).values(row))
                self._forget_old(connection)
        except sa.exc.IntegrityError as error:
            raise JobBusy(f"job {id_} exists") from error
        thread = threading.Thread(target=self._run, args=(id_, full), name=f"job-{id_}", daemon=True)
        with self._lock:
            self._threads = {name: one for name, one in self._threads.items() if one.is_alive()}
            try:
                thread.start()
            except RuntimeError:  # no more threads to be had
                self._ends[id_] = {"status": "failed", "error": "the server could start no thread"}
                raise
            self._threads[id_] = thread
        return self.get(id_) or {}

    def get(self, id_: str) -> dict[str, Any] | None:
        """One job, or None."""
        self._bury_the_dead()
        row = self._row(id_)
        return None if row is None else self._described(row)

    def all(self) -> list[dict[str, Any]]:
        """The latest jobs, the newest first."""
        self._bury_the_dead()
        query = sa.select(_JOBS).order_by(_JOBS.c.created_at.desc(), _JOBS.c.id).limit(_KEPT)
        with self._connection() as connection:
            return [self._described(row) for row in connection.execute(query).mappings()]

    def cancel(self, id_: str) -> dict[str, Any] | None:
        """Interrupt a job; what it had built stays for the next refresh. None for an unknown one."""
        row = self._row(id_)
        if row is None:
            return None
        if row["status"] in ACTIVE:
            self._update(id_, status="cancelled")
            mine, process = self._processes.get(id_), row["process"]
            if mine is not None:
                _interrupt(mine)
            elif process is not None and _is_certainly(process):
                with contextlib.suppress(OSError):
                    os.killpg(_pid(process), signal.SIGINT)
            # else its own worker sees the status and interrupts it
        return self.get(id_)

    def nightly(self, stop: threading.Event) -> None:
        """Start the refresh of `refresh.schedule` once a day until `stop` is set; the day is in the job's id, so
        several workers start one between them. One that could not be started is tried again."""
        schedule = self._settings.refresh.schedule
        last = datetime.now(UTC)
        while schedule and not stop.wait(_NIGHTLY_LOOK_S):
            now = datetime.now(UTC)
            hour, minute = (int(part) for part in schedule.split(":"))
            due = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            try:
                if last < due <= now:
                    self.start(id_=f"nightly-{now:%Y%m%d}")
            except JobBusy as error:
                _log.info("nightly refresh not needed", reason=str(error))
            except Exception as error:  # noqa: BLE001  the thread outlives it: there is another night
                _log.exception("nightly refresh not started", reason=f"{type(error).__name__}: {error}")
                continue
            last = now

    def close(self) -> None:
        """Interrupt the jobs of this process and wait for them."""
        for id_, thread in list(self._threads.items()):
            if thread.is_alive():
                try:
                    self.cancel(id_)
                except SegueError as error:
                    _log.error("job interrupted without its status", job=id_, reason=str(error))
                    if (process := self._processes.get(id_)) is not None:
                        _interrupt(process)
                thread.join(timeout=30)
        self._engine.dispose()

    # ---- the thread of one job

    def _run(self, id_: str, full: bool) -> None:
        """Run the job to its end and write down how it ended, whatever happens."""
        end: dict[str, Any] = {"status": "failed", "error": "the server stopped while it ran"}
        try:
            end = self._work(id_, full)
        except Exception as error:  # noqa: BLE001  a job always has an end
            _log.exception("job broke off", job=id_)
            end = {"status": "failed", "error": f"the job could not be run ({type(error).__name__})"}
        finally:
            with self._lock:
                self._processes.pop(id_, None)
                self._ends[id_] = end
            try:
                self._write_ends()
            except SegueError as error:
                _log.error("end of a job not written yet", job=id_, reason=str(error))

    def _work(self, id_: str, full: bool) -> dict[str, Any]:
        """Run the refresh in a process. Returns: the columns that tell how it ended."""
        command = [*self._command, "refresh", "--json", *(["--full"] if full else [])]
        # a group of its own: cancelling reaches all of it, and Ctrl-C on the server does not reach it twice
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=environment_of_jobs(),
        )  # fmt: skip
        self._processes[id_] = process
        try:
            out, err = self._followed(id_, process)
        finally:
            if process.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        report = _last_json(out)
        if process.returncode == 0:
            return {"status": "done", "report": json.dumps(report)}
        reason = report.get("reason") or (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        return {"status": "failed", "report": json.dumps(report), "error": reason}

    def _followed(self, id_: str, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Wait for the process, and interrupt it once its job is cancelled. Returns: what it wrote."""
        told = interrupted = False
        while True:
            # a database that does not answer now stops no refresh
            with contextlib.suppress(SegueError):
                if not told:
                    self._update(id_, status="running", process=_identity(process.pid))
                    told = True
                row = self._row(id_)
                if not interrupted and row is not None and row["status"] == "cancelled":
                    _interrupt(process)
                    interrupted = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=_LOOK_S)

    # ---- the table

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        """A connection in a transaction; the database's failures become StoreUnavailable or Busy."""
        try:
            if not self._open:
                self._create()
                self._open = True
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.IntegrityError:
            raise
        except sa.exc.SQLAlchemyError as error:
            self._engine.dispose()  # SQLite keeps a connection read-only that was opened when nothing could be written
            raise named_failure(error, "jobs table", self._url) from error

    def _create(self) -> None:
        # one statement, so that servers that start together do not both find no table; in PostgreSQL the one that loses
        # the race is told so by its catalogue's own keys
        with contextlib.suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(_JOBS, if_not_exists=True))

    def _row(self, id_: str) -> RowMapping | None:
        with self._connection() as connection:
            return connection.execute(sa.select(_JOBS).where(_JOBS.c.id == id_)).mappings().first()

    def _update(self, id_: str, **values: Any) -> None:
        """Change a job that has not ended."""
        with self._connection() as connection:
            query = sa.update(_JOBS).where(_JOBS.c.id == id_, _JOBS.c.status.in_(ACTIVE)).values(**values)
            connection.execute(query)

    def _write_ends(self) -> None:
        for id_, end in list(self._ends.items()):
            self._update(id_, **end)
            self._ends.pop(id_, None)

    def _forget_old(self, connection: sa.Connection) -> None:
        newest = sa.select(_JOBS.c.id).order_by(_JOBS.c.created_at.desc(), _JOBS.c.id).limit(_KEPT)
        over = _JOBS.c.status.not_in(ACTIVE) & _JOBS.c.id.not_in(newest)
        connection.execute(sa.delete(_JOBS).where(over))

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

    def _bury_the_dead(self, *, before_us: bool = False) -> None:
        """Jobs whose server and process are both gone failed with them: nobody is left to write down their end.

        `before_us`: we have started no job yet, so a server with our number was an earlier one.
        """
        self._write_ends()
        active = _JOBS.c.status.in_(ACTIVE)
        with self._connection() as connection:
            rows = connection.execute(sa.select(_JOBS).where(active)).mappings().all()
        for row in rows:
            served = _alive(row["server"]) and not (before_us and _pid(row["server"]) == os.getpid())
            if not served and (row["process"] is None or not _alive(row["process"])):
                self._update(row["id"], status="failed", error="the server stopped while it ran")


def refresh_command(config: str | None) -> list[str]:
    """The command line of this program with the same settings file."""
    return [sys.executable, "-P", "-m", "api", *(["--config", config] if config else [])]


def _interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C for a process of ours and its group, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGINT)


def _identity(pid: int) -> str:
    return f"{pid}:{_start(pid)}"


def _pid(identity: str) -> int:
    return int(identity.partition(":")[0])


def _start(pid: int) -> str:
    """When a process that lives was started (ticks since the machine came up); empty where nobody tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # the name, in parentheses, may hold anything; after it come the third field (the state) and those that follow
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[22 - 3]


def _is_certainly(identity: str) -> bool:
    """Whether that very process lives, as far as the system tells the start of processes."""
    start = identity.partition(":")[2]
    return bool(start) and _start(_pid(identity)) == start


def _alive(identity: str) -> bool:
    """Whether that process lives, or one with its number where the system does not tell more."""
    if identity.partition(":")[2]:
        return _is_certainly(identity)
    try:
        os.kill(_pid(identity), 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _last_json(text: str) -> dict[str, Any]:
    for line in reversed(text.strip().splitlines()):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}
