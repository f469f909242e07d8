"""Every request has an id, which its answer carries, and one line in the log."""

from __future__ import annotations

import os
import re
import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.keys import Key
from api.log_lines import REQUEST_ID

HEADER: Final = b"x-request-id"
LEFT: Final = 499
"""Status in the log of a request whose client left before it was answered."""
_WELL_FORMED: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_log = structlog.get_logger(__name__)


class RequestLog:
    """Keeps the client's `X-Request-Id` where it is well-formed, else makes one; plain ASGI, as it is in every way.

    A line names the route and not the path, and the name of the key and not the key: no listener and no secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, id_ = time.perf_counter(), LEFT, _id(scope)
        REQUEST_ID.set(id_.decode())

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, id_)]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            key: Key | None = scope.get("key")
            _log.info(
                "request",
                method=scope["method"],
                route=getattr(scope.get("route"), "path", "unknown"),
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 2),
                key=key.name if key else None,
            )


def _id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == HEADER and _WELL_FORMED.fullmatch(value):
            return bytes(value)
    return os.urandom(16).hex().encode()
