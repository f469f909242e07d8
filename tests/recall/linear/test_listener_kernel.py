"""The listener kernel against the ridge regression on plain features that it is the dual of."""

import numpy as np
import pytest
from scipy import sparse
from segue_test_worlds import World, planted_snapshot

from embeddings.vectors.attributes import propagate
from graph.errors import FitError
from recall.linear.listener_kernel import ListenerRidge, likeness, paths

PLAIN = {"beta": 0.0, "by_strength": 0.0}


def by_name(lopsided: World, **more: float) -> dict[str, np.ndarray]:
    names = (
        "LISTENED",
        "FOLLOWS",
        "FOLLOWS/LISTENED",
        "FOLLOWS/FOLLOWS/LISTENED",
        "LISTENED/HAS_GENRE",
        "FOLLOWS/FOLLOWS",
    )
    found = paths(lopsided.snapshot, dict.fromkeys((*names, "LISTENED/LISTENED"), 1.0), **{**PLAIN, **more})
    return {path.name: path.rows.toarray() for path in found}


def test_what_reaches_a_listener(lopsided: World) -> None:
    half = 0.5**0.5
    found = by_name(lopsided)
    assert found["LISTENED"] == pytest.approx(np.array([[1, 0, 0, 0, 0], [0, 0, half, half, 0], [0, half, 0, half, 0]]))
    # ana follows ben and cy, cy follows ana, ben nobody; everybody is near oneself
    assert found["FOLLOWS"] == pytest.approx(np.array([[1, 1, 1], [0, 1, 0], [1, 0, 1]]) / np.sqrt([[3], [1], [2]]))
    # ana walks to ana, ben or cy; from ana on to all three, from ben nowhere else, from cy to ana or cy
    walks = np.array([1 / 9 + 1 / 6, 1 / 9 + 1 / 3, 1 / 9 + 1 / 6])
    assert found["FOLLOWS/FOLLOWS"][0] == pytest.approx(walks / np.linalg.norm(walks))
    assert found["FOLLOWS/LISTENED"][0] == pytest.approx(np.array([0, 1, 1, 2, 0]) / 6**0.5)
    # cy's followee ana follows ben and cy; cy is left out
    assert found["FOLLOWS/FOLLOWS/LISTENED"][2] == pytest.approx(np.array([0, 0, half, half, 0]))
    # folk and rock: s2 is half of each by length, s4 is rock
    assert found["LISTENED/HAS_GENRE"][2] == pytest.approx(np.array([half, 1 + half]) / np.hypot(half, 1 + half))
    # ben and cy share s4 and are each other's only likeness
    assert found["LISTENED/LISTENED"].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_damping_says_less_of_what_many_like(lopsided: World) -> None:
    row = by_name(lopsided, beta=1.0)["LISTENED"][2]  # s2 has one listener, s4 two
    assert row[1] == pytest.approx(2 * row[3])


def test_a_gamma_weighs_its_path_and_0_leaves_it_out(lopsided: World) -> None:
    everybody = np.arange(3)
    one, two = (
        likeness(paths(lopsided.snapshot, {"LISTENED": 1.0, "FOLLOWS": g}, **PLAIN), everybody, everybody)
        for g in (1.0, 3.0)
    )
    alone = paths(lopsided.snapshot, {"LISTENED": 1.0, "FOLLOWS": 0.0}, **PLAIN)
    assert [path.name for path in alone] == ["LISTENED"]
    assert two - one == pytest.approx(2 * (one - likeness(alone, everybody, everybody)), abs=1e-6)


def test_nothing_to_learn_from_is_an_error(lopsided: World) -> None:
    with pytest.raises(FitError, match="nothing to learn from"):
        paths(lopsided.snapshot, {"LISTENED": 0.0}, **PLAIN)


def test_a_sharp_likeness_by_hand(lopsided: World) -> None:
    found = paths(lopsided.snapshot, {"LISTENED": 1.0, "FOLLOWS/LISTENED": 3.0}, **PLAIN)
    everybody = np.arange(3)
    assert likeness(found, everybody, everybody)[1, 2] == pytest.approx(0.5)  # s4, one of two songs each
    # ben, who follows nobody, has the length 1; cy has 2
    assert likeness(found, everybody, everybody, 4.0)[1, 2] == pytest.approx(np.exp(4 * (0.5 / 2 - 1)))
    assert likeness(found, slice(0, 3), everybody, 4.0).diagonal() == pytest.approx([1, 1, 1])


