"""Names with a `/` as ids in paths: `/v1/artists/AC%2FDC` is the artist whose id was made of AC/DC.

A server hands on a path in which `%2F` stands as `/` already, where no route would find the id. This looks at the path
as it was sent.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from api.schemas import id_of_text

_SLASH: Final = (b"%2f", b"%2F")


class PathIds:
    """Gives routes each part of a path with `/` in it as the id that is made of it; plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(slash in scope.get("raw_path", b"") for slash in _SLASH):
            parts = scope["raw_path"].partition(b"?")[0].split(b"/")
            scope["path"] = "/".join(_id(unquote(part.decode("latin-1"))) for part in parts)
        await self._app(scope, receive, send)


def _id(part: str) -> str:
    return id_of_text(part) if "/" in part else part
