"""A listener's interests, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recall.listeners.interests import Interests


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