def test_whom_no_path_reaches_is_like_nobody(lopsided: World) -> None:
    found = paths(lopsided.snapshot, {"FOLLOWS/LISTENED": 1.0}, **PLAIN)
    alike = likeness(found, np.arange(3), np.arange(3), 2.0)
    assert alike[1].tolist() == alike[:, 1].tolist() == [0, 0, 0]
    assert alike[0, 2] > 0


@pytest.fixture
def solved() -> tuple[ListenerRidge, np.ndarray, np.ndarray]:
    """The regression, the features it is the dual of, and what is fitted."""
    snapshot = planted_snapshot()
    found = paths(snapshot, {"LISTENED": 1.0, "FOLLOWS/LISTENED": 0.5, "LISTENED/HAS_TAG": 2.0}, **PLAIN)
    features = np.hstack([path.gamma**0.5 * path.rows.toarray() for path in found])
    features *= (len(features) / np.square(features).sum()) ** 0.5
    targets = sparse.csr_array(np.random.default_rng(2).random((snapshot.users, snapshot.songs)), dtype=np.float32)
    return ListenerRidge(found, np.arange(snapshot.users), targets, 0.5), features, targets.toarray()


def test_scores_are_those_of_a_ridge_on_the_features(solved: tuple[ListenerRidge, np.ndarray, np.ndarray]) -> None:
    ridge, features, targets = solved
    weights = np.linalg.solve(features.T @ features + 0.5 * np.eye(features.shape[1]), features.T @ targets)
    assert ridge.likeness(slice(0, 25)) @ ridge.weights == pytest.approx(features @ weights, abs=1e-4)


def test_sharp_scores_are_those_of_a_ridge_on_the_gaussian_kernel(
    solved: tuple[ListenerRidge, np.ndarray, np.ndarray],
) -> None:
    plain, features, targets = solved
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    apart = np.square(unit[:, None] - unit[None]).sum(axis=2)
    kernel = np.exp(-1.5 * apart / 2)
    sharp = ListenerRidge(plain.paths, plain.landmarks, sparse.csr_array(targets, dtype=np.float32), 0.5, 1.5)
    expected = kernel @ np.linalg.solve(kernel + 0.5 * np.eye(len(kernel)), targets)
    assert sharp.likeness(slice(0, 25)) @ sharp.weights == pytest.approx(expected, abs=1e-4)


def test_landmarks_that_are_everybody_change_nothing() -> None:
    snapshot = planted_snapshot()
    found = paths(snapshot, {"LISTENED": 1.0, "FOLLOWS": 0.5}, **PLAIN)
    targets = sparse.csr_array(np.eye(snapshot.users, 3), dtype=np.float32)
    whole = ListenerRidge(found, np.arange(snapshot.users), targets, 0.5)
    again = ListenerRidge(found, np.roll(np.arange(snapshot.users), 1)[:-1], targets, 0.5)
    missing = np.setdiff1d(np.arange(snapshot.users), again.landmarks)
    scores = whole.likeness(slice(0, 25)) @ whole.weights
    assert again.likeness(slice(0, 25)) @ again.weights == pytest.approx(scores, abs=0.2)
    assert len(missing) == 1


def test_one_more_song_adds_its_listeners_likeness(lopsided: World) -> None:
    found = paths(lopsided.snapshot, {"LISTENED": 1.0}, **PLAIN)
    ridge = ListenerRidge(found, np.arange(3), sparse.csr_array(np.eye(3, 5), dtype=np.float32), 1.0)
    rows = found[0].rows.toarray()
    length = (1 + 2 * 2**0.5) / 3
    assert ridge.by_song(lopsided.snapshot, slice(0, 5)) == pytest.approx(rows.T @ ridge.weights / length, abs=1e-6)


def test_smoothing_is_the_item_side_ridge() -> None:
    rng = np.random.default_rng(1)
    tags = (rng.random((7, 4)) < 0.6) * 1.0
    weights = rng.random((3, 7)).astype(np.float32)
    rows = tags / np.maximum(np.linalg.norm(tags, axis=1, keepdims=True), 1e-9)
    kernel = rows @ rows.T
    expected = weights + 0.3 * weights @ np.linalg.solve(kernel + 2.0 * np.eye(7), kernel)
    assert propagate(weights, sparse.csr_array(tags), 0.3, 2.0) == pytest.approx(expected, abs=1e-5)
    assert propagate(weights, sparse.csr_array(tags), 0.0, 2.0) is weights
