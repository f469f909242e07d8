"""Published releases."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.openapi import problems
from api.roles import routes_for
from api.schemas import ActivatedAnswer, Id, ReleasesAnswer
from api.service import reply, service

router = APIRouter(prefix="/v1/releases", tags=["releases"], route_class=routes_for("operate"))


@router.get("", response_model=ReleasesAnswer, summary="List the releases")
def all_(request: Request) -> Response:
    """Every release and which one is served."""
    releases = service(request).releases
    return reply({"current": releases.current(), "releases": [releases.describe(i) for i in releases.ids()]})


@router.post(
    "/{id}/activate", response_model=ActivatedAnswer, summary="Serve another release", responses=problems(404, 409)
)
def activate(request: Request, id: Id) -> Response:
    """Serve that release; every worker takes it up within two seconds, this one at once."""
    mine = service(request)
    with mine.releases.lock():
        mine.releases.path(id)
        mine.releases.activate(id)
    mine.follow()
    return reply({"current": id})
