"""Which pages a browser lets ask, by `api.cors_origins`."""

from __future__ import annotations

import pytest

PAGE = {"Origin": "https://player.example"}
BEFORE = {**PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture(scope="module")
def open_to_one(own_house):
    keys = 'keys = ["a key of plain text"]\ncors_origins = ["https://player.example"]'
    with own_house().settle(sections=f"[api]\n{keys}").serve() as running:
        yield running


def test_a_page_of_the_origin_may_ask_with_a_key_and_reads_the_id_of_its_request(open_to_one):
    asked = open_to_one.client.options("/v1/recommend", headers=BEFORE)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == PAGE["Origin"]
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    answer = open_to_one.get("/v1/releases", headers={**PAGE, "Authorization": "Bearer a key of plain text"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE["Origin"])
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]


def test_a_page_can_read_why_it_was_refused(open_to_one):
    answer = open_to_one.get("/v1/releases", headers=PAGE)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, PAGE["Origin"])


def test_a_page_of_another_origin_may_not(open_to_one):
    other = {"Origin": "https://other.example"}
    assert open_to_one.client.options("/v1/recommend", headers={**BEFORE, **other}).status_code == 400
    assert "access-control-allow-origin" not in open_to_one.get("/healthz", headers=other).headers


def test_without_the_setting_no_page_may(server):
    assert "access-control-allow-origin" not in server.get("/healthz", headers=PAGE).headers
    assert server.client.options("/v1/recommend", headers=BEFORE).status_code == 405
