"""Stores of both engines for every test: one server of each for the whole run, emptied before each test."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from graph.store import embedded
from graph.store.config import GraphConfig
from graph.store.store import GraphStore

ROOT = Path(__file__).resolve().parent.parent

# A shell starts what it puts in the background with Ctrl-C ignored, and so would be all that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def neo4j_launcher() -> ModuleType:
    """`tools/neo4j/neo4j.py`, loaded by its path: its name is also the driver's."""
    name = "segue_neo4j_launcher"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / "neo4j" / "neo4j.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def without_neo4j(reason: str) -> None:
    """Skip and say why, unless a run without Neo4j counts as a failure."""
    if os.environ.get("SEGUE_REQUIRE_NEO4J") == "1":
        pytest.fail(f"SEGUE_REQUIRE_NEO4J is set, and there is no Neo4j: {reason}")
    pytest.skip(f"no Neo4j: {reason}")


def emptied(store: GraphStore) -> GraphStore:
    while store.write("MATCH (n) WITH n LIMIT 10000 DETACH DELETE n RETURN count(*) AS n")[0]["n"]:
        pass
    return store


@pytest.fixture(scope="session", autouse=True)
def _engines_that_linger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stops at the end whatever engine a test has left to itself."""
    yield
    for owner in tmp_path_factory.getbasetemp().rglob("owner.lock"):
        embedded.stop(owner.parent)


@pytest.fixture(scope="session")
def embedded_config(tmp_path_factory: pytest.TempPathFactory) -> GraphConfig:
    folder = tmp_path_factory.mktemp("embedded")
    return GraphConfig(url=f"embedded:{folder}", heap="512m", query_heap="256m", linger_s=0)


@pytest.fixture(scope="session")
def embedded_session(embedded_config: GraphConfig) -> Iterator[GraphStore]:
    with GraphStore.open(embedded_config) as store:
        store.migrate()
        yield store


@pytest.fixture(scope="session")
def neo4j_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphConfig]:
    launcher = neo4j_launcher()
    if lack := launcher.missing():
        without_neo4j(lack)
    home = tmp_path_factory.mktemp("neo4j")
    try:
        server = launcher.start(home, port=launcher.free_port(), heap="512m", pagecache="64m")
    except launcher.Failure as failure:
        without_neo4j(str(failure))
    yield GraphConfig(url=server.url, password=server.password)
    launcher.stop(home)


@pytest.fixture(scope="session")
def neo4j_session(neo4j_config: GraphConfig) -> Iterator[GraphStore]:
    with GraphStore.open(neo4j_config) as store:
        store.migrate()
        yield store


@pytest.fixture
def embedded_store(embedded_session: GraphStore) -> GraphStore:
    """An empty store on the embedded server."""
    return emptied(embedded_session)


@pytest.fixture
def neo4j_store(neo4j_session: GraphStore) -> GraphStore:
    """An empty store on Neo4j."""
    return emptied(neo4j_session)


@pytest.fixture(params=["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def store(request: pytest.FixtureRequest) -> GraphStore:
    """An empty store, once on each engine."""
    found = request.getfixturevalue(f"{request.param}_store")
    assert isinstance(found, GraphStore)
    return found
