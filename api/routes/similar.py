"""The songs, artists, tags and genres nearest to one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.gammas import parse_gamma
from api.names import check_name
from api.openapi import problems
from api.roles import routes_for
from api.schemas import Id, Name, SimilarAnswer, SimilarArtists, SimilarGenres, SimilarTags
from api.service import reply, service
from graph.errors import InvalidInput
from recall.similarity.sources import FUSION

router = APIRouter(prefix="/v1", tags=["similar"], route_class=routes_for("read"))
_PROBLEMS = problems(400, 404, 409)
Count = Annotated[int, Query(ge=1, le=500)]
Listener = Annotated[Id | None, Query(description="whose blocks and dislikes are left out")]


@router.get("/songs/{id}/similar", response_model=SimilarAnswer, summary="Similar songs", responses=_PROBLEMS)
def similar(request: Request, id: Id, n: Count = 10, by: Name = FUSION, user_id: Listener = None) -> Response:
    """The songs nearest to one, each recording once.

    `by` is "fusion", "attributes", "item_knn" or a model of the release; `gamma.RELATION=VALUE` weighs a relation anew.
    """
    recommender = service(request).recommender
    check_name("query.by", by, recommender.check_by)
    return reply(recommender.similar(id, n, by, _gammas(request), user_id))


@router.get("/artists/{id}/similar", response_model=SimilarArtists, summary="Similar artists", responses=_PROBLEMS)
def similar_artists(request: Request, id: Id, n: Count = 10, by: Name = FUSION, user_id: Listener = None) -> Response:
    """The artists nearest to one."""
    return _entities(request, "Artist", id, n, by, user_id)


@router.get("/tags/{id}/similar", response_model=SimilarTags, summary="Similar tags", responses=_PROBLEMS)
def similar_tags(request: Request, id: Id, n: Count = 10, by: Name = FUSION, user_id: Listener = None) -> Response:
    """The tags nearest to one."""
    return _entities(request, "Tag", id, n, by, user_id)


@router.get("/genres/{id}/similar", response_model=SimilarGenres, summary="Similar genres", responses=_PROBLEMS)
def similar_genres(request: Request, id: Id, n: Count = 10, by: Name = FUSION, user_id: Listener = None) -> Response:
    """The genres nearest to one."""
    return _entities(request, "Genre", id, n, by, user_id)


def _entities(request: Request, label: str, id: str, n: int, by: str, user_id: str | None) -> Response:
    recommender = service(request).recommender
    check_name("query.by", by, recommender.check_by)
    return reply(recommender.similar_entities(label, id, n, by, _gammas(request), user_id))


def _gammas(request: Request) -> dict[str, float]:
    found = {}
    for name, value in request.query_params.items():
        if name.startswith("gamma."):
            found[name.removeprefix("gamma.")] = parse_gamma(name, value)
        elif name not in {"n", "by", "user_id"}:
            raise InvalidInput(f"unknown query parameter {name!r} (known: n, by, user_id, gamma.RELATION)")
    return found
