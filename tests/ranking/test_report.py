from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import NOW, World

from ranking.cascade import Cascade
from ranking.report import report
from ranking.scene import ChannelUse, SceneConfig
from recall.base import Candidates, Query


class Proposes:
    """A channel that answers with the same songs for everybody, and serves listeners whose position is even."""

    audience = "the even ones"

    def __init__(self, *songs: int, fails: bool = False) -> None:
        self._songs, self._fails = np.array(songs, dtype=np.int32), fails

    def serves(self, listener: Any) -> bool:
        return bool(listener.user % 2 == 0)

    def recall(self, query: Query, k: int) -> Candidates:
        if self._fails:
            raise RuntimeError("no luck")
        return Candidates(self._songs[:k], np.linspace(1, 0.5, len(self._songs))[:k])


@pytest.fixture
def make(lopsided: World) -> Callable[..., Cascade]:
    def made(pool: int = 10, **channels: Proposes) -> Cascade:
        cascade = Cascade(
            lopsided.release, SceneConfig(channels={"popularity": ChannelUse()}, heard="always", pool=pool)
        )
        cascade.channels = dict(channels)
        uses = dict.fromkeys(channels, ChannelUse(quota=2))
        cascade.scene = SceneConfig(channels=uses, heard="always", pool=pool, budget_ms=float("inf"))
        return cascade

    return made


TRUTH = [(0, np.array([0, 3])), (1, np.array([1]))]


def test_each_channel_alone_and_beside_the_others(make: Callable[..., Cascade]) -> None:
    cascade = make(a=Proposes(0, 1, 3), b=Proposes(0, 3), c=Proposes(4, 2))
    found = report(cascade, TRUTH, NOW, k=2)
    by_name = {one.channel: one for one in found.channels}
    # the pool holds all of what was loved: a brings 0 and 1 within its quota, b brings 0 and 3
    assert (found.listeners, found.k, found.pool) == (2, 2, 1.0)
    assert {name: one.recall for name, one in by_name.items()} == {"a": 0.5, "b": 1.0, "c": 0.0}
    assert {name: one.listeners for name, one in by_name.items()} == {"a": 1, "b": 1, "c": 1}
    assert {name: one.only for name, one in by_name.items()} == {"a": 0.5, "b": 0.25, "c": 0.0}
    assert {name: one.without for name, one in by_name.items()} == {"a": 0.5, "b": 0.25, "c": 0.0}
    assert by_name["a"].overlap == {"b": 0.5, "c": 0.0}
    assert by_name["b"].overlap == {"a": 0.5, "c": 0.0}
    assert by_name["c"].ms["p50"] <= by_name["c"].ms["p99"]


def test_a_song_that_falls_out_of_the_pool_is_not_found(make: Callable[..., Cascade]) -> None:
    found = report(make(pool=1, a=Proposes(0, 1)), TRUTH, NOW, k=2)
    assert found.pool == 0.25  # of the first listener one of two, of the second none


def test_a_channel_that_fails_is_reported_with_nothing(make: Callable[..., Cascade]) -> None:
    found = report(make(a=Proposes(0, 1), b=Proposes(fails=True)), TRUTH, NOW, k=2)
    broken = found.channels[1]
    assert (broken.recall, broken.only, broken.without, broken.listeners) == (0, 0, 0, 0)


def test_who_loved_nothing_that_may_come_back_does_not_count(make: Callable[..., Cascade]) -> None:
    blocked = [(2, np.array([2]))]  # Cy has blocked s3
    assert report(make(a=Proposes(0)), blocked, NOW, k=2).listeners == 0
