"""`segue cypher` and the engine that it leaves to the next command."""

import json
import shutil

import pytest

from graph.store import embedded


@pytest.fixture
def lingering(refreshed, pristine, tmp_path):
    """A house whose engine stays a minute, and does not run yet."""
    graph = shutil.copytree(pristine.graph, tmp_path / "graph")
    house = refreshed.copy(tmp_path / "house", graph)
    text = house.config.read_text(encoding="utf-8")
    house.config.write_text(text.replace("linger_s = 0", "linger_s = 60"), encoding="utf-8")
    yield house
    house.close()
    embedded.stop(graph)


def test_two_queries_in_a_row_cost_one_start(lingering):
    pids = []
    for _ in range(2):
        assert lingering.segue("cypher", "RETURN 1 AS one", "--json").json["rows"] == [[1]]
        pids.append(json.loads((lingering.graph / "server.json").read_text())["pid"])
    assert pids[0] == pids[1]
