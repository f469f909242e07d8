"""Bodies that REST takes and gives, checked at the border."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from graph.log.checks import MAX_COUNT
from graph.schema import ACTIONS, MAX_ID_BYTES, RELATIONSHIPS, id_of_name, problem_of_id
from graph.store.guard import MAX_QUERY_CHARACTERS


def id_of_text(value: str) -> str:
    """The id itself, or the one that is made of a name with a `/`; any other text that is no id stays as it is."""
    return id_of_name(value) if "/" in value and problem_of_id(value.replace("/", "_")) is None else value


def _checked(value: str) -> str:
    value = id_of_text(value)
    if problem := problem_of_id(value):
        raise ValueError(problem)
    return value


def text_schema(most: int) -> dict[str, Any]:
    """JSON Schema of 1 to `most` bytes of UTF-8 without control characters.

    A pattern counts characters: so many of those that take one byte, or two at most, or of any, which take up to four.
    All that fits is accepted; of texts near the limit more is.
    """
    kinds = {1: r"\x20-\x7e", 2: r"\x20-\x7e\xa0-\u07ff", 4: r"^\x00-\x1f\x7f-\x9f"}
    alternatives = "|".join(f"[{kind}]{{1,{most // size}}}" for size, kind in kinds.items())
    said = f"1 to {most} bytes of UTF-8, no control character"
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": most,
        "pattern": f"^(?:{alternatives})$",
        "description": said,
    }


_ID: Final = text_schema(MAX_ID_BYTES)
Id = Annotated[str, AfterValidator(_checked), WithJsonSchema(_ID)]
_END: Final = rf"[^\x00-\x1f\x7f-\x9f/]{{1,{MAX_ID_BYTES // 4}}}"
_TYPES: Final = "|".join(sorted({relationship.type for relationship in RELATIONSHIPS}))
Edge = Annotated[
    str,
    Field(max_length=1000),
    WithJsonSchema({"type": "string", "maxLength": 1000, "pattern": f"^(?:{_TYPES}):{_END}:{_END}$"}),
]
"""`TYPE:from_id:to_id`; ids of up to 256 bytes are taken."""
Name = Annotated[str, Field(min_length=1, max_length=64)]


def whole(value: Any) -> Any:
    """What JSON calls an integer, 46.0 too, as one; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(whole)
"""Stands after the bounds of an integer: the schema tells them only if they come first."""
Time = Annotated[int, Field(ge=0, le=253_402_300_799_999, description="epoch milliseconds"), WHOLE]


class Body(BaseModel):
    """A request body: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _example(schema: dict[str, Any] | None = None, /, **body: Any) -> ConfigDict:
    """A body's configuration with an example for the docs, and what its schema says beside its fields."""
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [body], **(schema or {})})


_NULL: Final = {"type": "null"}
BOTH_OR_NONE: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "required": ["latitude", "longitude"],
            "properties": {"latitude": {"type": "number"}, "longitude": {"type": "number"}},
        },
        {"properties": {"latitude": _NULL, "longitude": _NULL}},
    ]
}
"""Of a body with a place: latitude and longitude go together."""
_SOMEONE: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["user_id"], "properties": {"user_id": {"type": "string"}, "session": {"maxItems": 0}}},
        {"required": ["session"], "properties": {"user_id": _NULL, "session": {"minItems": 1}}},
    ]
}


class Context(Body):
    """When and where the listener asks."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=BOTH_OR_NONE)

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

    model_config = _example(_SOMEONE, user_id="2", scene="radio", n=10, explain=True)

    user_id: Id | None = None
    session: Annotated[list[Id], Field(max_length=1000)] = []
    scene: Name = "radio"
    n: Annotated[int, Field(ge=1, le=500), WHOLE] | None = None
    context: Annotated[Context, Field(default_factory=Context)]
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

    model_config = _example(user_id="2", channels=["item_knn", "social"], k=20)

    user_id: Id
    channels: Annotated[list[Name], Field(max_length=100)] = []
    k: Annotated[int, Field(ge=1, le=10_000), WHOLE] = 100


PARAMETER: Final[dict[str, Any]] = {
    "description": "what Bolt carries: null, truth values, integers of 64 bits, numbers, texts, lists and maps",
    "anyOf": [
        _NULL,
        {"type": "boolean"},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        {"type": "number", "minimum": -1e300, "maximum": 1e300},
        {"type": "string"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Parameter"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Parameter"}},
    ],
}
"""Schema of a query's parameter, `Parameter` in OpenAPI."""
_PARAMETERS: Final = {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Parameter"}}


class QueryBody(Body):
    """`POST /v1/graph/query`: read-only Cypher."""

    model_config = _example(
        query="MATCH (s:Song {id: $id})-[:PERFORMED_BY]->(a:Artist) RETURN a.name AS artist", parameters={"id": "1001"}
    )

    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, description="Cypher")]
    parameters: Annotated[dict[str, Any], WithJsonSchema(_PARAMETERS)] = {}
    limit: Annotated[int, Field(ge=1, le=100_000), WHOLE] = 1000
    timeout_s: Annotated[float, Field(gt=0, le=300)] | None = None


