"""Which role each route needs, asked of a real service with one key for each role."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts

from api import roles
from api.app import create_app
from api.docs import ASSETS
from api.keys import ROLES, entry
from api.security import OPEN_PATHS
from api.settings import Settings

KEYS = {role: f"the key of the role {role}" for role in ROLES}
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def routes() -> list[tuple[str, str, str | None]]:
    """Every route of the application: method, path and role."""
    return sorted(
        (method, str(found.path), roles.role_of(found.original_route))
        for found in iter_route_contexts(create_app(Settings()).routes)
        for method in (found.methods or {"GET"}) - {"HEAD"}
    )


def settings_of(keys: dict[str, str]) -> str:
    rows = [entry(role, [role], key) for role, key in keys.items()]  # type: ignore[list-item]
    lines = [f'{{ name = "{row["name"]}", roles = ["{row["name"]}"], sha256 = "{row["sha256"]}" }}' for row in rows]
    return f"[api]\nkeys = [{', '.join(lines)}]"


@pytest.fixture(scope="module")
def guarded(own_house):
    with own_house().settle(sections=settings_of(KEYS)).serve() as running:
        yield running


def ask(server: Any, method: str, path: str, key: str | None) -> Any:
    """A request that changes nothing: ids that nothing has, and a body with a field that no route knows."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"no such field": 1} if method in {"POST", "PUT", "PATCH"} else None
    return server.client.request(method, re.sub(r"\{\w+\}", "none", path), headers=headers, json=body)


@pytest.mark.parametrize(("method", "path", "role"), routes())
def test_a_route_answers_keys_of_its_role_and_no_others(guarded, method, path, role):
    for key in (None, "a key that nobody has"):
        answer = ask(guarded, method, path, key)
        assert (answer.status_code == 401) == (path not in OPEN_PATHS), (key, answer.text)
    for mine in ROLES:
        answer = ask(guarded, method, path, KEYS[mine])
        if mine == role or role is None:
            assert answer.status_code in {200, 204, 400, 404, 409, 422}, (mine, answer.text)
        else:
            assert answer.status_code == 403, (mine, answer.text)
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json"
            assert problem["role"] == role
            assert f"a key with the role {role!r} (this key has: {mine})" in problem["detail"]


def test_only_what_is_open_names_no_role():
    assert {path for _, path, role in routes() if role is None} == set(OPEN_PATHS)


def test_the_key_of_a_player_deletes_no_artist(guarded, own_house):
    path = "/v1/artists/of-the-catalogue"

    def answered(method: str, role: str, **more: Any) -> int:
        headers = {"Authorization": f"Bearer {KEYS[role]}"}
        return int(guarded.client.request(method, path, headers=headers, **more).status_code)

    assert answered("PUT", "catalogue", json={"name": "Ana"}) == 201
    assert [answered("DELETE", role) for role in ("read", "events", "operate")] == [403, 403, 403]
    assert answered("GET", "read") == 200
    assert answered("DELETE", "catalogue") == 204


def test_a_key_without_the_role_is_refused_whatever_the_body_says(guarded):
    answer = guarded.client.post("/v1/events", headers={"X-API-Key": KEYS["read"]}, content=b"{no JSON")
    assert answer.status_code == 403


def test_a_route_without_a_role_is_not_served():
    router = APIRouter()
    router.get("/v1/forgotten")(lambda: None)
    with pytest.raises(
        ValueError, match=r"/v1/forgotten names no role: give its router route_class=routes_for\(ROLE\)"
    ):
        roles.check(router.routes)


# ---- /docs in a browser


def test_the_docs_open_in_a_browser_and_their_schema_with_them(guarded):
    page = guarded.get("/docs", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "url: '/openapi.json'" in page.text
    assert guarded.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_load_what_they_need_from_here_without_a_key(guarded, path):
    named = re.findall(r'(?:src|href)="([^"]+)"', guarded.get(path).text)
    assert len(named) >= 2
    for url in named:
        assert url.startswith("/docs/"), url
        found = guarded.get(url)
        assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, ASSETS[url[6:]])
        assert len(found.content) > 500


def test_the_script_of_the_docs_reads_schemas_of_our_version(guarded):
    assert guarded.get("/openapi.json").json()["openapi"].startswith("3.1")
    # Swagger UI knows 3.1 from version 5 on
    assert re.search(rb'PACKAGE_VERSION:"5\.', guarded.get("/docs/swagger-ui-bundle.js").content)


def test_authorize_knows_how_a_key_is_sent_and_which_role_a_route_needs(guarded):
    schema = guarded.get("/openapi.json").json()
    schemes = schema["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["header"]["in"], schemes["header"]["name"]) == ("header", "X-API-Key")
    told = {
        (method.upper(), path): operation.get("security")
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }
    for method, path, role in routes():
        if (method, path) in told:
            assert told[method, path] == ([{"bearer": [role]}, {"header": [role]}] if role else None)


# ---- the table of docs/operations.md


def expanded(text: str) -> list[str]:
    """`/v1/{songs,artists}/{id}` as its two paths."""
    parts = re.split(r"(\{\w+(?:,\w+)+\})", text)
    choices = [part[1:-1].split(",") if "," in part else [part] for part in parts]
    return ["".join(words) for words in product(*choices)]


def documented() -> set[tuple[str, str, str]]:
    rows = re.findall(r"^\| `([A-Z ]+) (/\S*)` \| (\w+) \|$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    return {(method, path, role) for verbs, text, role in rows for method in verbs.split() for path in expanded(text)}


def test_the_documented_table_is_what_the_application_does():
    assert documented() == {(method, path, role or "open") for method, path, role in routes()}
