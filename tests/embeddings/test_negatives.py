import numpy as np
import pytest
from scipy.stats import chisquare

from embeddings.negatives import popular_negatives, uniform_negatives

# 3 listeners, 7 items: 0 has 1, 2 and 6; 1 has none; 2 has all but 3
INDPTR = np.array([0, 3, 3, 9])
INDICES = np.array([1, 2, 6, 0, 1, 2, 4, 5, 6], dtype=np.int32)
LEFT = ([0, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6], [3])


def drawn(listener: int, weights: np.ndarray | None = None, n: int = 20_000, seed: int = 0) -> np.ndarray:
    rng, who = np.random.default_rng(seed), np.full(n, listener)
    if weights is None:
        return uniform_negatives(INDPTR, INDICES, who, 7, rng)
    return popular_negatives(INDPTR, INDICES, who, weights, rng)


@pytest.mark.parametrize("listener", [0, 1, 2])
def test_uniform_negatives_are_uniform_over_what_is_not_the_listener_s_own(listener: int) -> None:
    counts = np.bincount(drawn(listener), minlength=7)
    assert np.flatnonzero(counts).tolist() == LEFT[listener]
    assert len(LEFT[listener]) == 1 or chisquare(counts[LEFT[listener]]).pvalue > 0.001


def test_popular_negatives_follow_their_weights_and_leave_out_the_listener_s_own() -> None:
    weights = np.array([4.0, 9, 9, 1, 0, 3, 9])
    counts = np.bincount(drawn(0, weights), minlength=7)
    assert np.flatnonzero(counts).tolist() == [0, 3, 5]
    assert chisquare(counts[[0, 3, 5]], np.array([4, 1, 3]) / 8 * 20_000).pvalue > 0.001


def test_a_listener_who_owns_nearly_all_the_weight_gets_what_is_left() -> None:
    assert set(drawn(0, np.array([0, 1.0, 1, 1e-9, 0, 0, 1]), n=100).tolist()) == {3}


def test_a_listener_who_owns_all_the_weight_gets_uniform_negatives() -> None:
    counts = np.bincount(drawn(0, np.array([0, 1.0, 1, 0, 0, 0, 1]), n=200), minlength=7)
    assert np.flatnonzero(counts).tolist() == LEFT[0]


def test_every_listener_gets_a_negative_of_their_own() -> None:
    who = np.array([2, 0, 2, 1] * 500)
    found = uniform_negatives(INDPTR, INDICES, who, 7, np.random.default_rng(1))
    assert (found[who == 2] == 3).all()
    assert set(found[who == 0].tolist()) == set(LEFT[0])


def test_a_seed_gives_the_same_negatives_and_another_one_others() -> None:
    assert np.array_equal(drawn(1, seed=1), drawn(1, seed=1))
    assert not np.array_equal(drawn(1, seed=1), drawn(1, seed=2))


def test_no_listener_no_negative() -> None:
    assert uniform_negatives(INDPTR, INDICES, np.array([], dtype=np.int64), 7, np.random.default_rng(0)).shape == (0,)


def test_a_listener_with_every_item_is_named() -> None:
    with pytest.raises(ValueError, match="listener 2 has all 6 items"):
        uniform_negatives(INDPTR, INDICES, np.array([0, 2]), 6, np.random.default_rng(0))


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one of the weights must be above 0"):
        drawn(0, np.zeros(7))
