"""Slates, candidates and reasons.

A small slate is computed on the event loop: that takes a few milliseconds, and threads would only take turns at the
interpreter. What it waits for is one indexed read of the event log for a listener's latest events; a log that does not
answer is waited for once (3 s for a connection to PostgreSQL) and then left alone until the thread that follows it
finds it again. Everything larger runs in a thread (`docs/decisions/0004`).
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api import metrics
from api.names import check_name
from api.openapi import problems
from api.recommender import SlateRequest
from api.roles import routes_for
from api.schemas import Edge, Id, Name, RecallAnswer, RecallBody, RecommendBody, SlateAnswer, WhyAnswer
from api.service import reply, service

FEW: Final = 50
"""Songs up to which a slate without reasons is computed on the event loop."""
router = APIRouter(prefix="/v1", tags=["recommend"], route_class=routes_for("read"))


@router.post("/recommend", response_model=SlateAnswer, summary="Recommend songs")
async def recommend(request: Request, body: RecommendBody) -> Response:
    """Songs for a listener or a session, each with the channels that found it and, on demand, the reasons."""
    ask = SlateRequest(
        user_id=body.user_id,
        session=body.session,
        scene=body.scene,
        n=body.n,
        at=body.context.at,
        latitude=body.context.latitude,
        longitude=body.context.longitude,
        exclude=body.exclude,
        explain=body.explain,
    )
    recommender = service(request).recommender
    check_name("body.scene", body.scene, recommender.check_scene)
    # a few milliseconds cost less here than in a thread; more than that would hold up everybody else
    turns = service(request).turns
    if ask.explain or (ask.n or 0) > FEW:
        answer = await run_in_threadpool(recommender.recommend, ask, turns.give_way)
    else:
        async with turns.first():
            answer = recommender.recommend(ask)
    for stage in answer["trace"]:
        metrics.STAGES.labels(stage["stage"]).observe(stage["ms"] / 1000)
        for dropped in stage["dropped"]:
            metrics.DROPPED.labels(dropped["channel"]).inc()
    return reply(answer)


@router.post("/recall", response_model=RecallAnswer, summary="Each channel's candidates", responses=problems(409))
def recall(request: Request, body: RecallBody) -> Response:
    """Each channel's own candidates, unmerged."""
    recommender = service(request).recommender
    for place, channel in enumerate(body.channels):
        check_name(f"body.channels.{place}", channel, recommender.check_channel)
    return reply(recommender.recall(body.user_id, body.channels, body.k))


@router.get(
    "/recall/{channel}", response_model=RecallAnswer, summary="One channel's candidates", responses=problems(409)
)
def recall_one(
    request: Request, channel: Name, user_id: Id, k: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> Response:
    """One channel's candidates."""
    recommender = service(request).recommender
    check_name("path.channel", channel, recommender.check_channel)
    return reply(recommender.recall(user_id, [channel], k))


@router.get("/users/{id}/why/{song_id}", response_model=WhyAnswer, summary="Say why", responses=problems(400, 404))
def why(
    request: Request,
    id: Id,
    song_id: Id,
    without: Annotated[Edge | None, Query()] = None,
) -> Response:
    """The ten strongest paths from a listener to a song.

    `without=TYPE:from_id:to_id` answers as if that relationship were not there: `lost` are those of the ten that go
    with it, and the rest says whether the song is still found and recommended, at what rank, and what replaces it.
    """
    return reply(service(request).recommender.explain(id, song_id, without=without))
