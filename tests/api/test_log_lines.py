"""The log of the service: faults that repeat, and lines that JSON can say."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from api import log_lines
from api.log_lines import REQUEST_ID, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lets_through(repeats: Repeats, event: str, level: str = "error", **more: object) -> bool:
    try:
        repeats(None, level, {"event": event, "level": level, **more})
    except structlog.DropEvent:
        return False
    return True


def test_a_fault_is_written_at_once_and_then_once_a_minute_with_how_often_it_came() -> None:
    clock = Clock()
    repeats = Repeats(60, clock)
    assert [lets_through(repeats, "no store", path=f"/{i}") for i in range(5)] == [True, False, False, False, False]
    clock.now = 59
    assert repeats.due() == []
    clock.now = 60
    assert repeats.due() == [{"event": "no store", "level": "error", "path": "/4", "times": 4}]
    assert not lets_through(repeats, "no store")
    clock.now = 120
    assert [line["times"] for line in repeats.due()] == [1]
    clock.now = 180
    assert repeats.due() == []
    assert lets_through(repeats, "no store")


def test_what_has_not_been_told_yet_is_told_at_the_end() -> None:
    repeats = Repeats(60, Clock())
    assert [lets_through(repeats, "no store") for _ in range(3)] == [True, False, False]
    assert [line["times"] for line in repeats.due(last=True)] == [2]


def test_faults_that_say_something_else_are_not_the_same() -> None:
    repeats = Repeats(60, Clock())
    assert lets_through(repeats, "left out", channel="social")
    assert lets_through(repeats, "left out", channel="lbs")
    assert lets_through(repeats, "left out", "warning", channel="als")
    assert not lets_through(repeats, "left out", channel="lbs")


def raised(kind: type[Exception]) -> Exception:
    try:
        raise kind("x")
    except kind as error:
        return error


def test_an_error_of_another_kind_or_place_is_another_fault() -> None:
    repeats = Repeats(60, Clock())
    assert lets_through(repeats, "unexpected", exc_info=raised(KeyError))
    assert lets_through(repeats, "unexpected", exc_info=raised(OSError))
    assert not lets_through(repeats, "unexpected", exc_info=raised(KeyError))


def test_what_is_no_fault_is_always_written() -> None:
    repeats = Repeats(60, Clock())
    assert all(lets_through(repeats, "request", "info") for _ in range(3))


def test_ever_new_faults_do_not_fill_the_memory() -> None:
    repeats = Repeats(60, Clock())
    for number in range(log_lines.MOST):
        assert lets_through(repeats, "odd", reason=str(number))
    assert [lets_through(repeats, "odd", reason=f"more {number}") for number in range(3)] == [True, False, False]


@pytest.fixture
def out() -> Iterator[io.BytesIO]:
    before, written = structlog.get_config(), io.BytesIO()
    log_lines.use_json(written)
    yield written
    structlog.configure(**before)


def lines(out: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_json_with_its_level_time_and_request(out: io.BytesIO) -> None:
    token = REQUEST_ID.set("r-1")
    structlog.get_logger().warning("odd", reason="why")
    REQUEST_ID.reset(token)
    (line,) = lines(out)
    assert line.pop("timestamp")
    assert line == {"event": "odd", "reason": "why", "level": "warning", "request_id": "r-1"}


def test_what_json_cannot_say_is_written_all_the_same(out: io.BytesIO) -> None:
    structlog.get_logger().error("odd", reason="\ud800", what={1, 2})
    assert r"\ud800" in str(lines(out)[0]["reason"])


def test_uvicorn_s_lines_are_lines_of_this_log(out: io.BytesIO) -> None:
    logger = logging.Logger("uvicorn.error")
    logger.addHandler(log_lines.Handler())
    try:
        raise KeyError("lost")
    except KeyError:
        logger.error("Exception in %s", "x", exc_info=sys.exc_info())
    (line,) = lines(out)
    assert (line["event"], line["level"]) == ("Exception in x", "error")
    assert "KeyError: 'lost'" in str(line["exception"])
