import numpy as np
import pytest
from scipy.stats import chisquare

from embeddings.training.negatives import uniform_negatives

# 3 listeners, 7 items: 0 has 1, 2 and 6; 1 has none; 2 has all but 3
INDPTR = np.array([0, 3, 3, 9])
INDICES = np.array([1, 2, 6, 0, 1, 2, 4, 5, 6], dtype=np.int32)
LEFT = ([0, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6], [3])


def drawn(listener: int, seed: int = 0) -> np.ndarray:
    return uniform_negatives(INDPTR, INDICES, np.full(20_000, listener), 7, np.random.default_rng(seed))


@pytest.mark.parametrize("listener", [0, 1, 2])
def test_uniform_negatives_are_uniform_over_what_is_not_the_listener_s_own(listener: int) -> None:
    counts = np.bincount(drawn(listener), minlength=7)
    assert np.flatnonzero(counts).tolist() == LEFT[listener]
    assert len(LEFT[listener]) == 1 or chisquare(counts[LEFT[listener]]).pvalue > 0.001


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
