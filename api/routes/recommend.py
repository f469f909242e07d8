"""Slates, candidates, neighbours and reasons.

These handlers are coroutines on purpose: they compute for a few milliseconds, and a thread pool would only make them
wait for the interpreter. What they wait for is one indexed read of the event log for a listener's latest events; a
log that does not answer is waited for once (3 s for a connection to PostgreSQL) and then left alone until the thread
that follows it finds it again.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import metrics
from api.recommender import Ask
from api.schemas import Id, Name, RecallAnswer, RecallBody, RecommendBody, SimilarAnswer, SlateAnswer, WhyAnswer
from api.service import reply, service
from graph.errors import InvalidInput

router = APIRouter(prefix="/v1", tags=["recommend"])


@router.post("/recommend", response_model=SlateAnswer)
async def recommend(request: Request, body: RecommendBody) -> Response:
    """Songs for a listener or a session, each with the channels that found it and, on demand, the reasons."""
    ask = Ask(
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
    answer = service(request).recommender.recommend(ask)
    for stage in answer["trace"]:
        metrics.STAGES.labels(stage["stage"]).observe(stage["ms"] / 1000)
        for dropped in stage["dropped"]:
            metrics.DROPPED.labels(dropped["channel"]).inc()
    return reply(answer)


@router.post("/recall", response_model=RecallAnswer)
async def recall(request: Request, body: RecallBody) -> Response:
    """Each channel's own candidates, unmerged."""
    return reply(service(request).recommender.recall(body.user_id, body.channels, body.k))


@router.get("/recall/{channel}", response_model=RecallAnswer)
async def recall_one(
    request: Request, channel: Name, user_id: Id, k: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> Response:
    """One channel's candidates."""
    return reply(service(request).recommender.recall(user_id, [channel], k))


@router.get("/songs/{id}/similar", response_model=SimilarAnswer)
async def similar(
    request: Request,
    id: Id,
    n: Annotated[int, Query(ge=1, le=500)] = 10,
    by: Name = "song2vec",
) -> Response:
    """The songs nearest to one; `gamma.RELATION=VALUE` weighs its relations anew."""
    gammas = _gammas(request)
    return reply(service(request).recommender.similar(id, n, by, gammas or None))


def _gammas(request: Request) -> dict[str, float]:
    found = {}
    for name, value in request.query_params.items():
        if name.startswith("gamma."):
            try:
                found[name.removeprefix("gamma.")] = float(value)
            except ValueError:
                raise InvalidInput(f"{name}: expected a number, got {value!r}") from None
            if not abs(found[name.removeprefix("gamma.")]) < float("inf"):
                raise InvalidInput(f"{name}: expected a finite number, got {value!r}")
        elif name not in {"n", "by"}:
            raise InvalidInput(f"unknown query parameter {name!r} (known: n, by, gamma.RELATION)")
    return found


@router.get("/users/{id}/why/{song_id}", response_model=WhyAnswer)
async def why(
    request: Request,
    id: Id,
    song_id: Id,
    without: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """The strongest paths from a listener to a song; `without=TYPE:from_id:to_id` leaves one relationship out."""
    answer = service(request).recommender.explain(id, song_id)
    if without is not None:
        kept: list[dict[str, Any]] = []
        lost: list[dict[str, Any]] = []
        for reason in answer["paths"]:
            (lost if _cites(reason["path"], without) else kept).append(reason)
        answer |= {"paths": kept, "without": without, "lost": lost}
    return reply(answer)


def _cites(path: list[dict[str, Any]], edge: str) -> bool:
    for i in range(1, len(path), 2):
        ends = path[i - 1]["id"], path[i + 1]["id"]
        source, target = ends if path[i]["direction"] == "out" else ends[::-1]
        if f"{path[i]['relationship']}:{source}:{target}" == edge:
            return True
    return False
