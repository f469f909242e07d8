import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, NOW, World, events

from recall.channels.trending import Trending, TrendingConfig, rise
from recall.counters import Counters
from recall.live import Happened, Overlay

# With a half-life of 7 days: s1 4 x 2^-3, s4 3 x 2^-1 + 2^-2, s2 1; the play of s3 has no time.
PLAIN: Final = {"burst": 0.0, "correction": 0.0}
SHARES = {"s4": 1.0, "s2": 1 / 1.75, "s1": 0.5 / 1.75}


def test_for_somebody_unknown_the_shares_of_decayed_plays(lopsided: World) -> None:
    assert lopsided.answer(Trending(lopsided.release, TrendingConfig(**PLAIN)), "unknown") == pytest.approx(
        SHARES, abs=1e-6
    )


def test_what_is_played_at_home_counts_again(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=1.0, genre=0.0, **PLAIN))
    # at home, Ana's s1 0.5 beside Ben's s4 1.5
    expected = {"s4": 2.0, "s1": SHARES["s1"] + 0.5 / 1.5, "s2": SHARES["s2"]}
    assert lopsided.answer(channel, "ben") == pytest.approx(expected, abs=1e-6)


def test_the_genres_of_a_listener_lift_their_songs(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=0.0, genre=4.0, **PLAIN))
    folk, rock = 1.7 / 2.6, -0.3 / 2.6
    expected = {
        "s1": SHARES["s1"] * (1 + 4 * folk),
        "s4": SHARES["s4"],
        "s2": SHARES["s2"] * (1 + 4 * (folk + rock) / 2),
    }
    assert lopsided.answer(channel, "ana") == pytest.approx(expected, abs=1e-6)


def test_the_language_of_a_listener_lifts_its_songs(lopsided: World) -> None:
    plain = Trending(lopsided.release, TrendingConfig(place=0.0, genre=0.0, **PLAIN))
    bent = Trending(lopsided.release, TrendingConfig(place=0.0, genre=0.0, language=2.0, **PLAIN))
    before, after = (lopsided.answer(channel, "ana") for channel in (plain, bent))
    # Ana's songs are all in English, s1 (2.0) and s2 (-0.6): an affinity of 1.4 / 2.6
    assert after["s1"] == pytest.approx(before["s1"] * (1 + 2 * 1.4 / 2.6), abs=1e-5)
    assert after["s4"] == before["s4"]  # nobody knows its language


def test_a_rise_is_told_from_the_songs_own_past() -> None:
    # 4 plays a day all along, against none for long and then 4: the first is no news
    fast, slow, share = np.array([4.0, 4.0, 0.0]), np.array([56.0, 4.0, 56.0]), 1 / 14
    found = rise(fast, slow, share)
    assert found[0] == pytest.approx(0)
    assert found[1] == pytest.approx(2 * (np.sqrt(4.375) - np.sqrt(4 / 14 + 0.375)))
    assert found[2] == 0  # a fall is none


def test_what_rises_overtakes_what_was_always_played(make_world: Callable[..., World]) -> None:
    rows: list[tuple[Any, ...]] = [("ana", "full_play", "s1", NOW - day * DAY) for day in range(30) for _ in range(2)]
    rows += [("ben", "full_play", "s2", NOW - i) for i in range(8)]
    world = make_world(log=events(rows))
    usual = TrendingConfig(place=0.0, genre=0.0, correction=0.0, burst=0.0)
    assert list(world.answer(Trending(world.release, usual), None)) == ["s1", "s2"]
    risen = dataclasses.replace(usual, burst=1.0)
    assert list(world.answer(Trending(world.release, risen), None)) == ["s2", "s1"]


def test_what_is_played_though_seldom_shown_counts_for_more(make_world: Callable[..., World]) -> None:
    rows: list[tuple[Any, ...]] = [("ana", "full_play", "s1", NOW)] * 12 + [("ana", "full_play", "s2", NOW)] * 10
    fields = {"user_id": pl.String, "song_id": pl.String, "at": pl.Int64, "channel": pl.String, "score": pl.Float64}
    shown = pl.DataFrame([("ana", "s1", NOW, None, None)] * 200, schema=fields, orient="row")
    shown = shown.with_columns(request_id=pl.lit("r"), position=pl.lit(0)).with_row_index("offset", offset=1)
    world = make_world(log=events(rows), exposures=shown)
    usual = TrendingConfig(place=0.0, genre=0.0, burst=0.0, correction=0.0)
    assert list(world.answer(Trending(world.release, usual), None)) == ["s1", "s2"]
    corrected = dataclasses.replace(usual, correction=1.0, prior=5.0, doubt=1.0)
    answer = world.answer(Trending(world.release, corrected), None)
    # 200 exposures let 22 plays be expected: (12 - sqrt 12) / 27 against (10 - sqrt 10) / 5
    assert answer["s1"] / answer["s2"] == pytest.approx((12 - 12**0.5) / 27 / ((10 - 10**0.5) / 5), abs=1e-5)


def test_a_play_counts_in_the_next_answer(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=0.0, genre=0.0, **PLAIN))
    live = Overlay.of(lopsided.snapshot)
    live = dataclasses.replace(live, counters=Counters(lopsided.snapshot))
    query = dataclasses.replace(lopsided.query(None), overlay=live)
    assert lopsided.ids(channel.recall(query, 1).songs) == ["s4"]
    one = np.ones(4, dtype=np.int64)
    live.counters.fold(Happened(one * 0, one * lopsided.song("s5"), one, one * NOW, one, one * 0))
    assert lopsided.ids(channel.recall(query, 1).songs) == ["s5"]


def test_only_the_leaders_are_looked_at(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=0.0, genre=0.0, songs=2, **PLAIN))
    assert list(lopsided.answer(channel, None)) == ["s4", "s2"]
