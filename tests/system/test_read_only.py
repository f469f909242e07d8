"""A state folder that cannot be written is served from, and taken up again once it can be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from segue_test_house import House, Server

# Root may write anywhere; without this right it may not, like everybody else.
WITHOUT_THE_RIGHT = """
import ctypes, os, sys
for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; dropped from what the next program may have
    ctypes.CDLL(None).prctl(24, right, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
EVENT = [{"event_id": "e", "user_id": "1", "action": "search", "query": "rain"}]


def protect(folder: Path, *, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if writable else 0o555)


@pytest.fixture
def read_only(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    plain = House.command
    monkeypatch.setattr(House, "command", lambda *args: [sys.executable, "-c", WITHOUT_THE_RIGHT, *plain(*args)])
    log = house.folder / "serve.log"
    log.touch()
    protect(house.folder, writable=False)
    log.chmod(0o644)
    try:
        with house.serve() as running:
            yield running
    finally:
        protect(house.folder, writable=True)


def test_slates_are_answered_events_refused_and_the_log_is_joined_once_it_can_be(read_only, house, wait_until):
    assert read_only.get("/readyz").json()["live"] == "detached"
    assert len(read_only.post("/v1/recommend", {"user_id": "1"}).json()["items"]) == 10
    release = read_only.get("/v1/releases").json()["current"]
    for answer in (
        read_only.post("/v1/events", EVENT),
        read_only.client.put("/v1/tags/new", json={}),
        read_only.get("/v1/jobs"),
        read_only.post("/v1/jobs/refresh"),
        read_only.post(f"/v1/releases/{release}/activate"),
    ):
        assert (answer.status_code, answer.json()["title"]) == (503, "Store unavailable")
        assert str(house.folder) not in answer.text
    house.folder.chmod(0o755)  # in the order of `chmod -R`, and the server looks at the log in between
    assert read_only.post("/v1/events", EVENT).status_code == 503
    assert not list(house.folder.glob("events.db-*"))  # SQLite would make them as protected as the log still is
    protect(house.folder, writable=True)
    assert read_only.post("/v1/events", EVENT).json()["accepted"] == 1
    wait_until(lambda: read_only.get("/readyz").json()["live"] == "attached", 5)
    assert read_only.get("/v1/jobs").json() == {"jobs": []}
