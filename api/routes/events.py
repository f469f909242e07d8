"""What listeners do."""

from __future__ import annotations

from typing import Annotated, Any, Final

import polars as pl
from fastapi import APIRouter, Body, Request
from fastapi.responses import Response

from api import metrics
from api.openapi import problems
from api.roles import routes_for
from api.schemas import MAX_EVENTS, Events, EventsAnswer, id_of_text, whole
from api.service import reply, service
from graph.errors import InvalidInput
from graph.log.checks import EVENT_COLUMNS, FLAGS
from graph.reading.values import EVENTS_BEGIN_MS

_INTEGERS: Final = [name for name, kind in EVENT_COLUMNS.items() if kind == pl.Int64]
_EARLY: Final = "at: before 1990 (expected epoch milliseconds, not seconds)"
_IDS: Final = ("user_id", "song_id", "target_id")
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
    early = {i: _EARLY for i, event in enumerate(events) if isinstance(event, dict) and _is_early(event.get("at"))}
    places = [i for i, event in enumerate(events) if isinstance(event, dict) and i not in early]
    done = service(request).log.append([_as_declared(events[i]) for i in places])
    rejected = {places[i]: reason for i, reason in done.rejected}
    rejected |= early | {i: "expected an object" for i, event in enumerate(events) if not isinstance(event, dict)}
    metrics.EVENTS.labels("accepted").inc(done.accepted)
    metrics.EVENTS.labels("duplicate").inc(done.duplicates)
    metrics.EVENTS.labels("rejected").inc(len(rejected))
    rows = [{"index": i, "reason": rejected[i]} for i in sorted(rejected)]
    return reply({"accepted": done.accepted, "duplicates": done.duplicates, "rejected": rows}, 202)


def _is_early(at: object) -> bool:
    """Whether it is a time at which nobody logged what was played: seconds, say, taken for milliseconds."""
    return isinstance(at, int | float) and 0 <= at < EVENTS_BEGIN_MS


def _as_declared(event: dict[str, Any]) -> dict[str, Any]:
    """With integers where JSON has 46.0 or true, and with ids where it has names with a `/`."""
    changed = {name: whole(event[name]) for name in _INTEGERS if isinstance(event.get(name), float)}
    changed |= {name: int(event[name]) for name in FLAGS if isinstance(event.get(name), bool)}
    for name in _IDS:
        if isinstance(value := event.get(name), str) and "/" in value:
            changed[name] = id_of_text(value)
    return event | changed if changed else event
