"""Refresh jobs: their rows and processes, with a stand-in for the refresh."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.jobs import queue
from api.jobs.queue import ACTIVE, Jobs
from api.settings import Settings, load
from graph.errors import Busy, StoreUnavailable
from graph.log import sql

QUICK = [sys.executable, "-c", 'print(\'{"release": "r1"}\')']
SLOW = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(overrides={"state": {"dir": str(tmp_path)}, "refresh": {"schedule": "03:30"}})


@pytest.fixture
def made(settings: Settings) -> Iterator[Callable[..., Jobs]]:
    """Makes the jobs of a server; all are closed in the end."""
    opened: list[Jobs] = []

    def make(command: list[str] = QUICK) -> Jobs:
        opened.append(Jobs(settings, command))
        return opened[-1]

    yield make
    for jobs in opened:
        jobs.close()


def written(settings: Settings, **row: Any) -> None:
    """A row as another server left it."""
    values = {"id": "old", "status": "running", "report": "{}", "created_at": 1, "server": "1:1", "process": None} | row
    with sqlite3.connect(settings.events.url.removeprefix("sqlite:///")) as connection:
        connection.execute(
            "INSERT INTO refresh_jobs (id, status, report, created_at, server, process) "
            "VALUES (:id, :status, :report, :created_at, :server, :process)",
            values,
        )
    connection.close()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else, in a group of its own."""
    process = subprocess.Popen(SLOW, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def ended(jobs: Jobs, id_: str) -> Callable[[], bool]:
    return lambda: (jobs.get(id_) or {})["status"] not in ACTIVE


def test_a_job_runs_to_its_end(made: Callable[..., Jobs], wait_until: Callable[..., None]) -> None:
    jobs = made()
    id_ = jobs.start()["id"]
    wait_until(ended(jobs, id_), 20)
    assert jobs.get(id_) == {"id": id_, "status": "done", "steps": [], "release": "r1", "error": None}


def test_a_job_of_ours_is_interrupted(made: Callable[..., Jobs], wait_until: Callable[..., None]) -> None:
    jobs = made(SLOW)
    id_ = jobs.start()["id"]
    wait_until(lambda: (jobs.get(id_) or {})["status"] == "running", 20)
    assert (jobs.cancel(id_) or {})["status"] == "cancelled"
    wait_until(lambda: not jobs._processes, 20)
    assert (jobs.get(id_) or {})["status"] == "cancelled"


def test_another_worker_can_cancel_it(made: Callable[..., Jobs], wait_until: Callable[..., None]) -> None:
    mine = made(SLOW)
    id_ = mine.start()["id"]
    wait_until(lambda: (mine.get(id_) or {})["status"] == "running", 20)
    other = mine.__class__.__new__(Jobs)
    other.__dict__ |= mine.__dict__ | {"_processes": {}}
    assert (other.cancel(id_) or {})["status"] == "cancelled"
    wait_until(lambda: not mine._processes, 20)


def test_a_process_that_took_over_the_number_is_left_alone(
    made: Callable[..., Jobs], settings: Settings, stranger: subprocess.Popen[bytes]
) -> None:
    jobs = made()
    written(settings, server=queue._identity(os.getpid()), process=f"{stranger.pid}:1")
    assert (jobs.cancel("old") or {})["status"] == "cancelled"
    with pytest.raises(subprocess.TimeoutExpired):
        stranger.wait(0.3)


def test_numbers_used_again_keep_no_job_running(
    made: Callable[..., Jobs], settings: Settings, stranger: subprocess.Popen[bytes]
) -> None:
    jobs = made()
    written(settings, server=f"{os.getpid()}:1", process=f"{stranger.pid}:1")
    assert jobs.all()[0] == {
        "id": "old", "status": "failed", "steps": [], "release": None, "error": "the server stopped while it ran",
    }  # fmt: skip


def test_a_server_before_us_with_our_number_is_gone_even_where_starts_are_not_told(
    made: Callable[..., Jobs], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_start", lambda _: "")
    made()
    written(settings, server=f"{os.getpid()}:")
    assert (made().get("old") or {})["status"] == "failed"


def test_a_job_that_another_server_runs_goes_on(
    made: Callable[..., Jobs], settings: Settings, stranger: subprocess.Popen[bytes]
) -> None:
    made()
    written(settings, server=queue._identity(stranger.pid))
    with pytest.raises(Busy, match="job old is running"):
        made().start()


def test_a_job_that_cannot_be_run_ends_as_failed(made: Callable[..., Jobs], wait_until: Callable[..., None]) -> None:
    jobs = made(["/no/such/program"])
    id_ = jobs.start()["id"]
    wait_until(ended(jobs, id_), 20)
    assert (jobs.get(id_) or {})["error"] == "the job could not be run (FileNotFoundError)"


def test_an_end_that_the_database_did_not_take_is_written_later(
    made: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = made()

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "_update", down)
        thread = threading.Thread(target=jobs._run, args=("j", False))
        with jobs._connection() as connection:
            row = {
                "id": "j",
                "status": "queued",
                "report": "{}",
                "created_at": 1,
                "server": queue._identity(os.getpid()),
            }
            connection.execute(sa.insert(queue._JOBS).values(row))
        thread.start()
        thread.join(20)
    assert (jobs.get("j") or {})["status"] == "done"


def test_a_database_that_somebody_writes_to_is_busy_and_one_that_is_none_unavailable(
    made: Callable[..., Jobs], settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sql, "BUSY_TIMEOUT_S", 0.05)
    jobs = made()
    file = Path(settings.events.url.removeprefix("sqlite:///"))
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="another process is writing"):
        jobs.start()
    holder.execute("ROLLBACK")
    holder.close()
    (tmp_path / "other.db").write_text("this is no database at all, and never was" * 50)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        Jobs(load(overrides={"events": {"url": f"sqlite:///{tmp_path}/other.db"}}), QUICK)


def test_workers_that_start_together_make_one_table(made: Callable[..., Jobs]) -> None:
    failures: list[BaseException] = []

    def make() -> None:
        try:
            made()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_old_jobs_and_finished_threads_are_forgotten(
    made: Callable[..., Jobs], settings: Settings, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_KEPT", 2)
    jobs = made()
    for number in range(4):
        written(settings, id=f"old{number}", status="done", created_at=number)
    for _ in range(2):
        id_ = jobs.start()["id"]
        wait_until(ended(jobs, id_), 20)
        wait_until(lambda: not any(t.is_alive() for t in jobs._threads.values()), 5)
    assert list(jobs._threads) == [id_]
    with jobs._connection() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(queue._JOBS)).scalar() == 2


def test_the_nightly_refresh_outlives_any_error_and_is_tried_again(
    made: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, asked, stop = made(), [], threading.Event()
    times = iter([datetime(2025, 7, 1, 3, minute, tzinfo=UTC) for minute in (29, 30, 31, 32)])

    class Clock:
        @staticmethod
        def now(_: Any) -> datetime:
            return next(times)

    def start(*, id_: str) -> None:
        asked.append(id_)
        if len(asked) == 1:
            raise RuntimeError("whatever it is")
        stop.set()

    monkeypatch.setattr(queue, "datetime", Clock)
    monkeypatch.setattr(queue, "_NIGHTLY_LOOK_S", 0.001)
    monkeypatch.setattr(jobs, "start", start)
    jobs.nightly(stop)
    assert asked == ["nightly-20250701"] * 2


def test_a_signal_that_finds_nobody_is_no_error(made: Callable[..., Jobs], settings: Settings) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    identity = queue._identity(gone.pid)
    gone.wait()
    jobs = made()
    written(settings, server=queue._identity(os.getpid()), process=identity)
    assert (jobs.cancel("old") or {})["status"] == "cancelled"
