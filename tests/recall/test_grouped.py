import numpy as np
import pytest

from recall.grouped import (
    csr_entries,
    index_in_sorted,
    isin_sorted,
    rank_within_group,
    sorted_unique,
    sum_by_key,
    top_k,
)


def test_sum_by_key_gives_each_key_once_with_its_sum() -> None:
    keys, sums = sum_by_key(np.array([7, 2, 7, 7]), np.array([1.0, 2.0, 4.0, 0.5]))
    assert (keys.tolist(), sums.tolist()) == ([2, 7], [2.0, 5.5])


@pytest.mark.parametrize("most", [50, 10**6, 2**62, -5])
def test_many_keys_give_the_very_numbers_that_a_dictionary_would(most: int) -> None:
    # 2^62 and what is negative do not fit beside a place
    rng = np.random.default_rng(1)
    keys, values = rng.integers(min(most, 0), max(most, 5), 3000), rng.standard_normal(3000)
    expected: dict[int, float] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        expected[key] = expected.get(key, 0.0) + value
    found, sums = sum_by_key(keys, values)
    assert dict(zip(found.tolist(), sums.tolist(), strict=True)) == expected
    assert (np.diff(found) > 0).all()


def test_nothing_adds_up_to_nothing() -> None:
    assert [len(part) for part in sum_by_key(np.empty(0, dtype=np.int64), np.empty(0))] == [0, 0]


def test_sorted_unique_is_ascending() -> None:
    assert sorted_unique(np.array([5, 1, 5, 3])).tolist() == [1, 3, 5]
    assert sorted_unique(np.empty(0, dtype=np.int32)).tolist() == []


def test_isin_sorted_says_which_are_known() -> None:
    assert isin_sorted(np.array([0, 3, 4, 9]), np.array([3, 9])).tolist() == [False, True, False, True]
    assert isin_sorted(np.array([1]), np.empty(0, dtype=np.int64)).tolist() == [False]


def test_top_k_takes_all_that_tie_with_the_last() -> None:
    scores = np.array([1.0, 3.0, 2.0, 2.0])
    assert np.arange(4)[top_k(scores, 2)].tolist() == [1, 2, 3]
    assert np.arange(4)[top_k(scores, 9)].tolist() == [0, 1, 2, 3]
    assert np.arange(4)[top_k(scores, 0)].tolist() == []


def test_rank_within_group_counts_those_of_the_group_before() -> None:
    assert rank_within_group(np.array([7, -1, 7, 3, -1, 7])).tolist() == [0, 0, 1, 0, 1, 2]
    assert rank_within_group(np.empty(0, dtype=np.int64)).tolist() == []


def test_csr_entries_are_those_of_the_given_rows() -> None:
    indptr = np.array([0, 2, 2, 5, 6])
    which, at = csr_entries(indptr, np.array([2, 1, 0]))
    assert (which.tolist(), at.tolist()) == ([0, 0, 0, 2, 2], [2, 3, 4, 0, 1])
    which, at = csr_entries(indptr, np.array([2, 3]), most=2)
    assert (which.tolist(), at.tolist()) == ([0, 0, 1], [3, 4, 5])
    assert [len(part) for part in csr_entries(indptr, np.array([], dtype=np.int64))] == [0, 0]


def test_index_in_sorted_is_the_length_for_a_missing_key() -> None:
    assert index_in_sorted(np.array([2, 5, 9]), np.array([9, 2, 4, 11])).tolist() == [2, 0, 3, 3]
    assert index_in_sorted(np.array([], dtype=np.int64), np.array([4, 1])).tolist() == [0, 0]
