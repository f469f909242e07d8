"""What listeners do."""

from __future__ import annotations

from typing import Annotated, Any, Final

import polars as pl
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from api import metrics
from api.openapi import problems
from api.roles import routes_for
from api.schemas import MAX_EVENTS, Events, EventsAnswer, whole
from api.service import reply, service
from graph.errors import InvalidInput
from graph.log.checks import EVENT_COLUMNS

_INTEGERS: Final = [name for name, kind in EVENT_COLUMNS.items() if kind == pl.Int64]
router = APIRouter(prefix="/v1", tags=["events"], route_class=routes_for("events"))


@router.post(
    "/events", status_code=202, response_model=EventsAnswer, summary="Post events", responses=problems(400, 409)
)
def post_events(request: Request, body: Annotated[Events, Body()]) -> Response:
    """Up to 1,000 events, as a list or under `events`; answered once the accepted ones are durable."""
    events = body.get("events") if isinstance(body, dict) and set(body) == {"events"} else body
    if not isinstance(events, list):
        raise InvalidInput('expected a list of events, or {"events": [...]}')
    if len(events) > MAX_EVENTS:
        raise InvalidInput(f"expected at most {MAX_EVENTS} events, got {len(events)}")
    places = [i for i, event in enumerate(events) if isinstance(event, dict)]
    done = service(request).log.append([_with_whole_numbers(events[i]) for i in places])
    rejected = {places[i]: reason for i, reason in done.rejected}
    rejected |= {i: "expected an object" for i, event in enumerate(events) if not isinstance(event, dict)}
    metrics.EVENTS.labels("accepted").inc(done.accepted)
    metrics.EVENTS.labels("duplicate").inc(done.duplicates)
    metrics.EVENTS.labels("rejected").inc(len(rejected))
    rows = [{"index": i, "reason": rejected[i]} for i in sorted(rejected)]
    return reply({"accepted": done.accepted, "duplicates": done.duplicates, "rejected": rows}, 202)


def _with_whole_numbers(event: dict[str, Any]) -> dict[str, Any]:
    floats = {name: whole(event[name]) for name in _INTEGERS if isinstance(event.get(name), float)}
    return event | floats if floats else event
