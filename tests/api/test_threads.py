import os

import pytest

from api.threads import VARIABLES, environment_of_jobs, use_one_thread


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    mine = {"PATH": "/bin", "OMP_NUM_THREADS": "3"}
    monkeypatch.setattr(os, "environ", mine)
    return mine


def test_a_worker_computes_with_one_thread_unless_told_otherwise(environment) -> None:
    use_one_thread()
    assert [environment[name] for name in VARIABLES] == ["3", "1", "1", "1"]


def test_a_job_has_the_threads_that_the_service_was_started_with(environment) -> None:
    before = dict(environment)
    use_one_thread()
    use_one_thread()  # as a worker would that is started by it
    assert environment_of_jobs() == before


def test_without_a_service_a_job_has_the_environment_as_it_is(environment) -> None:
    assert environment_of_jobs() == environment


@pytest.fixture
def nothing_left_behind():
    """Asked for before `run_cli`, it looks after that one has cleaned up."""
    before = set(os.environ)
    yield
    assert set(os.environ) == before


def test_a_command_in_this_process_leaves_no_thread_limit_behind(nothing_left_behind, run_cli) -> None:
    assert run_cli("serve", "--host", "0.0.0.0").status == 2
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
