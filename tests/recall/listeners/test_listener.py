import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World

from graph.log.events import Event
from graph.snapshot.histories import CODE, STRENGTH, strengths
from recall.decay import HALF_LIFE_MS, decay
from recall.listeners.listener import Listener


def event(action: str, song: str, at: int | None = NOW, count: int = 1) -> Event:
    return Event(event_id=f"{action}-{song}-{at}", user_id="ana", action=action, song_id=song, at=at, count=count)


def test_a_half_life_is_21_days() -> None:
    at = np.array([NOW - 21 * DAY, NOW - 42 * DAY, NOW, NOW + DAY, -1])
    assert decay(at, NOW, HALF_LIFE_MS).tolist() == [0.5, 0.25, 1, 1, 1]


def test_an_aggregate_of_n_says_1_plus_ln_n_times_as_much() -> None:
    action = np.array([CODE["play"], CODE["full_play"], CODE["skip"], CODE["block"]])
    assert strengths(action, np.array([1, 10, 2, 1])) == pytest.approx(
        [0.4, 1 + np.log(10), -0.6 * (1 + np.log(2)), -6]
    )


def test_every_action_has_the_strength_of_its_name() -> None:
    for action, strength in STRENGTH.items():
        assert strengths(np.array([CODE[action]]), np.array([1])) == [strength]


def test_preferences_keep_what_a_listener_avoids(lopsided: World) -> None:
    songs, weights = lopsided.listener("ana").preferences(NOW)
    assert lopsided.ids(songs) == ["s1", "s2"]
    assert weights == pytest.approx([2.0, -0.6])


def test_events_that_all_fade_alike_are_told_as_of_the_newest(lopsided: World) -> None:
    cy, ben = lopsided.listener("cy"), lopsided.listener("ben")
    assert (cy.moment(NOW + 90 * DAY), cy.moment(NOW), cy.moment(NOW - DAY)) == (NOW, NOW, NOW - DAY)
    assert ben.moment(NOW) == NOW  # one of his events has no time and does not fade
    known, later = (cy.preferences(now)[1] for now in (NOW, NOW + 90 * DAY))
    assert known.tolist() == later.tolist()
    timeless = Listener.of(lopsided.snapshot, None, [event("like", "s1", None), event("like", "s2", None)])
    assert timeless.moment(NOW) == timeless.moment(NOW + DAY) == -1
    assert timeless.preferences(NOW)[1].tolist() == [STRENGTH["like"]] * 2


def test_loves_are_the_highest_positive_ones(lopsided: World) -> None:
    songs, weights = lopsided.listener("ben").top_songs(NOW, 1)
    assert lopsided.ids(songs) == ["s4"]
    assert weights == pytest.approx([3 * 2 ** (-7 / 21)])
    assert lopsided.ids(lopsided.listener("cy").top_songs(NOW, 9)[0]) == ["s2", "s4"]


def test_recent_songs_are_the_latest_liked_each_once(lopsided: World) -> None:
    assert lopsided.ids(lopsided.listener("ben").recent(5)) == ["s4", "s3"]
    assert lopsided.ids(lopsided.listener("ana").recent(5)) == ["s1"]  # s2 was skipped


def test_affinity_spreads_a_song_over_its_genres(lopsided: World) -> None:
    genres = lopsided.snapshot.relation("HAS_GENRE")
    targets, liked = lopsided.listener("ana").affinity(genres, NOW)
    assert targets.tolist() == [0, 1]
    assert liked == pytest.approx([1.7 / 2.6, -0.3 / 2.6])


def test_an_unknown_listener_is_an_empty_one(lopsided: World) -> None:
    listener = lopsided.listener("nobody")
    assert (len(listener), listener.user, len(listener.heard), len(listener.blocked)) == (0, -1, 0, 0)
    assert not len(lopsided.listener("nobody").affinity(lopsided.snapshot.relation("HAS_GENRE"), NOW)[0])


def test_latest_events_go_after_the_history_and_unknown_songs_are_left_out(lopsided: World) -> None:
    latest = [event("full_play", "s3"), event("full_play", "new-song"), event("block", "s1")]
    listener = Listener.of(lopsided.snapshot, "ana", latest)
    assert lopsided.ids(listener.recent(1)) == ["s3"]
    assert lopsided.ids(listener.blocked) == ["s1"]
    assert lopsided.ids(listener.heard) == ["s1", "s2", "s3"]


def test_the_latest_events_of_somebody_new_are_a_history(lopsided: World) -> None:
    listener = Listener.of(lopsided.snapshot, "new", [event("like", "s5", at=None)])
    assert (listener.user, lopsided.ids(listener.heard), listener.last_heard.tolist()) == (-1, ["s5"], [-1])


def test_an_unblocked_song_is_not_blocked(lopsided: World) -> None:
    assert lopsided.ids(lopsided.listener("cy").blocked) == ["s3"]
    assert not len(Listener.of(lopsided.snapshot, "cy", [event("unblock", "s3", NOW + 1)]).blocked)


def test_last_heard_is_the_latest_time_of_each_song(lopsided: World) -> None:
    assert lopsided.listener("ben").last_heard.tolist() == [-1, NOW - 7 * DAY]


def test_a_latest_event_without_a_time_comes_after_the_history(lopsided: World) -> None:
    listener = Listener.of(lopsided.snapshot, "ana", [event("block", "s3"), event("unblock", "s3", None)])
    assert len(listener.blocked) == 0
    assert lopsided.ids(Listener.of(lopsided.snapshot, "ana", [event("like", "s5", None)]).recent(1)) == ["s5"]


def test_events_on_new_songs_stand_apart(lopsided: World) -> None:
    latest = [event("full_play", "new"), event("like", "s3"), event("block", "new", None), event("play", "??")]
    listener = Listener.of(lopsided.snapshot, "ana", latest, {"new": 5})
    assert listener.new_events == [(5, CODE["full_play"], NOW), (5, CODE["block"], -1)]
    assert lopsided.ids(listener.heard) == ["s1", "s2", "s3"]
    assert listener.blocked.tolist() == [5]


def test_a_song_that_was_only_blocked_and_unblocked_was_not_met(lopsided: World) -> None:
    latest = [event("block", "s4", NOW + 1), event("unblock", "s4", NOW + 2), event("block", "s1", NOW + 3)]
    listener = Listener.of(lopsided.snapshot, "ana", latest)
    assert lopsided.ids(listener.heard[listener.unmet]) == ["s4"]
    assert listener.last_heard.tolist() == [NOW - 21 * DAY, NOW, -1]  # of s1, s2 and s4


def test_of_what_no_song_holds_only_what_still_says_something_is_kept(lopsided: World) -> None:
    def did(number: int, action: str, at: int | None, place: float | None = None, **more: str) -> Event:
        return Event(str(number), "ana", action, at=at, latitude=place, longitude=place, **more)

    latest = [
        did(0, "search", NOW, query="old"),
        did(1, "follow", NOW, target_label="Artist", target_id="a1"),
        did(2, "search", NOW + 2, query="new"),
        did(3, "play", NOW + 1, 3.0, song_id="s1"),  # a later one is newer
        did(4, "play", NOW + 5, 4.0, song_id="s1"),
        did(5, "play", NOW + 4, 5.0, song_id="s1"),  # the last, as far as the one before is too old
        event("like", "s3"),
        did(6, "unfollow", None, target_label="Artist", target_id="a1"),
    ]
    listener = Listener.of(lopsided.snapshot, "ana", latest)
    assert [one.event_id for one in listener.since] == ["1", "2", "4", "5", "6"]
    assert listener.newest == NOW + 5
