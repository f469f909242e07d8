"""Event logs on every database that Segue supports."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graph.log.events import EventLog

_SPEC = importlib.util.spec_from_file_location(
    "support_postgres", Path(__file__).parents[1] / "support" / "postgres.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
postgres = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(postgres)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """A private PostgreSQL server for the whole run."""
    with postgres.server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an event log that does not exist yet, on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.db"
    return str(request.getfixturevalue("postgresql").new_database())


@pytest.fixture
def log(log_url: str) -> Iterator[EventLog]:
    with EventLog(log_url) as opened:
        yield opened


@pytest.fixture
def sqlite_log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog(f"sqlite:///{tmp_path}/events.db") as opened:
        yield opened


@pytest.fixture
def data() -> Callable[[str], Path]:
    """Where a public data set lies; skips where it does not."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("SEGUE_DATA", Path(__file__).parents[3] / "shared" / "data")) / name
        if not folder.exists():
            pytest.skip(f"the data set {name} is not in SEGUE_DATA")
        return folder

    return find
