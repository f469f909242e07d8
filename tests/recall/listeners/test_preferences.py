from collections.abc import Callable

import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World, lopsided_snapshot

from graph.snapshot.histories import CODE
from recall.listeners import preferences


def test_loves_are_relative_to_each_listener_s_largest(lopsided: World) -> None:
    matrix = preferences.preference_matrix(lopsided.snapshot).toarray()
    s3 = 0.4 * (1 + np.log(10)) / (3 * 2 ** (-7 / 21))
    assert matrix == pytest.approx(
        np.array([[1, 0, 0, 0, 0], [0, 0, s3, 1, 0], [0, 1, 0, 2 ** (-14 / 21), 0]]), abs=1e-6
    )


def test_listeners_count_people_not_plays(lopsided: World) -> None:
    assert preferences.listeners(lopsided.snapshot).tolist() == [1, 2, 1, 2, 0]


def test_decayed_leaves_out_what_has_no_time_and_never_counts_below_zero(lopsided: World) -> None:
    assert preferences.decayed(lopsided.snapshot, 7 * DAY) == pytest.approx([0.5, 1, 0, 1.75, 0])


def test_a_view_has_preferences_of_its_own(lopsided: World) -> None:
    snapshot = lopsided.snapshot
    view = snapshot.view(snapshot.histories.at < NOW)
    assert preferences.listeners(view).tolist() == [1, 0, 1, 2, 0]
    assert preferences.listeners(snapshot).tolist() == [1, 2, 1, 2, 0]
    # seen from the view's newest event, a week ago
    assert preferences.decayed(view, 7 * DAY) == pytest.approx([1, 0, 0, 3.5, 0])


def test_once_computes_once_for_each_view() -> None:
    snapshot, calls = lopsided_snapshot(), []
    count: Callable[[], int] = lambda: calls.append(1) or len(calls)  # noqa: E731
    assert [preferences.once(snapshot, "x", count) for _ in range(3)] == [1, 1, 1]
    assert preferences.once(snapshot.view(snapshot.histories.action == CODE["like"]), "x", count) == 2
