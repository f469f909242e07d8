"""How large a part of a slate is reserved, and what stands in it, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ranking.reserve import (
    ANSWERING,
    DEFAULT,
    LEAST_SESSIONS,
    Reserve,
    answering,
    loved_here,
    next_loved,
    places_at_most,
    places_kept,
    without_refused,
)
from recall.base import Array


def sessions(*rows: tuple[int, tuple[float, float, float, float]]) -> Array:
    """(A, 4) what slates with 0, 1, 2 and 3 places kept found: so many moments of each row."""
    return np.concatenate([np.tile(found, (count, 1)) for count, found in rows])


def test_the_share_whose_slates_find_the_most_is_learned() -> None:
    found = sessions((30, (0.0, 0.25, 0.5, 0.5)), (10, (0.5, 0.25, 0.25, 0.0)))
    # means of one, two and three places: .25, .4375, .375
    assert Reserve.fit(found) == Reserve(0.2, 40)


def test_a_smaller_share_is_taken_where_a_larger_one_is_not_surely_better() -> None:
    # two places lose 1 in 20 moments and win 2: .05 more in the mean, with a standard error of .0619
    found = sessions((37, (0.0, 0.5, 0.5, 0.0)), (2, (0.0, 0.0, 1.0, 0.0)), (1, (0.0, 1.0, 0.5, 0.0)))
    assert Reserve.fit(found).share == 0.1
    surely = sessions((30, (0.0, 0.5, 0.5, 0.0)), (10, (0.0, 0.0, 1.0, 0.0)))
    assert Reserve.fit(surely).share == 0.2


def test_a_place_is_kept_though_none_would_find_more_over_all_sessions() -> None:
    assert Reserve.fit(sessions((40, (0.5, 0.25, 0.0, 0.0)))).share == 0.1


def test_with_too_few_sessions_or_none_the_share_is_the_default_and_says_why() -> None:
    few = Reserve.fit(sessions((LEAST_SESSIONS - 1, (0.0, 0.0, 0.0, 1.0))))
    assert few == Reserve(DEFAULT, 29, "29 sessions of 30 that are needed")
    assert Reserve.fit(np.empty((0, 4)), "no times") == Reserve(DEFAULT, 0, "no times")


@pytest.mark.parametrize(
    ("reserve", "share", "n", "kinds", "count"),
    [
        (None, 0.1, 10, 0, 1),
        (None, 0.04, 10, 1, 1),  # never rounds to none
        (None, 0.1, 10, 2, 2),  # one for each kind of thing done
        (None, 0.1, 10, 5, 3),  # three in ten at most
        (None, 0.3, 30, 1, 9),
        (None, 0.3, 3, 1, 0),
        (0.5, 0.1, 10, 1, 5),  # as it is set
        (0.01, 0.3, 10, 4, 1),
        (0.9, 0.1, 2, 1, 1),
        (0.1, 0.1, 1, 1, 0),
        (0.0, 0.3, 10, 3, 0),
    ],
)
def test_how_many_places_are_kept(reserve: float | None, share: float, n: int, kinds: int, count: int) -> None:
    assert places_kept(reserve, share, n, kinds) == count
    assert count <= places_at_most(reserve, n)


def slate(rows: list[int], answers: list[int], count: int) -> list[int]:
    """What becomes of the rows of a slate; the later a song stands in the pool, the better it answers."""
    which = np.array(answers)
    return answering(np.array(rows), which, np.arange(len(which))[::-1], count).tolist()


def test_the_last_place_of_a_slate_answers_to_what_was_done_a_moment_ago() -> None:
    assert slate([0, 1, 2], [-1, -1, -1, 0, 0], 1) == [0, 1, 4]
    assert slate([0, 1, 2], [-1, -1, -1, 0, 0], 2) == [0, 4, 3]


def test_a_slate_that_answers_already_stays_as_it_is() -> None:
    assert slate([0, 1, 2], [-1, 0, -1, 0, 0], 1) == [0, 1, 2]
    assert slate([0, 1, 2], [-1, -1, -1], 1) == [0, 1, 2]


def test_each_kind_of_thing_done_has_a_place_the_newest_first() -> None:
    assert slate([0, 1, 2], [-1, 1, -1, 0, 1], 1) == [0, 1, 3]  # that an older one is answered does not help
    assert slate([0, 1, 2], [-1, -1, -1, 1, 0], 2) == [0, 4, 3]
    assert slate([0, 1, 2], [1, 1, 1, 0], 2) == [0, 1, 3]  # what is answered thrice makes room
    assert slate([0, 1], [1, 0, 2], 3) == [0, 1]  # and what is answered once does not


def test_the_last_songs_near_to_what_was_turned_down_give_way_to_the_best_that_are_not() -> None:
    refused = np.array([True, False, True, True, False, True, False])
    scores = np.array([7.0, 6.0, 5.0, 4.0, 2.0, 3.0, 1.0])
    assert without_refused(np.array([0, 1, 2, 3]), refused, scores, 2).tolist() == [0, 1, 4, 6]
    assert without_refused(np.array([0, 1, 2, 3]), refused, scores, 1).tolist() == [0, 1, 2, 4]
    assert without_refused(np.array([0, 1]), np.zeros(7, dtype=bool), scores, 3).tolist() == [0, 1]
    assert without_refused(np.array([0, 1, 4, 6]), refused, scores, 3).tolist() == [0, 1, 4, 6]  # nothing else is left


def test_what_was_loved_next_ends_with_the_session() -> None:
    found = next_loved([5, 6, 5, 9, 7], [0, 10, 20, 31, 100], 15)
    assert [(i, songs.tolist()) for i, songs in found] == [(0, [6, 9]), (1, [5, 9]), (2, [9])]
    assert next_loved([5, 6], [0, 100], 15) == []


def here(rows: list[int], ranks: list[int], count: int, *needed: int) -> list[int]:
    """What becomes of a slate by what is loved near by; the ranker scores the songs of the pool higher and higher."""
    which = np.array(ranks)
    taken = np.array(needed, dtype=np.int64)
    return loved_here(np.array(rows), which, np.arange(len(which)) * 1.0, count, taken).tolist()


def test_what_is_loved_near_by_takes_no_place_that_is_needed() -> None:
    assert here([0, 1, 2], [-1, -1, -1, -1, 0], 1) == [0, 1, 4]
    assert here([0, 2, 3], [-1, -1, -1, -1, 0], 2, 2, 3) == [2, 3, 4]  # of two that it may have, the pool holds one
    assert here([2, 3], [-1, -1, -1, -1, 0], 1, 2, 3) == [2, 3]
    assert here([0, 1], [-1, 0, 1], 1) == [0, 1]


def test_of_what_a_place_loves_most_the_ranker_chooses() -> None:
    assert here([0], [-1, 0, 1, ANSWERING], 1) == [2]  # the one at rank 10 is beyond those that the place loves most
