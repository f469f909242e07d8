"""Uvicorn closes a connection that is idle after an answer, but waits without end for the rest of a request's head.

This one does not wait. It is here and not in the application because no application is asked before the head is whole.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD: Final = 64 * 1024


class Config(uvicorn.Config):
    """Uvicorn's settings, and the seconds within which the head of a request must arrive."""

    def __init__(self, app: str, *, receive_timeout_s: float, **more: Any) -> None:
        super().__init__(app, http=TimedProtocol, **more)
        self.receive_timeout_s = receive_timeout_s


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection on which the head of a request is not whole in time, or is larger than `MAX_HEAD` bytes.

    The time runs from the connection on, and for a later request from its first byte on.
    """

    def __init__(self, config: Config, *args: Any, **more: Any) -> None:
        super().__init__(config, *args, **more)
        self._receive_s, self._head = config.receive_timeout_s, 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._late is None and self.cycle is not None and self.cycle.response_complete:
            self._expect()
        if self._late is not None:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.transport.close()

    def on_headers_complete(self) -> None:
        """The parser has the whole head."""
        self._arrived()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._late = self.loop.call_later(self._receive_s, self.transport.close)

    def _arrived(self) -> None:
        self._head = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None
