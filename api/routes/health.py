"""Whether the service lives, whether it is ready, and its metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from api import metrics
from api.problems import NotReady
from api.roles import routes_for
from api.schemas import HealthAnswer, ReadyAnswer
from api.service import reply, service

router = APIRouter(tags=["health"])
scraped = APIRouter(tags=["health"], route_class=routes_for("read"))


@router.get("/healthz", summary="Does it live", response_model=HealthAnswer)
async def healthz() -> Response:
    """The process answers."""
    return reply({"status": "ok"})


@router.get(
    "/readyz",
    summary="Is it ready",
    response_model=ReadyAnswer,
    responses={503: {"model": ReadyAnswer, "description": "Not ready: there is no release to serve yet"}},
)
async def readyz(request: Request) -> Response:
    """A release is served; says whether the live log is attached to it, how many events the log is ahead (`lag`), and
    which newer release is kept back (`kept_back`: its id and why, or null).

    `graph` is the graph store's state: "starting", "ready" or "unavailable". It is no condition, as recommendations do
    not need it.

    The log is looked at each second, beside the requests.
    """
    graph = service(request).graph
    try:
        recommender = service(request).recommender
    except NotReady as error:
        return reply({"status": "not ready", "release": None, "reason": str(error), "graph": graph}, 503)
    served = recommender.served
    live = served.live.status
    told = {"live": live.state, "reason": live.reason, "lag": live.lag, "kept_back": recommender.kept_back.as_json()}
    return reply({"status": "ready", "release": served.release.id, **told, "graph": graph})


@scraped.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
async def prometheus() -> Response:
    """Metrics of all workers, for Prometheus."""
    content, kind = metrics.exposition()
    return Response(content, media_type=kind)
