"""The service and its OpenAPI schema agree: generated requests, valid and not, never break it."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

# a refresh for each example would take minutes; jobs have tests of their own
SKIPPED = "/v1/jobs/refresh"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module")
def server(own_house):
    """A service of its own: generated requests edit the graph."""
    with own_house().serve() as running:
        yield running


@pytest.fixture
def schema(server):
    logging.getLogger("schemathesis").setLevel(logging.ERROR)
    return schemathesis.openapi.from_url(f"{server.address}/openapi.json")


def operations(schema):
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path != SKIPPED:
            yield operation


def test_the_schema_names_every_route_of_the_contract(schema):
    named = {(operation.method.upper(), operation.path) for operation in operations(schema)}
    assert named >= {
        ("POST", "/v1/recommend"),
        ("POST", "/v1/recall"),
        ("GET", "/v1/recall/{channel}"),
        *(("GET", f"/v1/{label}/{{id}}/similar") for label in ("songs", "artists", "tags", "genres")),
        ("GET", "/v1/users/{id}/why/{song_id}"),
        ("POST", "/v1/events"),
        ("POST", "/v1/graph/query"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/{id}"),
        ("DELETE", "/v1/jobs/{id}"),
        *(
            (method, f"/v1/{label}/{{id}}")
            for method in ("PUT", "GET", "PATCH", "DELETE")
            for label in ("songs", "artists", "albums", "genres", "tags", "users", "places", "playlists")
        ),
        *(
            (method, f"/v1/users/{{id}}/{follow}")
            for method in ("PUT", "DELETE")
            for follow in ("follows/{other}", "follows-artist/{artist}")
        ),
        ("GET", "/v1/releases"),
        ("POST", "/v1/releases/{id}/activate"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }


def test_no_generated_request_breaks_the_service(schema, server):
    for operation in operations(schema):
        check(operation, GenerationMode.POSITIVE)
        with suppress(Unsatisfiable):  # where nothing is asked for, nothing can be got wrong
            check(operation, GenerationMode.NEGATIVE)
    assert server.get("/readyz").json()["status"] == "ready"


def check(operation, mode) -> None:
    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case) -> None:
        case.validate_response(case.call(), checks=CHECKS)

    run()
