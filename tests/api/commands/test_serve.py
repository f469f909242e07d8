"""How `segue serve` starts and ends."""

import signal

import pytest

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
