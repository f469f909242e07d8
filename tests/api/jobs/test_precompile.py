"""A first refresh on a machine finds its functions compiled, by a process that ran beside what came before."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from api.jobs import precompile


@pytest.fixture
def started(monkeypatch):
    """The processes that are started, each of which only waits."""
    found = []

    def start(_command, **more):
        found.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], **more))
        return found[-1]

    monkeypatch.setattr(precompile, "subprocess", type("Started", (), {"Popen": start, "DEVNULL": subprocess.DEVNULL}))
    return found


def test_nothing_is_started_where_machine_code_is_kept(started, monkeypatch) -> None:
    monkeypatch.setattr(precompile, "_is_kept", lambda: True)
    with precompile.meanwhile():
        pass
    assert started == []


def test_the_process_ends_with_what_it_ran_beside_however_that_ends(started, monkeypatch) -> None:
    monkeypatch.setattr(precompile, "_is_kept", lambda: False)
    beside = precompile.meanwhile()
    beside.__enter__()
    assert started[0].poll() is None
    assert not beside.__exit__(KeyError, KeyError(), None)
    assert started[0].poll() is not None


def test_it_is_known_whether_machine_code_is_kept(tmp_path, monkeypatch) -> None:
    class Stats:
        cache_path = str(tmp_path)

    monkeypatch.setattr("recall.kernels.best.best_of", type("Kernel", (), {"stats": Stats}))
    assert not precompile._is_kept()
    (tmp_path / "best.best_of-11.py311.nbi").touch()
    assert precompile._is_kept()


def test_what_is_learned_from_has_what_every_channel_looks_at() -> None:
    snapshot = precompile._snapshot(np.random.default_rng(0))
    assert (snapshot.users, snapshot.songs) == (precompile.LISTENERS, precompile.SONGS)
    assert len(snapshot.histories) == precompile.LISTENERS * precompile.DAYS * precompile.A_DAY
    for relation, source in (("FOLLOWS", "User"), ("LIVES_IN", "User"), ("PERFORMED_BY", "Song"), ("HAS_TAG", "Song")):
        assert len(snapshot.relation(relation, source))
