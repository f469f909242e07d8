"""Errors as RFC 9457 problem details: one place that knows which error is which HTTP status."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.log_lines import REQUEST_ID
from graph import errors

_log = structlog.get_logger(__name__)


class JobBusy(errors.Busy):
    """A refresh job is under way; its text is for callers."""


class TooManyQueries(errors.SegueError):
    """As many queries from outside run as a worker takes."""


STATUS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (errors.UnknownSong, 404, "Unknown song"),
    (errors.UnknownEntity, 404, "Unknown id"),
    (errors.ToItself, 409, "To itself"),
    (errors.NotOurs, 409, "Not Segue's"),
    (errors.NotInRelease, 409, "Not in the release"),
    (errors.ReleaseNotFound, 404, "No such release"),
    (errors.QueryRefused, 403, "Query refused"),
    (errors.QueryTooLarge, 400, "Query too large"),
    (errors.UserError, 400, "Invalid input"),
    (errors.QueryTimeout, 504, "Query timed out"),
    (errors.StoreUnavailable, 503, "Store unavailable"),
    (TooManyQueries, 503, "Too many queries"),
    (JobBusy, 409, "Busy"),
    (errors.Busy, 409, "Busy"),
    (errors.CorruptRelease, 503, "Release damaged"),
    (errors.SegueError, 500, "Internal error"),
    (ValueError, 400, "Invalid input"),
)
# Errors whose text names files or addresses of this machine: callers read this instead, the log has the text.
_PRIVATE: Final[dict[str, str]] = {
    "Store unavailable": "the graph store or the event log does not answer; the server's log has the details",
    "Release damaged": "the release is damaged; the server's log has the details",
    "Busy": "another process works on this state folder; try again later",
    "Internal error": "unexpected; the server's log has the details",
}
_TITLES: Final = {401: "Unauthorized", 404: "Not found", 405: "Method not allowed", 413: "Body too large"}


class NotReady(Exception):
    """There is no release to serve from yet."""


class UnknownName(errors.InvalidInput):
    """A field that names a scene, a channel or a model that there is none of."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class RoleMissing(Exception):
    """A key without the role that a route needs."""

    def __init__(self, role: str, given: Iterable[str]) -> None:
        super().__init__(f"this needs a key with the role {role!r} (this key has: {', '.join(sorted(given))})")
        self.role = role


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """A problem details object."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    if (request := REQUEST_ID.get()) is not None:
        body["request_id"] = request
    # what cannot be said in UTF-8 (a lone surrogate that came in as an escape) is shown as its escape
    content = orjson.dumps(_sayable(body))
    return Response(content, status, media_type="application/problem+json")


class LastResort:
    """Answers what nothing else has caught: within the other middleware, which then see an answer like any other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            _log.error("unexpected error", path=scope["path"], exc_info=error)
            await problem(500, "Internal error", _PRIVATE["Internal error"])(scope, receive, send)


def install(app: FastAPI) -> None:
    """Teach the app to answer every error with a problem; before other middleware is added."""
    app.add_middleware(LastResort)

    @app.exception_handler(RequestValidationError)
    async def _malformed(_: Request, error: RequestValidationError) -> Response:
        found = [
            {"field": ".".join(str(part) for part in e["loc"]), "reason": str(e["msg"])} for e in error.errors()[:20]
        ]
        return _malformed_fields(found or [{"field": "body", "reason": "malformed"}])

    @app.exception_handler(UnknownName)
    async def _unknown_name(_: Request, error: UnknownName) -> Response:
        return _malformed_fields([{"field": error.field, "reason": str(error)}])

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        answer = problem(error.status_code, _TITLES.get(error.status_code, "Refused"), str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(NotReady)
    async def _not_ready(_: Request, error: NotReady) -> Response:
        return problem(503, "Not ready", str(error))

    @app.exception_handler(RoleMissing)
    async def _role_missing(_: Request, error: RoleMissing) -> Response:
        return problem(403, "Role missing", str(error), role=error.role)

    async def _ours(request: Request, error: Exception) -> Response:
        for kind, status, title in STATUS:
            if isinstance(error, kind):
                return problem(status, title, _told(request, error, title))
        return problem(500, "Internal error", _PRIVATE["Internal error"])

    app.exception_handler(errors.SegueError)(_ours)
    app.exception_handler(ValueError)(_ours)


def _malformed_fields(found: list[dict[str, str]]) -> Response:
    return problem(422, "Malformed request", f"{found[0]['field']}: {found[0]['reason']}", errors=found)


def _told(request: Request, error: Exception, title: str) -> str:
    """What the caller reads of an error: its text, unless that is about this machine."""
    if isinstance(error, errors.ReleaseNotFound):
        text = f"no release {request.path_params['id']!r}" if "id" in request.path_params else "no such release"
    elif title in _PRIVATE and not isinstance(error, JobBusy):
        text = _PRIVATE[title]
    else:
        return str(error)
    _log.warning("request failed", path=request.url.path, status=title, reason=str(error))
    return text


def _sayable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sayable(key): _sayable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_sayable(inner) for inner in value]
    return value
