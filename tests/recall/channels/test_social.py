from collections.abc import Callable

import polars as pl
import pytest
from segue_test_worlds import LOPSIDED_EVENTS, NOW, World, events

from recall.channels.social import Social, SocialConfig


def test_followees_of_another_taste_count_by_trust(lopsided: World) -> None:
    # Ben's tastes: s4 3 x 2^(-7/21), s3 0.4 (1 + ln 10), relative to the larger; Cy's: s2 1, s4 2^(-14/21)
    ben_s3 = 0.4 * 3.302585 / (3 * 0.793701)
    expected = {"s4": 0.2 * (1 + 0.629961), "s2": 0.2, "s3": 0.2 * ben_s3}
    assert lopsided.answer(Social(lopsided.release), "ana") == pytest.approx(expected, abs=1e-5)


def test_a_followee_of_the_same_taste_counts_more(make_world: Callable[..., World]) -> None:
    more = pl.concat([LOPSIDED_EVENTS.drop("offset"), events([("cy", "full_play", "s1", NOW)]).drop("offset")])
    world = make_world(log=more.with_row_index("offset", offset=1))
    # Cy: s1 1, s2 1, s4 2^(-14/21); Ana, whom Cy follows: s1 alone; cosine 1 / sqrt(1 + 1 + 0.63^2)
    cosine = 1 / (2 + 0.629961**2) ** 0.5
    assert world.answer(Social(world.release, SocialConfig(trust=0.0)), "cy") == pytest.approx({"s1": cosine}, abs=1e-5)


def test_who_follows_nobody_gets_nothing(lopsided: World) -> None:
    assert lopsided.answer(Social(lopsided.release), "ben") == {}


def test_serves_from_three_followees_on(lopsided: World, planted: World) -> None:
    assert not Social(lopsided.release).serves(lopsided.listener("ana"))
    assert Social(planted.release).serves(planted.listener("you"))
