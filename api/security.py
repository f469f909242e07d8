"""Who may ask, and how much at once."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.keys import ANYBODY, Key, digest
from api.problems import problem
from graph.errors import SettingsError

MAX_BODY: Final = 8 * 1024 * 1024
# A browser that opens /docs sends no key; the page and the schema say what the routes are, and nothing of the data.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


def check_exposure(host: str, keys: Sequence[Key]) -> None:
    """Refuse to listen beyond this machine without a key.

    Raises: SettingsError.
    """
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and not keys:
        raise SettingsError(f"api.host {host} is reached from other machines: set api.keys first")


class Guard:
    """Answers 401 to who has no key where keys are set, and 413 to a body that is too large.

    The scope's `key` is who asks; whether that key may do what is asked the route says (`api/roles.py`).
    """

    def __init__(self, app: ASGIApp, keys: Sequence[Key]) -> None:
        self._app, self._keys = app, {key.digest: key for key in keys}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        key = self._known(headers) if self._keys else ANYBODY
        if key is None and scope["path"] not in OPEN_PATHS:
            answer = problem(401, "Unauthorized", "expected the header 'Authorization: Bearer KEY'")
            answer.headers["www-authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        scope["key"] = key
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > MAX_BODY:
            await problem(413, "Body too large", f"expected at most {MAX_BODY} bytes")(scope, receive, send)
            return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application read at most `MAX_BODY` bytes, whatever length was declared."""
        seen, over = 0, False

        async def bounded() -> Message:
            nonlocal seen, over
            message = await receive()
            seen += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            if seen > MAX_BODY:
                over = True
                raise BodyTooLarge
            return message

        async def unless_over(message: Message) -> None:
            # what the application makes of a body that broke off is not the answer
            if not over:
                await send(message)

        with contextlib.suppress(BodyTooLarge):
            await self._app(scope, bounded, unless_over)
        if over:
            await problem(413, "Body too large", f"expected at most {MAX_BODY} bytes")(scope, receive, send)

    def _known(self, headers: dict[bytes, bytes]) -> Key | None:
        given = headers.get(b"authorization", b"")
        key = given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        # looked up by the hash: the time that takes says nothing about a key that hashes to something else
        return self._keys.get(digest(key)) if key else None


class BodyTooLarge(Exception):
    """A body without a declared length went over the limit."""
