"""The service and its OpenAPI schema agree: generated requests, valid and not, never break it."""

from __future__ import annotations

import logging

import pytest
import schemathesis

from api.commands import bench

# a refresh for each example would take minutes; jobs have tests of their own
SKIPPED = "/v1/jobs/refresh"
CASES = 400


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


def test_no_generated_request_breaks_the_service(server):
    """`segue bench openapi` asks 20,000."""
    generated = bench.module("openapi").Generated(server.address)
    generated.run(CASES)
    assert generated.wrong == {name: [] for name in generated.wrong}
    assert server.get("/readyz").json()["status"] == "ready"
