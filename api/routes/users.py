"""What is held of one listener: told whole, or forgotten."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.openapi import problems
from api.problems import problem
from api.roles import routes_for
from api.schemas import Id, Time
from api.service import reply, service
from graph.personal import erase, exported, forget_time

router = APIRouter(prefix="/v1", tags=["users"], route_class=routes_for("catalogue"))
Bound = Annotated[Time | None, Query(description="epoch milliseconds; no bound where it is left out")]


@router.get(
    "/users/{id}/export",
    response_model=dict[str, Any],
    summary="All that is held of a listener",
    responses=problems(400),
)
def export_user(request: Request, id: Id) -> Response:
    """The node, its relationships, events, and what was shown: `user`, `relationships`, `events`, `exposures`."""
    held = service(request)
    return reply(exported(held.store(), held.log, id))


@router.delete("/users/{id}", status_code=204, summary="Forget a listener", responses=problems(400, 404, 409))
def erase_user(request: Request, id: Id) -> Response:
    """Erase everything of a listener: graph, events, exposures, and with the next refresh what was learned.

    Answers are those for somebody unknown within a second. Nothing that is imported brings the listener back.
    """
    held = service(request)
    if held.catalogue().node("User", id) is None and not held.log.of_user(id):
        return problem(404, "Unknown user", f"unknown user {id!r}")
    erase(held.store(), held.log, id, held.settings.state.dir)
    return Response(status_code=204)


@router.delete(
    "/users/{id}/history",
    response_model=dict[str, int],
    summary="Forget a time of a listener",
    responses=problems(400),
)
def forget_history(
    request: Request, id: Id, since: Annotated[Bound, Query(alias="from")] = None, to: Bound = None
) -> Response:
    """Take the events with `from` <= at < `to` out of the log and out of the next answer; `events` says how many."""
    return reply({"events": forget_time(service(request).log, id, since, to)})
