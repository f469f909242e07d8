"""Errors as RFC 9457 problem details: one place that knows which error is which HTTP status."""

from __future__ import annotations

from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from graph import errors

_log = structlog.get_logger(__name__)


class JobBusy(errors.Busy):
    """A refresh job is under way; its text is for callers."""


class TooManyQueries(errors.SegueError):
    """As many queries from outside run as a worker takes."""


STATUS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (errors.UnknownSong, 404, "Unknown song"),
    (errors.UnknownEntity, 404, "Unknown id"),
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


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """A problem details object."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    # what cannot be said in UTF-8 (a lone surrogate that came in as an escape) is shown as its escape
    content = orjson.dumps(_sayable(body))
    return Response(content, status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Teach the app to answer every error with a problem."""

    @app.exception_handler(RequestValidationError)
    async def _malformed(_: Request, error: RequestValidationError) -> Response:
        found = [
            {"field": ".".join(str(part) for part in e["loc"]), "reason": str(e["msg"])} for e in error.errors()[:20]
        ]
        first = found[0] if found else {"field": "body", "reason": "malformed"}
        return problem(422, "Malformed request", f"{first['field']}: {first['reason']}", errors=found)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        answer = problem(error.status_code, _TITLES.get(error.status_code, "Refused"), str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(NotReady)
    async def _not_ready(_: Request, error: NotReady) -> Response:
        return problem(503, "Not ready", str(error))

    async def _ours(request: Request, error: Exception) -> Response:
        for kind, status, title in STATUS:
            if isinstance(error, kind):
                return problem(status, title, _told(request, error, title))
        return problem(500, "Internal error", _PRIVATE["Internal error"])

    app.exception_handler(errors.SegueError)(_ours)
    app.exception_handler(ValueError)(_ours)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        _log.error("unexpected error", path=request.url.path, exc_info=error)
        return await _ours(request, error)


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
