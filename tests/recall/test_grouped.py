import numpy as np
import pytest

from recall.grouped import added, among, distinct, highest, places, spread


def test_added_gives_each_key_once_with_its_sum() -> None:
    keys, sums = added(np.array([7, 2, 7, 7]), np.array([1.0, 2.0, 4.0, 0.5]))
    assert (keys.tolist(), sums.tolist()) == ([2, 7], [2.0, 5.5])


@pytest.mark.parametrize("most", [50, 10**6, 2**62, -5])
def test_many_keys_give_the_very_numbers_that_a_dictionary_would(most: int) -> None:
    # 2^62 and what is negative do not fit beside a place
    rng = np.random.default_rng(1)
    keys, values = rng.integers(min(most, 0), max(most, 5), 3000), rng.standard_normal(3000)
    expected: dict[int, float] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        expected[key] = expected.get(key, 0.0) + value
    found, sums = added(keys, values)
    assert dict(zip(found.tolist(), sums.tolist(), strict=True)) == expected
    assert (np.diff(found) > 0).all()


def test_nothing_adds_up_to_nothing() -> None:
    assert [len(part) for part in added(np.empty(0, dtype=np.int64), np.empty(0))] == [0, 0]


def test_distinct_keys_rise() -> None:
    assert distinct(np.array([5, 1, 5, 3])).tolist() == [1, 3, 5]
    assert distinct(np.empty(0, dtype=np.int32)).tolist() == []


def test_among_says_which_are_known() -> None:
    assert among(np.array([0, 3, 4, 9]), np.array([3, 9])).tolist() == [False, True, False, True]
    assert among(np.array([1]), np.empty(0, dtype=np.int64)).tolist() == [False]


def test_highest_takes_all_that_tie_with_the_last() -> None:
    scores = np.array([1.0, 3.0, 2.0, 2.0])
    assert np.arange(4)[highest(scores, 2)].tolist() == [1, 2, 3]
    assert np.arange(4)[highest(scores, 9)].tolist() == [0, 1, 2, 3]
    assert np.arange(4)[highest(scores, 0)].tolist() == []


def test_spread_gives_the_entries_of_some_rows() -> None:
    indptr = np.array([0, 2, 2, 5, 6])
    which, at = spread(indptr, np.array([2, 1, 0]))
    assert (which.tolist(), at.tolist()) == ([0, 0, 0, 2, 2], [2, 3, 4, 0, 1])
    which, at = spread(indptr, np.array([2, 3]), most=2)
    assert (which.tolist(), at.tolist()) == ([0, 0, 1], [3, 4, 5])
    assert [len(part) for part in spread(indptr, np.array([], dtype=np.int64))] == [0, 0]


def test_places_tell_where_keys_stand_or_that_they_do_not() -> None:
    assert places(np.array([2, 5, 9]), np.array([9, 2, 4, 11])).tolist() == [2, 0, 3, 3]
    assert places(np.array([], dtype=np.int64), np.array([4, 1])).tolist() == [0, 0]
