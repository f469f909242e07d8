import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import DAY, NOW, World, events

from recall.channels.trending import Trending, TrendingConfig, rise
from recall.discovery import channel_type
from recall.live.counters import Counters, SongSums
from recall.live.edits import Edits, NewSong, NewSongs
from recall.live.live import EventBatch, Overlay

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


def test_a_song_that_came_after_the_request_began_is_passed_over(lopsided: World) -> None:
    live = dataclasses.replace(Overlay.of(lopsided.snapshot), counters=Counters(lopsided.snapshot))
    one = np.ones(1, dtype=np.int64)
    live.counters.fold(EventBatch(one * lopsided.listener("cy").user, one * live.size, one, one * NOW, one, one * 0))
    query = dataclasses.replace(lopsided.query("ana"), overlay=live)
    for name in ("trending", "social"):
        found = channel_type(name).build(lopsided.release).recall(query, 10)
        assert len(found)
        assert found.songs.max() < live.size


def test_what_is_played_at_home_is_counted_before_anybody_asks(lopsided: World) -> None:
    live = dataclasses.replace(Overlay.of(lopsided.snapshot), counters=Counters(lopsided.snapshot))
    Trending(lopsided.release, TrendingConfig(half_life_days=3.0)).count(live.counters)
    live.counters.events(("liked at home", 3.0 * DAY), lambda: pytest.fail("counted while somebody waits"))


def test_a_rise_is_told_in_standard_deviations_of_decayed_counts() -> None:
    found = rise(np.array([4.0, 4.0, 0.0]), np.array([4.0, 0.0, 4.0]))
    assert found[0] == 0  # 4 plays a day all along are no news
    assert found[1] == pytest.approx(2 * (np.sqrt(8.375) - np.sqrt(0.375)))
    assert found[2] == -found[1]


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
    shown = shown_to_ana(["s1"] * 200, [NOW] * 200)
    world = make_world(log=events(rows), exposures=shown)
    usual = TrendingConfig(place=0.0, genre=0.0, burst=0.0, correction=0.0)
    assert list(world.answer(Trending(world.release, usual), None)) == ["s1", "s2"]
    corrected = dataclasses.replace(usual, correction=1.0, prior=5.0, doubt=1.0)
    answer = world.answer(Trending(world.release, corrected), None)
    # 200 exposures let 22 plays be expected: (12 - sqrt 12) / 27 against (10 - sqrt 10) / 5
    assert answer["s1"] / answer["s2"] == pytest.approx((12 - 12**0.5) / 27 / ((10 - 10**0.5) / 5), abs=1e-5)


def shown_to_ana(songs: list[str], at: list[int]) -> pl.DataFrame:
    fields = {"user_id": pl.String, "song_id": pl.String, "at": pl.Int64, "channel": pl.String, "score": pl.Float64}
    rows = pl.DataFrame(
        [("ana", song, when, None, None) for song, when in zip(songs, at, strict=True)], fields, orient="row"
    )
    return rows.with_columns(request_id=pl.lit("r"), position=pl.lit(0)).with_row_index("offset", offset=1)


def test_a_rise_that_more_exposures_explain_is_none(make_world: Callable[..., World]) -> None:
    days = [NOW - day * DAY for day in range(30)]
    rows: list[tuple[Any, ...]] = [("ana", "full_play", song, at) for song in ("s1", "s2", "s3") for at in days]
    rows += [("ben", "full_play", song, NOW - i) for song in ("s1", "s2") for i in range(8)]
    # both rise alike, but s2 has been shown as often all along and s1 is shown just now
    steady, pushed = [("s2", at) for at in days * 4], [("s1", NOW)] * 120
    world = make_world(log=events(rows), exposures=shown_to_ana(*map(list, zip(*steady, *pushed, strict=True))))
    plain = TrendingConfig(place=0.0, genre=0.0, correction=0.0, burst=1.0, sure=0.0, explained=0.0)
    alike = world.answer(Trending(world.release, plain), None)
    told = world.answer(Trending(world.release, dataclasses.replace(plain, explained=1.0)), None)
    assert alike["s1"] == pytest.approx(alike["s2"])
    assert told["s2"] == pytest.approx(alike["s2"])
    assert told["s1"] == 1.0  # its share of plays alone
    assert told["s2"] > 1.5


def test_what_is_not_sure_is_no_rise(make_world: Callable[..., World]) -> None:
    world = make_world(log=events([("ana", "full_play", "s1", NOW), ("ben", "full_play", "s2", NOW - DAY)]))
    usual = TrendingConfig(place=0.0, genre=0.0, correction=0.0, burst=1.0, sure=0.0)
    bold, careful = (
        world.answer(Trending(world.release, dataclasses.replace(usual, sure=sure)), None) for sure in (0.0, 9.0)
    )
    assert bold["s1"] > careful["s1"] == 1.0