class RefreshBody(Body):
    """`POST /v1/jobs/refresh`."""

    model_config = _example(full=False)

    full: bool = False


Flag = bool | Annotated[int, Field(ge=0, le=1)] | None


class EventBody(BaseModel):
    """One event, as the schema tells it; the log checks each by itself, and rejects it without its neighbours."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    action: Literal[ACTIONS]  # type: ignore[valid-type]
    event_id: Annotated[Id | None, Field(description="makes a repeat harmless")] = None
    song_id: Annotated[Id | None, Field(description="of actions on songs")] = None
    target_label: Annotated[
        str | None,
        Field(description="User or Artist for follow and unfollow; Artist, Tag or Genre for block and unblock"),
    ] = None
    target_id: Annotated[
        Id | None, Field(description="of follow and unfollow, and of what is blocked beside songs")
    ] = None
    query: Annotated[str | None, Field(description="of search", max_length=2000)] = None
    count: Annotated[int | None, Field(ge=1, le=MAX_COUNT)] = None
    rating: Annotated[float | None, Field(ge=-1e9, le=1e9)] = None
    at: Annotated[int | None, Field(ge=0, description="epoch milliseconds; now where nothing is said")] = None
    played_ms: Annotated[int | None, Field(ge=0, le=10**12)] = None
    scene: Annotated[Id | None, Field(description="of the slate that showed the song")] = None
    request_id: Annotated[Id | None, Field(description="of the slate that showed the song")] = None
    position: Annotated[int | None, Field(ge=0, le=10**9, description="in that slate, from 0")] = None
    latitude: Annotated[float | None, Field(ge=-90, le=90)] = None
    longitude: Annotated[float | None, Field(ge=-180, le=180)] = None
    is_organic: Annotated[Flag, Field(description="whether the listener chose the song, or it was recommended")] = None
    private: Annotated[Flag, Field(description="whether it stays out of the listener's profile")] = None


MAX_EVENTS: Final = 1000
_LIST: Final = {"type": "array", "maxItems": MAX_EVENTS, "items": EventBody.model_json_schema()}
Events = Annotated[
    Any,
    WithJsonSchema(
        {
            "title": "Events",
            "anyOf": [
                _LIST,
                {
                    "type": "object",
                    "properties": {"events": _LIST},
                    "required": ["events"],
                    "additionalProperties": False,
                },
            ],
            "examples": [[{"event_id": "e1", "user_id": "2", "action": "full_play", "song_id": "1001"}]],
        }
    ),
]
"""Body of `POST /v1/events`: told in the schema, checked one by one by the log."""


class FieldProblem(BaseModel):
    """A field that does not fit."""

    field: str
    reason: str


class Problem(BaseModel):
    """An error (RFC 9457); `title` says which, `detail` what to do about it."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: str
    status: int
    detail: str
    request_id: Annotated[str | None, Field(description="as in the header X-Request-Id")] = None
    errors: Annotated[list[FieldProblem] | None, Field(description="of 422")] = None
    role: Annotated[str | None, Field(description="of 403: the role that is needed")] = None


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
    """Answer of `POST /v1/recommend`; `note` says what the listener should know of the slate."""

    request_id: str
    release: str
    items: list[Item]
    trace: list[dict[str, Any]]
    note: str | None = None


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
    """Answer of `GET /v1/users/{id}/why/{song_id}`; `lost` are the paths that `without` takes away.

    Without that relationship: whether a channel would `still` propose the song, whether the default scene would hold it
    (`recommended`, at `rank`), and the song that would take its place. `note` says where that is not computed.
    """

    release: str
    user_id: str
    song_id: str
    paths: list[dict[str, Any]]
    without: str | None = None
    lost: list[dict[str, Any]] = []
    still: bool | None = None
    recommended: bool | None = None
    rank: int | None = None
    replaced_by: str | None = None
    note: str | None = None


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


class JobsAnswer(BaseModel):
    """Answer of `GET /v1/jobs`."""

    jobs: list[JobAnswer]


class ReleaseRow(BaseModel):
    """One release; `as_of` is its newest event, epoch milliseconds."""

    id: str
    as_of: int | None
    parent: str | None
    metrics: dict[str, Any]
    size_bytes: int


class ReleasesAnswer(BaseModel):
    """Answer of `GET /v1/releases`."""

    current: str | None
    releases: list[ReleaseRow]


class ActivatedAnswer(BaseModel):
    """Answer of `POST /v1/releases/{id}/activate`."""

    current: str


class HealthAnswer(BaseModel):
    """Answer of `GET /healthz`."""

    status: Literal["ok"]


class ReadyAnswer(BaseModel):
    """Answer of `GET /readyz`; with 503 only `status`, `release` and `reason`."""

    status: Literal["ready", "not ready"]
    release: str | None
    reason: str | None
    live: str | None = None
    lag: int | None = None
    kept_back: dict[str, str] | None = None
