"""One line a request in the log of a real service, and the id that its answer carries."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from api import log_lines, problems
from api.keys import entry
from api.request_log import RequestLog

KEY = "the key of a player"


@pytest.fixture(scope="module")
def logged(own_house, tmp_path_factory):
    """A service with one key, whose graph nobody can reach."""
    house = own_house()
    house.graph = tmp_path_factory.mktemp("graph") / "a file"
    house.graph.write_text("no folder", encoding="utf-8")
    held = entry("player", ["read", "operate"], KEY)
    keys = f'[{{ name = "player", roles = ["read", "operate"], sha256 = "{held["sha256"]}" }}]'
    house.settle(sections=f"[api]\nkeys = {keys}")
    with house.serve(headers={"Authorization": f"Bearer {KEY}"}) as running:
        yield running, house.folder / "serve.log"
    # the service has ended, and said the last of what repeats
    lines = [json.loads(line) for line in (house.folder / "serve.log").read_text(encoding="utf-8").splitlines()]
    told = [line.get("times") for line in lines if line["event"] == "request failed"]
    assert told == [None, 4]


@pytest.fixture
def line_of(logged, wait_until):
    def find(id_: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            lines = map(json.loads, logged[1].read_text(encoding="utf-8").splitlines())
            return [line for line in lines if line["event"] == "request" and line["request_id"] == id_]

        wait_until(found, 10)
        (line,) = found()
        return dict(line)

    return find


def test_a_request_is_one_line_with_route_status_time_and_name_of_the_key(logged, line_of):
    answer = logged[0].post("/v1/recommend", {"user_id": "ana"}, headers={"X-Request-Id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    line = line_of("mine-1")
    assert line.keys() == {"event", "level", "timestamp", "request_id", "method", "route", "status", "ms", "key"}
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/recommend", 200)
    assert (line["key"], line["level"]) == ("player", "info")
    assert 0 < line["ms"] < 60_000


def test_the_log_names_no_listener_and_no_key(logged, line_of):
    logged[0].get("/v1/users/somebody-private/why/none", headers={"X-Request-Id": "mine-2"})
    assert line_of("mine-2")["route"] == "/v1/users/{id}/why/{song_id}"
    text = logged[1].read_text(encoding="utf-8")
    assert "somebody-private" not in text
    assert KEY not in text


@pytest.mark.parametrize("given", ["a b", "x" * 129, 'a"b', "", None])
def test_an_id_that_is_not_well_formed_is_replaced(logged, line_of, given):
    answer = logged[0].get("/healthz", headers={} if given is None else {"X-Request-Id": given})
    id_ = answer.headers["x-request-id"]
    assert (len(id_), id_ == given) == (32, False)
    assert line_of(id_)["route"] == "/healthz"


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        ({"method": "GET", "url": "/v1/nothing"}, 404),
        ({"method": "GET", "url": "/v1/nothing", "headers": {"Authorization": "Bearer wrong"}}, 401),
        ({"method": "POST", "url": "/v1/events", "json": []}, 403),
        ({"method": "POST", "url": "/v1/recommend", "json": {}}, 422),
        ({"method": "POST", "url": "/v1/events", "content": b" " * (8 * 1024 * 1024 + 1)}, 413),
    ],
)
def test_a_problem_carries_the_id_of_its_request(logged, line_of, ask, status):
    answer = logged[0].client.request(**ask)
    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert line_of(answer.headers["x-request-id"])["status"] == status


def test_a_fault_that_repeats_is_written_once(logged, line_of):
    for number in range(5):
        answer = logged[0].post("/v1/graph/query", {"query": "RETURN 1 AS one"}, headers={"X-Request-Id": f"q{number}"})
        assert answer.status_code == 503
        line_of(f"q{number}")
    faults = [line for line in logged[1].read_text(encoding="utf-8").splitlines() if "request failed" in line]
    assert len(faults) == 1
    assert json.loads(faults[0])["request_id"] == "q0"


# ---- without a service


@pytest.fixture
def out():
    before, written = structlog.get_config(), io.BytesIO()
    log_lines.use_json(written)
    yield written
    structlog.configure(**before)


def test_what_nobody_expected_is_a_problem_with_its_id_and_its_traceback_in_the_log(out):
    app = FastAPI()
    problems.install(app)
    app.add_middleware(RequestLog)

    @app.get("/broken")
    def broken() -> None:
        raise KeyError("of a listener")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://segue") as client:
            return await client.get("/broken", headers={"X-Request-Id": "b1"})

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["request_id"], answer.headers["x-request-id"]) == (500, "b1", "b1")
    assert "listener" not in answer.text
    fault, request = (json.loads(line) for line in out.getvalue().splitlines())
    assert (fault["event"], fault["request_id"]) == ("unexpected error", "b1")
    assert "KeyError: 'of a listener'" in fault["exception"]
    assert (request["event"], request["status"]) == ("request", 500)


def test_a_line_costs_less_than_fifty_microseconds(out):
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def nothing(*_: Any) -> None: ...

    async def thousand(asked: Any) -> float:
        started = time.perf_counter()
        for _ in range(1000):
            await asked({"type": "http", "method": "GET", "path": "/", "headers": []}, nothing, nothing)
        return (time.perf_counter() - started) / 1000

    best = {asked: min(asyncio.run(thousand(asked)) for _ in range(10)) for asked in (app, RequestLog(app))}
    plain, with_line = best.values()
    assert with_line - plain < 50e-6
