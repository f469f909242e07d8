"""What OpenAPI tells beside what FastAPI finds out by itself: the problems of every route, and what the tags hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI

from api.limits import ALWAYS
from api.roles import SCHEMES
from api.schemas import PARAMETER, Problem

TAGS: Final = [
    {"name": "recommend", "description": "Slates for a listener or a session, each channel's candidates, and reasons."},
    {"name": "similar", "description": "The songs, artists, tags and genres nearest to one."},
    {"name": "events", "description": "What listeners do; it counts in the next answer."},
    {
        "name": "catalogue",
        "description": "Songs, artists and all else in the graph, one at a time, and who follows whom.",
    },
    {"name": "users", "description": "What is held of one listener: told whole, or forgotten."},
    {"name": "graph", "description": "Questions to the graph in Cypher, read-only."},
    {"name": "jobs", "description": "Refreshes that the service runs."},
    {"name": "releases", "description": "Published releases, and which one is served."},
    {"name": "health", "description": "Whether the service lives and is ready, and its metrics."},
]
PROBLEMS: Final[dict[int, str]] = {
    400: "Invalid input: what is asked for does not go together, or is none of what the service knows. Query too "
    "large: it needs more memory than a query may",
    401: "Unauthorized: no key, or one that is not known",
    403: "Role missing: the key lacks the role `role`. Query refused: the query may write or is not Cypher",
    404: "Unknown id",
    408: "Body too slow: the body did not arrive in time",
    409: "Not in the release: a model or channel that the release was made without. To itself: nobody follows, and no "
    "song covers, itself. Busy: something else is under way",
    413: "Body too large",
    422: "Malformed request: `errors` names the fields",
    500: "Internal error: the service's log has the details under `request_id`",
    503: "Overloaded (with `Retry-After`), too many queries, not ready, or a store does not answer",
    504: "Query timed out",
}
Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The `responses` of a route that answers these problems beside those that follow from what it takes."""
    return {status: {"description": PROBLEMS[status]} for status in statuses}


class Described(FastAPI):
    """An application whose schema declares the problems of every route, and the `names` that its settings know."""

    def __init__(self, *, names: Mapping[str, Sequence[str]], **more: Any) -> None:
        """`names`: what a parameter, or a field of a body, may be: "scene", "channel", "channels", "by"."""
        super().__init__(**more)
        self._names = names

    def openapi(self) -> dict[str, Any]:
        """The schema, made once."""
        if self.openapi_schema is None:
            schema = super().openapi()
            _declare(schema)
            _name(schema, self._names)
            self.openapi_schema = schema
        return self.openapi_schema


def _declare(schema: dict[str, Any]) -> None:
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["components"]["securitySchemes"] = SCHEMES
    known = schema["components"]["schemas"]
    known |= {**problem.pop("$defs", {}), "Problem": problem, "Parameter": PARAMETER}
    for unused in ("HTTPValidationError", "ValidationError"):
        known.pop(unused, None)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            _declare_answers(path, operation)


def _name(schema: dict[str, Any], names: Mapping[str, Sequence[str]]) -> None:
    """Say which names there are: an unknown one is refused like any other field that does not fit."""
    bodies = [body.get("properties", {}) for name, body in schema["components"]["schemas"].items() if "Body" in name]
    fields = [(name, field) for properties in bodies for name, field in properties.items()]
    for operations in schema["paths"].values():
        for operation in operations.values():
            fields += [(given["name"], given["schema"]) for given in operation.get("parameters", ())]
    for name, field in fields:
        if name in names:
            field.get("items", field)["enum"] = sorted(names[name])


def _declare_answers(path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    for status in _usual(path, operation):
        answers.setdefault(str(status), {})
    for status, answer in answers.items():
        # /readyz alone answers an error with something else
        if int(status) in PROBLEMS and path != "/readyz":
            _as_problem(int(status), answer)
    operation["responses"] = dict(sorted(answers.items()))


def _usual(path: str, operation: dict[str, Any]) -> Iterator[int]:
    """The problems that follow from what a route takes."""
    if "security" in operation:
        yield from (401, 403)
    if "requestBody" in operation:
        yield from (400, 408, 413, 422)
    if "parameters" in operation:
        yield 422
    if path not in ALWAYS:
        yield from (500, 503)


def _as_problem(status: int, answer: dict[str, Any]) -> None:
    answer["description"] = PROBLEMS[status]
    answer["content"] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
