"""Bodies that REST takes and gives, checked at the border."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from graph.schema import problem_of_id


def _checked(value: str) -> str:
    if problem := problem_of_id(value):
        raise ValueError(problem)
    return value


Id = Annotated[str, AfterValidator(_checked), Field(description="1 to 256 bytes of UTF-8, no control character, no /")]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Time = Annotated[int, Field(ge=0, le=253_402_300_799_999, description="epoch milliseconds")]


class Body(BaseModel):
    """A request body: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Context(Body):
    """When and where the listener asks."""

    at: Time | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None

    @model_validator(mode="after")
    def _both(self) -> Context:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together")
        return self


class RecommendBody(Body):
    """`POST /v1/recommend`: a listener, or a session of songs just played."""

    user_id: Id | None = None
    session: Annotated[list[Id], Field(max_length=1000)] = []
    scene: Name = "radio"
    n: Annotated[int, Field(ge=1, le=500)] | None = None
    context: Context = Context()
    exclude: Annotated[list[Id], Field(max_length=10_000)] = []
    explain: bool = False

    @model_validator(mode="after")
    def _someone(self) -> RecommendBody:
        if self.user_id is None and not self.session:
            raise ValueError("expected user_id or session")
        if self.user_id is not None and self.session:
            raise ValueError("expected user_id or session, got both")
        return self


class RecallBody(Body):
    """`POST /v1/recall`."""

    user_id: Id
    channels: Annotated[list[Name], Field(max_length=100)] = []
    k: Annotated[int, Field(ge=1, le=10_000)] = 100


class QueryBody(Body):
    """`POST /v1/graph/query`: read-only Cypher."""

    query: Annotated[str, Field(min_length=1, max_length=100_000)]
    parameters: dict[str, Any] = {}
    limit: Annotated[int, Field(ge=1, le=100_000)] = 1000
    timeout_s: Annotated[float, Field(gt=0, le=300)] | None = None


class RefreshBody(Body):
    """`POST /v1/jobs/refresh`."""

    full: bool = False


class Found(BaseModel):
    """Where a song was found."""

    channel: str
    rank: int
    score: float


class Item(BaseModel):
    """One song of a slate."""

    song_id: str
    title: str
    artists: list[str]
    score: float
    channels: list[Found]
    reasons: list[dict[str, Any]]


class SlateAnswer(BaseModel):
    """Answer of `POST /v1/recommend`; `note` is there only where there is something to say of the release."""

    request_id: str
    release: str
    items: list[Item]
    trace: list[dict[str, Any]]
    note: str = ""


class RecallAnswer(BaseModel):
    """Answer of the recall routes."""

    release: str
    user_id: str
    candidates: list[dict[str, Any]]


class _Nearest(BaseModel):
    """What was asked of a `similar` route and what was found: each item has an id and a `score`."""

    release: str
    by: str
    gamma: dict[str, float]
    items: list[dict[str, Any]]


class SimilarAnswer(_Nearest):
    """Answer of `GET /v1/songs/{id}/similar`."""

    song_id: str


class SimilarArtists(_Nearest):
    """Answer of `GET /v1/artists/{id}/similar`."""

    artist_id: str


class SimilarTags(_Nearest):
    """Answer of `GET /v1/tags/{id}/similar`."""

    tag_id: str


class SimilarGenres(_Nearest):
    """Answer of `GET /v1/genres/{id}/similar`."""

    genre_id: str


class WhyAnswer(BaseModel):
    """Answer of `GET /v1/users/{id}/why/{song_id}`; `lost` are the paths that `without` takes away."""

    release: str
    user_id: str
    song_id: str
    paths: list[dict[str, Any]]
    without: str | None = None
    lost: list[dict[str, Any]] = []


class EventsAnswer(BaseModel):
    """Answer of `POST /v1/events`, given once the accepted ones are durable."""

    accepted: int
    duplicates: int
    rejected: list[dict[str, Any]]


class TableAnswer(BaseModel):
    """Answer of `POST /v1/graph/query`."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class JobAnswer(BaseModel):
    """A job."""

    id: str
    status: str
    steps: list[dict[str, Any]]
    release: str | None
    error: str | None
