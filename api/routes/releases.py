"""Published releases."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.roles import needs
from api.schemas import Id
from api.service import reply, service

router = APIRouter(prefix="/v1/releases", tags=["releases"], dependencies=[needs("operate")])


@router.get("")
def all_(request: Request) -> Response:
    """Every release and which one is served."""
    releases = service(request).releases
    return reply({"current": releases.current(), "releases": [releases.describe(i) for i in releases.ids()]})


@router.post("/{id}/activate")
def activate(request: Request, id: Id) -> Response:
    """Serve that release; every worker takes it up within two seconds, this one at once."""
    mine = service(request)
    with mine.releases.lock():
        mine.releases.path(id)
        mine.releases.activate(id)
    mine.follow()
    return reply({"current": id})
