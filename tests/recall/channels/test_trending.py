import pytest
from segue_test_worlds import World

from recall.channels.trending import Trending, TrendingConfig

# With a half-life of 7 days: s1 4 x 2^-3, s4 3 x 2^-1 + 2^-2, s2 1; the play of s3 has no time.
SHARES = {"s4": 1.0, "s2": 1 / 1.75, "s1": 0.5 / 1.75}


def test_for_somebody_unknown_the_shares_of_decayed_plays(lopsided: World) -> None:
    assert lopsided.answer(Trending(lopsided.release), "unknown") == pytest.approx(SHARES, abs=1e-6)


def test_what_is_played_at_home_counts_again(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=1.0, genre=0.0))
    # at home, Ana's s1 0.5 beside Ben's s4 1.5
    expected = {"s4": 2.0, "s1": SHARES["s1"] + 0.5 / 1.5, "s2": SHARES["s2"]}
    assert lopsided.answer(channel, "ben") == pytest.approx(expected, abs=1e-6)


def test_the_genres_of_a_listener_lift_their_songs(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=0.0, genre=4.0))
    folk, rock = 1.7 / 2.6, -0.3 / 2.6
    expected = {
        "s1": SHARES["s1"] * (1 + 4 * folk),
        "s4": SHARES["s4"],
        "s2": SHARES["s2"] * (1 + 4 * (folk + rock) / 2),
    }
    assert lopsided.answer(channel, "ana") == pytest.approx(expected, abs=1e-6)
