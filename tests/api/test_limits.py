"""Slow clients, half-sent requests and floods, at a real service; and the limits worked by hand."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from api import limits
from api.limits import Limits

RECEIVE_S = 8.0
BODY = b'{"user_id": "ana", "n": 100, "explain": true}'


def head(length: int, path: str = "/v1/recommend") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: segue", "Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


HALF = {"nothing": b"", "half a head": head(10)[:40], "half a body": head(len(BODY)) + BODY[:10]}


@pytest.fixture(scope="module")
def limited(own_house):
    house = own_house().settle(sections=f"[api]\nreceive_timeout_s = {RECEIVE_S}\nconcurrent_requests = 4")
    with house.serve() as running:
        yield running


@contextmanager
def connections(server: Any, sent: list[bytes]) -> Iterator[list[socket.socket]]:
    """A connection for each text, on which it has been sent."""
    host, port = server.address.removeprefix("http://").split(":")
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in sent]
        for connection, text in zip(found, sent, strict=True):
            connection.sendall(text)
        yield found


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def milliseconds(server: Any, times: int = 15) -> float:
    """The median time of a slate; each is answered."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        assert server.post("/v1/recommend", {"user_id": "ana"}).status_code == 200
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def test_two_hundred_clients_that_send_half_a_request_cost_others_nothing(limited):
    alone = milliseconds(limited)
    started = time.monotonic()
    with connections(limited, [text for text in HALF.values() for _ in range(67)][:200]) as half_open:
        beside = milliseconds(limited)
        assert time.monotonic() - started < RECEIVE_S, "too slow a machine to see anything"
        assert beside < 2 * alone + 20
        answers = [everything(connection) for connection in half_open]
    assert time.monotonic() - started < RECEIVE_S + 20
    assert {answer.split(b"\r\n")[0] for answer in answers[:134]} == {b""}
    assert {answer.split(b"\r\n")[0] for answer in answers[134:]} == {b"HTTP/1.1 408 Request Timeout"}
    assert len(answers[134:]) == 66
    problem = json.loads(answers[-1].split(b"\r\n\r\n")[1])
    assert (problem["title"], problem["detail"]) == ("Body too slow", "expected the whole body within 8 s")


def test_a_small_answer_does_not_wait_for_the_acknowledgement_of_its_head(limited):
    def milliseconds_of_one() -> float:
        started = time.perf_counter()
        limited.get("/healthz")
        return (time.perf_counter() - started) * 1000

    assert min(milliseconds_of_one() for _ in range(20)) < 20  # a delayed acknowledgement takes 40


def test_a_body_in_pieces_is_answered_if_it_comes_in_time(limited):
    with connections(limited, [head(len(BODY))]) as (connection,):
        for piece in (BODY[:5], BODY[5:20], BODY[20:]):
            time.sleep(0.2)
            connection.sendall(piece)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_the_second_request_of_a_connection_has_its_own_time(limited):
    with connections(limited, [head(len(BODY)) + BODY]) as (connection,):
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        while len(connection.recv(1 << 20)) > 1 << 19:
            pass
        connection.settimeout(RECEIVE_S + 20)
        connection.sendall(head(10)[:40])
        everything(connection)


def test_an_endless_head_is_cut_off(limited):
    with connections(limited, [b"GET / HTTP/1.1\r\n"]) as (connection,), pytest.raises(ConnectionError):
        send_for_ever(connection, b"x-more: " + b"x" * 1000 + b"\r\n")


def send_for_ever(connection: socket.socket, text: bytes) -> None:
    for _ in range(1000):
        connection.sendall(text)
        time.sleep(0.001)


def test_a_flood_is_told_to_come_again_and_the_service_is_still_known_to_live(limited):
    with connections(limited, [head(len(BODY))] * 100) as flood:
        # all at once: a busy machine may otherwise answer each before the next is sent
        limited.process.send_signal(signal.SIGSTOP)
        for connection in flood:
            connection.sendall(BODY)
        limited.process.send_signal(signal.SIGCONT)
        lives = limited.get("/healthz")
        answers = [connection.recv(4096) for connection in flood]
    assert lives.status_code == 200
    statuses = {answer[9:12] for answer in answers}
    assert statuses == {b"200", b"503"}
    refused = next(answer for answer in answers if answer[9:12] == b"503")
    assert b"\r\nretry-after: 1\r\n" in refused
    assert json.loads(refused.split(b"\r\n\r\n")[1])["title"] == "Overloaded"
    assert limited.post("/v1/recommend", {"user_id": "ana"}).status_code == 200


# ---- by hand


class Application:
    """Keeps each request until it is let go."""

    def __init__(self) -> None:
        self.go, self.bodies = asyncio.Event(), list[bytes]()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive()).get("body", b""))
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(app: Any, body: bytes | None = None, path: str = "/v1/x") -> int:
    headers = [] if body is None else [(b"transfer-encoding", b"chunked")]
    pieces = [] if not body else [body[:3], body[3:]]

    async def receive() -> Any:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
        if body == b"":
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b""}

    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    await app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    return int(told[0]["status"])


def test_more_than_are_answered_at_once_are_refused_until_one_is_done() -> None:
    async def run() -> None:
        app = Application()
        limited = Limits(app, most=2, receive_s=1)
        first = [asyncio.create_task(ask(limited)) for _ in range(2)]
        await asyncio.sleep(0)
        assert await ask(limited) == 503
        app.go.set()
        assert await ask(limited, path="/healthz") == 200
        assert [await task for task in first] == [200, 200]
        assert await ask(limited) == 200

    asyncio.run(run())


def test_half_sent_bodies_are_not_counted_as_requests() -> None:
    async def run() -> None:
        app = Application()
        app.go.set()
        limited = Limits(app, most=1, receive_s=0.2)
        half = [asyncio.create_task(ask(limited, b"")) for _ in range(5)]
        await asyncio.sleep(0)
        assert await ask(limited, b"a whole body") == 200
        assert app.bodies == [b"a whole body"]
        assert [await task for task in half] == [408] * 5

    asyncio.run(run())


def test_bodies_that_are_held_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BODIES", 10)

    async def run() -> None:
        app = Application()
        limited = Limits(app, most=9, receive_s=1)
        held = asyncio.create_task(ask(limited, b"6 byte"))
        await asyncio.sleep(0)
        assert await ask(limited, b"5 byt") == 503
        app.go.set()
        assert await held == 200
        assert await ask(limited, b"5 byt") == 200

    asyncio.run(run())


def test_a_client_that_leaves_half_way_is_answered_nothing(limited):
    with connections(limited, [HALF["half a body"]]):
        pass
    assert isinstance(limited.get("/healthz"), httpx.Response)
