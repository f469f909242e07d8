"""How much is taken at once, so that slow clients and floods cost others little.

A body is read whole before its request counts as being answered: a client that sends half of one holds nothing but its
connection. Answers are computed on the event loop, one after the other, so requests are counted when they come.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

MAX_BODY: Final = 8 * 1024 * 1024
MAX_BODIES: Final = 32 * MAX_BODY
"""Bytes of all bodies that a worker holds at once."""
ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Answered under any load: whoever watches the service must not take a flood for a death."""
RETRY_S: Final = 1


class _Refused(Exception):
    """Says what is answered in place of the application's answer."""

    def __init__(self, answer: Response | None) -> None:
        super().__init__()
        self.answer = answer


class Limits:
    """Answers 408 to a body that does not arrive in time, 413 to one that is too large, and 503 to more requests than
    `most` at once, or more bytes of bodies than `MAX_BODIES`."""

    def __init__(self, app: ASGIApp, most: int, receive_s: float) -> None:
        self._app, self._most, self._receive_s = app, most, receive_s
        self._requests = self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            if length := _declared(scope):
                await self._read(body, length, receive)
                receive = _replayed(bytes(body), receive)
            await self._counted(scope, receive, send)
        except _Refused as refused:
            if refused.answer is not None:
                await refused.answer(scope, receive, send)
        finally:
            self._bytes -= len(body)

    async def _read(self, body: bytearray, length: float, receive: Receive) -> None:
        """Read a body into `body`.

        Raises: _Refused if it is too large, too slow, more than is held at once, or if its client leaves.
        """
        if length > MAX_BODY and length != float("inf"):
            raise _Refused(_too_large())
        try:
            async with asyncio.timeout(self._receive_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Refused(None)
                    self._take(body, message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            raise _Refused(_too_slow(self._receive_s)) from None

    def _take(self, body: bytearray, chunk: bytes) -> None:
        if len(body) + len(chunk) > MAX_BODY:
            raise _Refused(_too_large())
        if self._bytes + len(chunk) > MAX_BODIES:
            raise _Refused(_overloaded())
        body += chunk
        self._bytes += len(chunk)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, unless it answers `most` already.

        Raises: _Refused.
        """
        if self._requests >= self._most:
            raise _Refused(_overloaded())
        self._requests += 1
        answered = False

        async def noted(message: Message) -> None:
            # from here on the request waits for its client to read, which may be as slow as it likes
            nonlocal answered
            self._requests -= not answered
            answered = True
            await send(message)

        try:
            # those that came with this one are counted before any of them computes
            await asyncio.sleep(0)
            await self._app(scope, receive, noted)
        finally:
            self._requests -= not answered


def _declared(scope: Scope) -> float:
    """Bytes of the body as its headers say; infinity if they say only that there is one."""
    length = 0.0
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            length = max(length, float(value))
        elif name == b"transfer-encoding":
            length = float("inf")
    return length


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, and then whatever comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _too_large() -> Response:
    return problem(413, "Body too large", f"expected at most {MAX_BODY} bytes")


def _too_slow(receive_s: float) -> Response:
    answer = problem(408, "Body too slow", f"expected the whole body within {receive_s:g} s")
    answer.headers["connection"] = "close"
    return answer


def _overloaded() -> Response:
    answer = problem(503, "Overloaded", f"more is asked at once than is answered; try again after {RETRY_S} s")
    answer.headers["retry-after"] = str(RETRY_S)
    return answer
