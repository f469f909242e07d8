from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import lopsided_snapshot

from graph.errors import CorruptRelease, FitError
from graph.release import Release
from ranking.fine.linear import Linear, LinearConfig
from recall.blend.listwise import listwise

SCORES = np.array([2.0, 0.0, 1.0, 0.0, 0.0])
LABELS = np.array([1.0, 0, 0, 1, 1])
GROUPS = np.array([0, 2, 5])
RNG = np.random.default_rng(0)


def test_the_loss_of_two_lists_worked_by_hand() -> None:
    # log(e^2 + 1) - 2 = 0.126928; log(e + 2) - 0 = 1.551445 for each of the two positives
    loss, _ = listwise(SCORES, LABELS, GROUPS)
    assert loss == pytest.approx((0.126928 + 1.551445) / 2, abs=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    _, gradient = listwise(SCORES, LABELS, GROUPS)
    step = 1e-6
    for i in range(len(SCORES)):
        up, down = SCORES.copy(), SCORES.copy()
        up[i] += step
        down[i] -= step
        slope = (listwise(up, LABELS, GROUPS)[0] - listwise(down, LABELS, GROUPS)[0]) / (2 * step)
        assert gradient[i] == pytest.approx(slope, abs=1e-8)


def test_repeating_the_lists_leaves_the_loss_unchanged() -> None:
    twice = listwise(np.tile(SCORES, 2), np.tile(LABELS, 2), np.array([0, 2, 5, 7, 10]))
    once = listwise(SCORES, LABELS, GROUPS)
    assert twice[0] == pytest.approx(once[0])
    assert twice[1] == pytest.approx(np.tile(once[1], 2) / 2)


def test_adding_a_number_to_a_list_leaves_the_loss_unchanged_even_a_huge_one() -> None:
    shifted = SCORES + np.array([1e4, 1e4, -1e4, -1e4, -1e4])
    assert listwise(shifted, LABELS, GROUPS)[0] == pytest.approx(listwise(SCORES, LABELS, GROUPS)[0])


def fitted(**config: float) -> Linear:
    """Lists of three in which the first feature tells, the second is noise and the third never changes."""
    rng = np.random.default_rng(3)
    labels = np.tile([1.0, 0, 0], 60)
    features = np.stack([labels + 0.3 * rng.normal(size=180), rng.normal(size=180), np.full(180, 7.0)], axis=1)
    return Linear.fit(
        ("tells", "noise", "flat"), features, labels, np.arange(0, 181, 3), LinearConfig(**config), rng=RNG
    )


def test_it_learns_what_tells() -> None:
    ranker = fitted()
    assert ranker.weights[0] > 5 * abs(ranker.weights[1])
    assert ranker.weights[2] == 0
    assert ranker.score(np.array([[1.0, 0, 7], [0, 0, 7]])).argmax() == 0


def test_held_firmly_it_keeps_the_order_of_the_pool() -> None:
    rng = np.random.default_rng(5)
    labels = np.tile([1.0, 0, 0], 60)
    features = np.stack([labels + rng.normal(size=180), labels + 2 * rng.normal(size=180)], axis=1)
    free, held = (
        Linear.fit(("fused", "other"), features, labels, np.arange(0, 181, 3), LinearConfig(l2=l2), rng=RNG)
        for l2 in (0.0, 1e7)
    )
    assert free.weights[1] > 0.1
    assert held.weights[0] > 0.3
    assert held.weights[1] == pytest.approx(0, abs=1e-3)


def test_the_more_lists_the_farther_from_the_pool() -> None:
    rng = np.random.default_rng(5)
    labels = np.tile([1.0, 0, 0], 40)
    features = np.stack([labels + rng.normal(size=120), labels + rng.normal(size=120)], axis=1)
    weights = [
        Linear.fit(
            ("fused", "other"),
            np.tile(features, (times, 1)),
            np.tile(labels, times),
            np.arange(0, 120 * times + 1, 3),
            LinearConfig(),
            rng=RNG,
        ).weights[1]
        for times in (1, 10)
    ]
    assert weights[1] > 2 * weights[0]


def test_each_field_of_the_config_changes_the_weights() -> None:
    usual = fitted().weights.tolist()
    assert fitted(l2=1000.0).weights[0] < usual[0]
    assert fitted(iterations=1).weights.tolist() != usual


def test_the_score_is_the_weighted_normalised_feature() -> None:
    ranker = Linear(("a", "b"), np.array([1.0, 0]), np.array([2.0, 1]), np.array([3.0, -1]))
    assert ranker.score(np.array([[5.0, 2.0]])).tolist() == [3 * 2 - 2]


@pytest.mark.parametrize("groups", [[0], []])
def test_without_a_list_there_is_nothing_to_learn(groups: list[int]) -> None:
    with pytest.raises(FitError, match="nothing to learn from"):
        Linear.fit(("a",), np.empty((0, 1)), np.empty(0), np.array(groups), LinearConfig(), rng=RNG)


def test_it_survives_being_saved(tmp_path: Path) -> None:
    ranker = fitted()
    lopsided_snapshot().write(tmp_path / "snapshot")
    ranker.save(tmp_path / "ranking" / "radio" / "linear")
    loaded = Linear.load(Release.open(tmp_path), "ranking/radio/linear")
    features = np.arange(6.0).reshape(2, 3)
    assert loaded.names == ("tells", "noise", "flat")
    assert loaded.score(features).tolist() == ranker.score(features).tolist()
    with pytest.raises(CorruptRelease):
        Linear.load(Release.open(tmp_path), "ranking/daily/linear")
