"""How `segue serve` starts and ends."""

import shutil
import signal
import time

import pytest

from graph.store import embedded

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


@WORKERS
def test_a_database_that_is_none_is_one_line_and_exit_1(house, workers):
    (house.folder / "events.db").write_text("no database, and not the beginning of one" * 50, encoding="utf-8")
    ran = house.segue("serve", "--port", "0", "--workers", workers)
    assert ran.status == 1
    assert ran.err.startswith("segue: event log")
    assert "file is not a database" in ran.err
    assert len(ran.err.splitlines()) == 1


@WORKERS
def test_sigterm_is_a_quiet_end(house, workers):
    with house.serve("--workers", workers) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert "interrupted" not in (house.folder / "serve.log").read_text(encoding="utf-8")
    assert "Traceback" not in (house.folder / "serve.log").read_text(encoding="utf-8")


@WORKERS
def test_ctrl_c_is_130(house, workers):
    with house.serve("--workers", workers) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 130
    assert "Traceback" not in (house.folder / "serve.log").read_text(encoding="utf-8")


def test_a_service_that_cannot_start_is_exit_1(house):
    (house.folder / "releases").rename(house.folder / "aside")
    (house.folder / "releases").write_text("no folder", encoding="utf-8")
    ran = house.segue("serve", "--port", "0")
    assert ran.status == 1
    assert ran.err.splitlines()[-1].startswith("segue: the service could not start")


def test_the_graph_is_opened_before_anybody_asks_it_and_nobody_waits_for_it(refreshed, pristine, tmp_path, wait_until):
    graph = shutil.copytree(pristine.graph, tmp_path / "graph")
    house = refreshed.copy(tmp_path / "house", graph)
    with house.serve() as server:
        assert server.get("/readyz").json()["graph"] in ("starting", "ready")
        assert server.post("/v1/recommend", {"user_id": "u0"}).status_code == 200
        wait_until(lambda: server.get("/readyz").json()["graph"] == "ready", 60)
        start = time.monotonic()
        assert server.post("/v1/graph/query", {"query": "MATCH (s:Song) RETURN count(s) AS n"}).json()["rows"] == [
            [200]
        ]
        assert time.monotonic() - start < 5
    house.close()
    embedded.stop(graph)


def test_a_graph_that_does_not_open_is_told_and_holds_up_no_recommendation(house, wait_until):
    text = house.config.read_text(encoding="utf-8")
    house.config.write_text(text.replace(f"embedded:{house.graph}", "bolt://127.0.0.1:9"), encoding="utf-8")
    with house.serve() as server:
        wait_until(lambda: server.get("/readyz").json()["graph"] == "unavailable", 60)
        assert server.get("/readyz").status_code == 200
        assert server.post("/v1/recommend", {"user_id": "u0"}).status_code == 200


def test_a_service_that_is_stopped_while_the_graph_starts_does_not_wait_for_it(refreshed, pristine, tmp_path):
    graph = shutil.copytree(pristine.graph, tmp_path / "graph")
    house = refreshed.copy(tmp_path / "house", graph)
    with house.serve() as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert "Traceback" not in (house.folder / "serve.log").read_text(encoding="utf-8")
    house.close()
    embedded.stop(graph)
