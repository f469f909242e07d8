import dataclasses

import numpy as np
from segue_test_worlds import DAY, NOW, World, events, lopsided_snapshot

from graph.schema import ACTIONS
from graph.snapshot.histories import CODE, UNKNOWN_TIME, Histories


def log(*rows: tuple[object, ...]) -> Histories:
    return lopsided_snapshot(log=events(rows)).histories


def test_each_user_s_events_in_order_unknown_times_first(lopsided: World) -> None:
    histories = lopsided.snapshot.histories
    ben = histories.of(1)
    assert lopsided.ids(histories.song[ben]) == ["s3", "s4", "s4"]
    assert [ACTIONS[a] for a in histories.action[ben]] == ["play", "full_play", "like"]
    assert histories.at[ben].tolist() == [UNKNOWN_TIME, NOW - 7 * DAY, NOW - 7 * DAY]
    assert histories.count[ben].tolist() == [10, 1, 1]
    assert histories.offset[ben].tolist() == [3, 4, 5]


def test_a_search_is_no_event_on_a_song(lopsided: World) -> None:
    assert len(lopsided.snapshot.histories) == 9
    assert np.bincount(lopsided.snapshot.histories.user).tolist() == [3, 3, 3]


def test_what_is_not_told_is_unknown() -> None:
    histories = log(("ana", "play", "s1", NOW), ("ana", "play", "s1", NOW + 1, 2, 5_000, 4.5))
    assert histories.played_ms.tolist() == [-1, 5000]
    assert np.isnan(histories.rating[0])
    assert histories.rating[1] == 4.5
    assert histories.newest == NOW + 1


def test_listened_counts_every_playback_and_its_kinds() -> None:
    histories = log(
        ("ana", "play", "s1", 50),
        ("ana", "full_play", "s1", 70, 3),
        ("ana", "skip", "s1", None, 2),
        ("ana", "like", "s1", 90),
        ("cy", "skip", "s5", None),
        ("ben", "collect", "s2", 10),
    )
    listened = histories.listened()
    assert list(zip(listened.edge_sources.tolist(), listened.indices.tolist(), strict=True)) == [(0, 0), (2, 4)]
    found = {name: values.tolist() for name, values in listened.properties.items()}
    assert found == {
        "plays": [6, 1],
        "full_plays": [3, 0],
        "skips": [2, 1],
        "first_at": [50, UNKNOWN_TIME],
        "last_at": [70, UNKNOWN_TIME],
    }


def test_states_stand_as_after_every_undoing_action() -> None:
    states = log(
        ("ana", "collect", "s1", 1),
        ("ana", "uncollect", "s1", 2),
        ("ana", "collect", "s2", 3),
        ("ana", "like", "s1", 4),
        ("ben", "block", "s3", 5),
        ("ben", "unblock", "s3", 6),
        ("ben", "block", "s3", 7),
        ("ben", "unlike", "s3", 8),
        ("cy", "share", "s5", 9),
        ("ben", "dislike", "s1", 9),
        ("ben", "undislike", "s1", 10),
        ("ben", "dislike", "s2", 11),
    ).states()
    found = {n: list(zip(r.edge_sources.tolist(), r.indices.tolist(), r.properties["at"].tolist(), strict=True))
             for n, r in states.items()}  # fmt: skip
    assert found == {
        "COLLECTED": [(0, 1, 3)],
        "LIKED": [(0, 0, 4)],
        "DISLIKED": [(1, 1, 11)],
        "BLOCKED": [(1, 2, 7)],
        "SHARED": [(2, 4, 9)],
    }


def test_a_rated_song_was_heard() -> None:
    histories = log(("ana", "like", "s1", 1), ("ana", "dislike", "s2", 2), ("ana", "like", "s3", 3))
    assert not histories.playbacks.any()
    rated = dataclasses.replace(histories, rating=np.array([5, 1, np.nan], dtype=np.float32))
    listened = rated.listened()
    assert listened.indices.tolist() == [0, 1]
    assert {name: listened.properties[name].tolist() for name in ("plays", "full_plays", "skips")} == {
        "plays": [1, 1],
        "full_plays": [0, 0],
        "skips": [0, 1],
    }


def test_equal_times_keep_the_order_of_the_log() -> None:
    assert not len(log(("ana", "like", "s1", 5), ("ana", "unlike", "s1", 5)).states()["LIKED"])
    assert len(log(("ana", "unlike", "s1", 5), ("ana", "like", "s1", 5)).states()["LIKED"])


def test_first_seen_is_the_first_offset_and_never_heard_songs_come_last(lopsided: World) -> None:
    first = lopsided.snapshot.histories.first_seen.tolist()
    assert first[:4] == [1, 6, 3, 4]
    assert first[4] == np.iinfo(np.int64).max


def test_where_keeps_some_events_of_everybody(lopsided: World) -> None:
    some = lopsided.snapshot.histories.where(lopsided.snapshot.histories.action == CODE["full_play"])
    assert some.indptr.tolist() == [0, 1, 2, 4]
    assert lopsided.ids(some.song) == ["s1", "s4", "s4", "s2"]


def test_an_empty_log_has_no_newest_time() -> None:
    histories = log()
    assert (len(histories), histories.newest, len(histories.listened())) == (0, UNKNOWN_TIME, 0)


def test_an_event_without_a_time_happened_after_what_the_log_held_before_it() -> None:
    histories = log(
        ("ana", "block", "s1", 50),
        ("ana", "unblock", "s1", None),
        ("ana", "play", "s2", 90),
        ("ana", "play", "s3", None),
        ("ana", "play", "s4", 70),
    )
    mine = histories.of(0)
    assert histories.offset[mine].tolist() == [1, 2, 5, 3, 4]
    assert not len(histories.states()["BLOCKED"])
