"""Who may ask."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.keys import ANYBODY, Key, digest
from api.problems import problem
from graph.errors import SettingsError

# A browser that opens /docs sends no key; the page and the schema say what the routes are, and nothing of the data.
OPEN_PATHS: Final = frozenset(
    {"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    | {f"/docs/{name}" for name in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "favicon.png")}
)


def check_exposure(host: str, keys: Sequence[Key]) -> None:
    """Refuse to listen beyond this machine without a key.

    Raises: SettingsError.
    """
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local and not keys:
        raise SettingsError(f"api.host {host} is reached from other machines: set api.keys first (`segue keys new`)")


class Guard:
    """Answers 401 to who has no key where keys are set, before the body is read.

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
        await self._app(scope, receive, send)

    def _known(self, headers: dict[bytes, bytes]) -> Key | None:
        given = headers.get(b"authorization", b"")
        key = given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        # looked up by the hash: the time that takes says nothing about a key that hashes to something else
        return self._keys.get(digest(key)) if key else None
