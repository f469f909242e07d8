import pytest
from segue_test_worlds import World

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
