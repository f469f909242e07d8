from collections.abc import Callable

import polars as pl
import pytest
from segue_test_worlds import NOW, World, events

from graph.schema import relationship
from recall.channels.fallback import Fallback, FallbackConfig

# With a half-life of 14 days: s1 4 x 2^-1.5, s4 3 x 2^-0.5 + 2^-1, s2 1; listeners: s2 and s4 two, s1 and s3 one.
S4 = 3 * 2**-0.5 + 0.5


def test_recent_and_known_songs_for_somebody_unknown(lopsided: World) -> None:
    expected = {"s4": 2.0, "s2": 1 / S4 + 1, "s1": 4 * 2**-1.5 / S4 + 0.5, "s3": 0.5, "s5": 0.0}
    answer = lopsided.answer(Fallback(lopsided.release), "unknown")
    assert answer == pytest.approx(expected, abs=1e-6)
    assert list(answer) == list(expected)


def test_who_has_a_history_gets_nothing(lopsided: World) -> None:
    assert lopsided.answer(Fallback(lopsided.release), "ana") == {}


def test_an_artist_s_further_songs_step_back(lopsided: World) -> None:
    answer = lopsided.answer(Fallback(lopsided.release, FallbackConfig(per_artist=1)), "unknown")
    assert answer["s1"] == pytest.approx((4 * 2**-1.5 / S4 + 0.5) / 2, abs=1e-6)  # after s2 by the same artist
    assert answer["s3"] == pytest.approx(0.25)


def test_serves_only_those_without_a_history(lopsided: World) -> None:
    channel = Fallback(lopsided.release)
    assert channel.serves(lopsided.listener("unknown"))
    assert not channel.serves(lopsided.listener("ana"))


@pytest.fixture
def homes(make_world: Callable[..., World]) -> World:
    """Ana, who has played s1, and Cy, who has played nothing, live here; Ben, who played s2 and s3, lives nowhere."""
    lives = pl.DataFrame({"source": ["ana", "cy"], "target": ["here", "here"]})
    log = events([("ana", "full_play", "s1", NOW), ("ben", "full_play", "s2", NOW), ("ben", "full_play", "s3", NOW)])
    return make_world(edge_tables={relationship("LIVES_IN", "User", "Place"): lives}, log=log)


def test_what_is_heard_at_home_counts_more(homes: World) -> None:
    # three people live in all: a prior of 3 adds every play once more, so s1 counts 2 here and the others 1
    channel = Fallback(homes.release, FallbackConfig(prior=3.0))
    assert homes.answer(channel, "cy") == {"s1": 2.0, "s2": 1.0, "s3": 1.0, "s4": 0.0, "s5": 0.0}
    assert homes.answer(channel, "unknown") == {"s1": 2.0, "s2": 2.0, "s3": 2.0, "s4": 0.0, "s5": 0.0}


def test_the_fewer_live_at_a_place_the_more_everybody_counts(homes: World) -> None:
    answers = [homes.answer(Fallback(homes.release, FallbackConfig(prior=prior)), "cy") for prior in (1.0, 300.0)]
    assert answers[0]["s2"] == pytest.approx(2 * (1 / 3) / (4 / 3))
    assert answers[1]["s2"] == pytest.approx(2 * 100 / 101)


def test_a_place_keeps_to_what_may_come_back(homes: World) -> None:
    assert "s1" not in homes.answer(Fallback(homes.release), "cy", exclude=["s1"])
