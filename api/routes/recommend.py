"""Slates, candidates and reasons.

These handlers are coroutines on purpose: they compute for a few milliseconds, and a thread pool would only make them
wait for the interpreter. What they wait for is one indexed read of the event log for a listener's latest events; a
log that does not answer is waited for once (3 s for a connection to PostgreSQL) and then left alone until the thread
that follows it finds it again.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import metrics
from api.recommender import Ask
from api.schemas import Id, Name, RecallAnswer, RecallBody, RecommendBody, SlateAnswer, WhyAnswer
from api.service import reply, service
from graph.errors import InvalidInput
from graph.schema import RELATIONSHIPS, problem_of_id

router = APIRouter(prefix="/v1", tags=["recommend"])
Edge = tuple[str, str, str]  # relationship type, id it leads from, id it leads to
_TYPES: Final = frozenset(relationship.type for relationship in RELATIONSHIPS)


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


@router.get("/users/{id}/why/{song_id}", response_model=WhyAnswer)
async def why(
    request: Request,
    id: Id,
    song_id: Id,
    without: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """The ten strongest paths from a listener to a song.

    `without=TYPE:from_id:to_id` answers as if that relationship were not there; `lost` are those of the ten that go
    with it.
    """
    recommender = service(request).recommender
    meant = [] if without is None else _edges(without)
    answer = recommender.explain(id, song_id)
    if without is not None:
        used = [_cited(reason["path"]) for reason in answer["paths"]]
        # ids may hold colons: the reading that a path uses is the one that is meant; unused it would change nothing
        edge = next((edge for edge in meant if any(edge in edges for edges in used)), None)
        lost = [reason for reason, edges in zip(answer["paths"], used, strict=True) if edge in edges]
        kept = recommender.explain(id, song_id, without=edge)["paths"] if lost else answer["paths"]
        answer |= {"paths": kept, "without": without, "lost": lost}
    return reply(answer)


def _edges(text: str) -> list[Edge]:
    """Every reading of `TYPE:from_id:to_id`.

    Raises: InvalidInput if there is none.
    """
    type_, _, ids = text.partition(":")
    halves = [(ids[:i], ids[i + 1 :]) for i, letter in enumerate(ids) if letter == ":"]
    found = [(type_, *ends) for ends in halves if not any(problem_of_id(end) for end in ends)]
    if not found or type_ not in _TYPES:
        raise InvalidInput(f"without: expected TYPE:from_id:to_id with a relationship type of the graph, got {text!r}")
    return found


def _cited(path: list[dict[str, Any]]) -> set[Edge]:
    """The relationships of a path."""
    edges = set()
    for i in range(1, len(path), 2):
        ends = path[i - 1]["id"], path[i + 1]["id"]
        source, target = ends if path[i]["direction"] == "out" else ends[::-1]
        edges.add((path[i]["relationship"], source, target))
    return edges
