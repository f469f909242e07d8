import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from segue_test_worlds import NOW, World

from graph.errors import StoreUnavailable
from graph.events import EventLog
from graph.release import Release
from recall.live import Live, LiveState


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog(f"sqlite:///{tmp_path}/events.db") as opened:
        opened.append([event(0), event(1)], now=NOW)
        yield opened


def event(number: int, user: str = "ana") -> dict[str, Any]:
    return {"event_id": str(number), "user_id": user, "action": "like", "song_id": "s1", "at": NOW}


def release(world: World, log_id: str, offset: int) -> Release:
    return dataclasses.replace(world.release, manifest={"events": {"log_id": log_id, "offset": offset}})


def test_follows_what_came_after_the_release(lopsided: World, log: EventLog) -> None:
    live = Live(release(lopsided, log.log_id, 1), log)
    log.append([event(2), event(3, "ben")], now=NOW)
    assert live.status.state == "attached"
    assert [e.event_id for e in live.latest("ana")] == ["1", "2"]
    assert not live.latest("unknown")


@pytest.mark.parametrize(
    ("log_id", "offset", "reason"),
    [("another", 1, "another event log"), (None, 3, "ahead of the event log")],
)
def test_detached_it_serves_from_the_release_alone(
    lopsided: World, log: EventLog, log_id: str | None, offset: int, reason: str
) -> None:
    live = Live(release(lopsided, log_id or log.log_id, offset), log)
    assert live.status.state == "detached"
    assert reason in str(live.status.reason)
    assert live.latest("ana") == ()


def test_without_a_log_it_is_detached(lopsided: World) -> None:
    assert Live(lopsided.release, None).status.state == "detached"


def test_a_log_that_stops_answering_takes_nothing_down(
    lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable("the event log does not answer")

    live = Live(release(lopsided, log.log_id, 0), log)
    monkeypatch.setattr(log, "of_user", down)
    assert live.latest("ana") == ()
    assert live.status == LiveState("detached", "the event log does not answer")


def test_joins_a_log_that_answers_again(lopsided: World, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable("event log sqlite:////secret/events.db does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(log, "last_offset", down)
        live = Live(release(lopsided, log.log_id, 1), log)
        assert live.status == LiveState("detached", "the event log does not answer")
        assert live.check() == live.status
    assert live.check() == LiveState("attached", lag=1)
    assert [e.event_id for e in live.latest("ana")] == ["1"]
    with monkeypatch.context() as patch:
        patch.setattr(log, "of_user", down)
        assert live.latest("ana") == ()
        assert live.status.state == "detached"
    assert live.latest("ana") == ()  # nobody waits for it before it has been looked at
    live.check()
    assert live.latest("ana")