def test_a_play_counts_in_the_next_answer(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=0.0, genre=0.0, **PLAIN))
    live = Overlay.of(lopsided.snapshot)
    live = dataclasses.replace(live, counters=Counters(lopsided.snapshot))
    query = dataclasses.replace(lopsided.query(None), overlay=live)
    assert lopsided.ids(channel.recall(query, 1).songs) == ["s4"]
    one = np.ones(4, dtype=np.int64)
    live.counters.fold(EventBatch(one * 0, one * lopsided.song("s5"), one, one * NOW, one, one * 0))
    assert lopsided.ids(channel.recall(query, 1).songs) == ["s5"]


def test_only_the_leaders_are_looked_at(lopsided: World) -> None:
    channel = Trending(lopsided.release, TrendingConfig(place=0.0, genre=0.0, songs=2, **PLAIN))
    assert list(lopsided.answer(channel, None)) == ["s4", "s2"]


def folded(world: World, live: Overlay, song: str, times: int, at: int) -> None:
    one = np.ones(times, dtype=np.int64)
    live.counters.fold(EventBatch(one * 0, one * world.song(song), one, one * at, one, one * 0))


def test_what_is_asked_after_a_fold_is_what_a_new_channel_answers(lopsided: World) -> None:
    config = TrendingConfig(songs=5, burst=0.5, sure=0.0)
    channel = Trending(lopsided.release, config)
    live = dataclasses.replace(Overlay.of(lopsided.snapshot), counters=Counters(lopsided.snapshot))
    for song, times in (("s5", 1), ("s2", 3), ("s5", 2)):
        folded(lopsided, live, song, times, NOW)
        for user in ("ana", "ben", None):
            query = dataclasses.replace(lopsided.query(user), overlay=live)
            found, anew = (one.recall(query, 2) for one in (channel, Trending(lopsided.release, config)))
            assert found.songs.tolist() == anew.songs.tolist()
            np.testing.assert_allclose(found.scores, anew.scores, rtol=1e-12)


def test_a_new_song_that_leads_at_home_is_lifted_once_its_genre_is_known(lopsided: World) -> None:
    config = TrendingConfig(songs=1, genre=4.0, **PLAIN)  # one leads everywhere, and another at home
    channel, counters = Trending(lopsided.release, config), Counters(lopsided.snapshot)
    one = np.ones(1, dtype=np.int64)
    for user, song, count in ((2, 3, 9), (0, 5, 3)):  # Cy, who lives elsewhere, and Ana
        counters.fold(EventBatch(one * user, one * song, one, one * NOW, one * count, one * 0))
    answers = []
    for genres in ([], ["folk"]):
        edits = Edits(lopsided.snapshot, 0, {"n": NewSong("n", {}, {"genres": genres})}, places={"n": 5})
        overlay = Overlay(counters, edits, NewSongs(edits, None))
        query = dataclasses.replace(lopsided.query("ana"), overlay=overlay)
        found, anew = (made.recall(query, 3) for made in (channel, Trending(lopsided.release, config)))
        assert found.songs.tolist() == anew.songs.tolist()
        np.testing.assert_allclose(found.scores, anew.scores, rtol=1e-12)
        answers.append(dict(zip(found.songs.tolist(), found.scores.tolist(), strict=True))[5])
    assert answers[1] == pytest.approx(answers[0] * (1 + 4 * 1.7 / 2.6))


def test_more_songs_than_lead_may_be_played_within_an_hour(lopsided: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrendingConfig(songs=2, **PLAIN)
    channel = Trending(lopsided.release, config)
    live = dataclasses.replace(Overlay.of(lopsided.snapshot), counters=Counters(lopsided.snapshot))
    query = dataclasses.replace(lopsided.query("ben"), overlay=live)
    assert lopsided.ids(channel.recall(query, 1).songs) == ["s4"]
    monkeypatch.setattr(SongSums, "at", None)  # a look at every song
    for song in ("s1", "s2", "s3", "s5", "s5", "s5"):
        folded(lopsided, live, song, 2, NOW)
    found = channel.recall(query, 3)
    monkeypatch.undo()
    anew = Trending(lopsided.release, config).recall(query, 3)
    assert found.songs[:2].tolist() == anew.songs[:2].tolist()
    np.testing.assert_allclose(found.scores[:2], anew.scores[:2], rtol=1e-12)


@pytest.mark.parametrize("name", ["correction", "sure", "explained"])
def test_a_negative_setting_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be at least 0 \(got -1\)"):
        TrendingConfig(**{name: -1})
