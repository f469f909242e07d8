"""A listener's interests, worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import World

from graph.release import Release
from recall.listeners.interests import Interests, Leaders


def at(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


SONGS = np.array([7, 3, 9, 4])


def test_songs_that_lie_together_are_one_interest_named_by_the_most_liked() -> None:
    found = Interests.of(SONGS, np.array([4.0, 3.0, 2.0, 1.0]), at(0, 90, 10, 100))
    assert found.songs.tolist() == [7, 3]
    assert found.importance == pytest.approx([0.6, 0.4])
    expected = 4 * at(0)[0] + 2 * at(10)[0]
    assert found.centres[0] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_what_holds_little_of_what_is_liked_is_no_interest() -> None:
    found = Interests.of(SONGS, np.array([10.0, 10.0, 10.0, 0.5]), at(0, 5, 10, 100))
    assert found.songs.tolist() == [7]


def test_a_song_serves_the_nearest_interest_or_none() -> None:
    found = Interests.of(SONGS, np.array([4.0, 3.0, 2.0, 1.0]), at(0, 90, 0, 90))
    assert found.nearest(np.concatenate([at(20, 80, 200), np.zeros((1, 2))])).tolist() == [0, 1, -1, -1]


def test_nobody_has_no_interests() -> None:
    found = Interests.of(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, 2), dtype=np.float32))
    assert (len(found), found.nearest(at(0)).tolist()) == (0, [-1])


def test_the_first_song_of_a_group_begins_it_again_whatever_is_liked_more_by_then() -> None:
    # 0, 50 and 100 degrees: the one in the middle is near to both ends, so what begins the groups decides
    middle = Interests.of(np.array([2, 1, 3]), np.array([3.0, 2.0, 1.0]), at(50, 0, 100))
    assert middle.songs.tolist() == [2]
    ends = Interests.of(np.array([2, 1, 3]), np.array([3.0, 2.0, 1.0]), at(50, 0, 100), np.array([1, 3]))
    assert len(ends) == 2


def test_a_refresh_keeps_what_begins_the_groups_of_every_listener(lopsided: World, tmp_path: Path) -> None:
    snapshot, unit = lopsided.snapshot, lopsided.vectors.unit
    fitted = Leaders.fit(snapshot, unit)
    fitted.save(tmp_path)
    lopsided.snapshot.write(tmp_path / "snapshot")
    loaded = Leaders.load(Release.open(tmp_path), unit)
    assert loaded.songs.tolist() == fitted.songs.tolist()
    for user in range(snapshot.users):
        name = snapshot.ids["User"][user]
        top, weights = lopsided.listener(name).top_songs(snapshot.as_of, 60)
        alone = Interests.of(top, weights, unit[top])
        mine = loaded.interests(lopsided.listener(name), snapshot.as_of)
        assert (mine.songs.tolist(), mine.importance.tolist()) == (alone.songs.tolist(), alone.importance.tolist())
        assert set(alone.songs.tolist()) <= set(loaded.of(user).tolist())
    assert loaded.of(-1).tolist() == []


def test_a_release_without_them_groups_at_the_request(lopsided: World, tmp_path: Path) -> None:
    lopsided.snapshot.write(tmp_path / "snapshot")
    none = Leaders.load(Release.open(tmp_path), lopsided.vectors.unit)
    assert none.of(0).tolist() == []
    assert len(none.interests(lopsided.listener("ana"), lopsided.snapshot.as_of)) == 1


def test_what_began_the_groups_at_the_refresh_begins_them_at_a_request(lopsided: World) -> None:
    # "ben" likes s4 more than s3; each is near to the other, so that what comes first alone begins a group
    ben, unit = lopsided.snapshot.ids["User"].index("ben"), np.zeros((lopsided.snapshot.songs, 2), dtype=np.float32)
    unit[[lopsided.song("s4"), lopsided.song("s3")]] = at(0, 40)
    both = np.array([lopsided.song("s4"), lopsided.song("s3")], dtype=np.int32)
    indptr = np.where(np.arange(lopsided.snapshot.users + 1) > ben, 2, 0)
    listener, now = lopsided.listener("ben"), lopsided.snapshot.as_of
    assert len(Leaders(indptr, both, unit).interests(listener, now)) == 2
    assert len(Leaders(indptr[:1], both[:0], unit).interests(listener, now)) == 1
