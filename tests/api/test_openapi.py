"""What the OpenAPI schema tells of every route."""

from __future__ import annotations

import re
from typing import Any

import pytest

from api import schemas
from api.app import create_app
from api.openapi import PROBLEMS, TAGS
from api.routes.events import _as_declared
from api.settings import Settings
from graph.log.checks import EVENT_COLUMNS
from graph.schema import problem_of_id

SCHEMA = create_app(Settings()).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in SCHEMA["paths"].items()
    for method, operation in operations.items()
}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


@pytest.mark.parametrize("route", OPERATIONS)
def test_a_route_says_what_it_does_in_words(route: str) -> None:
    operation = OPERATIONS[route]
    assert operation["description"]
    assert not operation["summary"].istitle(), "made of the function's name"
    assert set(operation["tags"]) <= {tag["name"] for tag in TAGS}


@pytest.mark.parametrize("route", OPERATIONS)
def test_every_error_that_a_route_declares_is_a_problem(route: str) -> None:
    answers = OPERATIONS[route]["responses"]
    for status, answer in answers.items():
        if int(status) >= 400 and route != "GET /readyz":
            assert answer == {"description": PROBLEMS[int(status)], "content": PROBLEM}
    if "security" in OPERATIONS[route]:
        assert {"401", "403"} <= answers.keys()
    if "requestBody" in OPERATIONS[route]:
        assert {"408", "413", "422"} <= answers.keys()


@pytest.mark.parametrize("route", [route for route in OPERATIONS if "{id}" in route])
def test_a_route_of_one_thing_declares_that_it_may_be_unknown(route: str) -> None:
    assert "404" in OPERATIONS[route]["responses"]


def test_the_schema_of_an_event_has_the_fields_of_the_log() -> None:
    assert schemas.EventBody.model_fields.keys() == EVENT_COLUMNS.keys()


def body(route: str) -> dict[str, Any]:
    found: dict[str, Any] = OPERATIONS[route]["requestBody"]["content"]["application/json"]["schema"]
    return found


def test_events_are_typed_and_have_an_example_that_fits() -> None:
    alone, wrapped = body("POST /v1/events")["anyOf"]
    assert alone["items"]["properties"]["action"]["enum"][0] == "play"
    assert alone == wrapped["properties"]["events"]
    for event in body("POST /v1/events")["examples"][0]:
        schemas.EventBody.model_validate(event)


@pytest.mark.parametrize("name", ["RecommendBody", "RecallBody", "QueryBody", "RefreshBody"])
def test_the_example_of_a_body_fits_it(name: str) -> None:
    (example,) = SCHEMA["components"]["schemas"][name]["examples"]
    getattr(schemas, name).model_validate(example)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("1", True),
        ("a b.c:d", True),
        ("x" * 256, True),
        ("ü" * 128, True),
        ("愛" * 64, True),
        ("🎵" * 64, True),
        ("", False),
        ("x" * 257, False),
        ("ü" * 129, False),
        ("🎵" * 65, False),
        ("a/b", True),  # the id of a name
        ("a\tb", False),
        ("\x85", False),
    ],
)
def test_the_pattern_of_an_id_lets_through_what_the_service_takes(text: str, fits: bool) -> None:
    pattern = SCHEMA["components"]["schemas"]["RecallBody"]["properties"]["user_id"]["pattern"]
    assert bool(re.search(pattern, text)) == fits == (problem_of_id(schemas.id_of_text(text)) is None)


def test_what_json_calls_an_integer_is_one() -> None:
    assert schemas.RecallBody.model_validate({"user_id": "1", "k": 20.0}).k == 20
    with pytest.raises(ValueError, match="valid integer"):
        schemas.RecallBody.model_validate({"user_id": "1", "k": 20.5})
    assert _as_declared({"count": 2.0, "rating": 2.0, "at": 1.5}) == {"count": 2, "rating": 2.0, "at": 1.5}


def test_the_bounds_of_a_number_stand_in_the_schema() -> None:
    tier, _ = SCHEMA["components"]["schemas"]["SongBody"]["properties"]["tier"]["anyOf"]
    assert (tier["minimum"], tier["maximum"]) == (0, 1000)


def test_the_names_that_there_are_stand_in_the_schema() -> None:
    settings = Settings(scenes={"party": {"n": 3}})  # type: ignore[arg-type]
    schema = create_app(settings).openapi()
    bodies = schema["components"]["schemas"]
    assert {"party", "radio"} <= set(bodies["RecommendBody"]["properties"]["scene"]["enum"])
    assert {"social", "als"} <= set(bodies["RecallBody"]["properties"]["channels"]["items"]["enum"])
    (by,) = [p for p in OPERATIONS["GET /v1/tags/{id}/similar"]["parameters"] if p["name"] == "by"]
    assert {"fusion", "song2vec"} <= set(by["schema"]["enum"])


def test_what_goes_together_is_told() -> None:
    bodies = SCHEMA["components"]["schemas"]
    for name in ("Context", "UserBody", "RecommendBody"):
        assert len(bodies[name]["anyOf"]) == 2
