from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World, events

from recall.channels.again import FEATURES, Again, features

HOUR = 3_600_000


def of(world: World, user: str) -> dict[str, Any]:
    listener = world.listener(user)
    found = features(listener, listener.heard, NOW, world.vectors.unit, 0.5)
    return dict(zip(FEATURES, found.T, strict=True))


def test_what_is_looked_at(make_world: Callable[..., World]) -> None:
    world = make_world(
        log=events(
            [
                ("ana", "full_play", "s1", NOW - 99 * HOUR),
                ("ana", "full_play", "s1", NOW - 24 * HOUR),
                ("ana", "collect", "s2", NOW - 3 * HOUR),
                ("ana", "skip", "s2", NOW - 3 * HOUR),
            ]
        )
    )
    found, one = of(world, "ana"), np.log(2)
    # s1: two plays, 100 and 25 "hours" old (an hour is added); s2: kept 4 "hours" ago
    assert np.exp(found["activation"]) == pytest.approx([one / 10 + one / 5 + 1e-3, 3 * one / 2 + 1e-3])
    assert found["frequency"] == pytest.approx(np.log1p([2 * one, one]))
    assert found["strength"] == pytest.approx(np.arcsinh([2 * one, (3 - 0.6) * one]))
    assert found["due"] == pytest.approx(np.log1p([25, 4]) - np.log1p([75 / (2 * one), 0]))
    assert found["since"] == pytest.approx(np.log1p([100, 4]))
    assert found["kept"].tolist() == [0, 1]
    assert found["near"] == pytest.approx([0.5, 0.5])  # s1 and s2 are the latest, at a right angle


def test_an_event_without_a_time_counts_as_the_oldest(lopsided: World) -> None:
    found = of(lopsided, "ben")  # s3 ten times, nobody knows when; s4 a week ago, played and liked
    assert found["since"] == pytest.approx(np.log1p([168 + 1, 168 + 1]))


def test_what_is_played_day_after_day_comes_back_first(make_world: Callable[..., World]) -> None:
    rows: list[tuple[Any, ...]] = []
    for user in ("ana", "ben", "cy"):
        for day in range(30):
            rows.append((user, "full_play", "s1", NOW - day * DAY))
            rows.append((user, "full_play", f"s{2 + day % 4}", NOW - day * DAY - HOUR) if day > 9 else rows[-1])
    world = make_world(log=events(rows))
    channel = Again(world.release)
    found = channel.recall(world.query("ana"), 10)
    assert world.ids(found.songs)[0] == "s1"
    assert sorted(world.ids(found.songs)) == ["s1", "s2", "s3", "s4", "s5"]


def test_it_gives_only_what_was_heard_and_may_come_back(lopsided: World) -> None:
    channel = Again(lopsided.release)  # too little was played again to learn from: by activation
    assert list(lopsided.answer(channel, "ana")) == ["s1", "s2"]
    assert list(lopsided.answer(channel, "ana", exclude=["s1"])) == ["s2"]
    assert lopsided.answer(channel, "ana", heard=True) == lopsided.answer(channel, None) == {}
