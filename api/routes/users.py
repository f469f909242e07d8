"""What is held of one listener: told whole, or forgotten."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.openapi import problems
from api.problems import problem
from api.roles import routes_for
from api.schemas import Id, Time
from api.service import Service, reply, service
from graph.personal import erase, exported, forget_time

router = APIRouter(prefix="/v1", tags=["users"], route_class=routes_for("catalogue"))
Bound = Annotated[Time | None, Query(description="epoch milliseconds; no bound where it is left out")]


@router.get(
    "/users/{id}/export",
    response_model=dict[str, Any],
    summary="All that is held of a listener",
    responses=problems(400, 404),
)
def export_user(request: Request, id: Id) -> Response:
    """The node, its relationships, events, and what was shown: `user`, `relationships`, `events`, `exposures`."""
    held = service(request)
    told = exported(held.store(), held.log, id)
    return reply(told) if any(told[part] for part in ("user", "events", "exposures")) else _unknown(id)


@router.delete("/users/{id}", status_code=204, summary="Forget a listener", responses=problems(400, 404, 409))
def erase_user(request: Request, id: Id) -> Response:
    """Erase everything of a listener: graph, events, exposures, and with the next refresh what was learned.

    Answers are those for somebody unknown within a second. Nothing that is imported brings the listener back.
    """
    held = service(request)
    if not _is_known(held, id):
        return _unknown(id)
    erase(held.store(), held.log, id, held.settings.state.dir)
    return Response(status_code=204)


@router.delete(
    "/users/{id}/history",
    response_model=dict[str, int],
    summary="Forget a time of a listener",
    responses=problems(400, 404),
)
def forget_history(
    request: Request, id: Id, since: Annotated[Bound, Query(alias="from")] = None, to: Bound = None
) -> Response:
    """Take the events with `from` <= at < `to` out of the log and out of the next answer; `events` says how many."""
    held = service(request)
    if not _is_known(held, id):
        return _unknown(id)
    return reply({"events": forget_time(held.log, id, since, to)})


def _is_known(held: Service, id: str) -> bool:
    return held.catalogue().node("User", id) is not None or bool(held.log.of_user(id))


def _unknown(id: str) -> Response:
    return problem(404, "Unknown user", f"unknown user {id!r}")
