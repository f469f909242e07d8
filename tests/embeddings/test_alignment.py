import numpy as np
import pytest
from scipy.stats import ortho_group

from embeddings.alignment import common, drift, rotation


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)


def test_a_turned_copy_is_turned_back() -> None:
    fixed = unit(np.random.default_rng(1), 200, 8)
    turn = ortho_group.rvs(8, random_state=2).astype(np.float32)
    assert (fixed @ turn) @ rotation(fixed @ turn, fixed) == pytest.approx(fixed, abs=1e-5)


def test_a_rotation_changes_no_dot_product_however_the_vectors_differ() -> None:
    rng = np.random.default_rng(3)
    moved, fixed = unit(rng, 50, 6), unit(rng, 50, 6)
    found = rotation(moved, fixed)
    assert found @ found.T == pytest.approx(np.eye(6), abs=1e-6)
    assert (moved @ found) @ (moved @ found).T == pytest.approx(moved @ moved.T, abs=1e-5)


def test_in_the_plane_it_is_the_angle_between_them() -> None:
    # a quarter turn takes (1, 0) to (0, 1)
    assert rotation(np.array([[1.0, 0], [0, 1]]), np.array([[0.0, 1], [-1, 0]])) == pytest.approx(
        np.array([[0, 1], [-1, 0]]), abs=1e-6
    )


def test_without_anything_in_common_nothing_turns() -> None:
    nothing = np.empty((0, 4), dtype=np.float32)
    assert rotation(nothing, nothing).tolist() == np.eye(4).tolist()


def test_what_stands_in_both_is_found_by_its_id() -> None:
    old, new = common(["a", "c", "d"], ["b", "c", "d", "e"])
    assert (old.tolist(), new.tolist()) == ([1, 2], [1, 2])


def test_vectors_that_did_not_move_have_no_drift() -> None:
    vectors = unit(np.random.default_rng(4), 100, 8)
    assert drift(vectors, vectors) == pytest.approx({"mean_cosine": 1, "neighbours_kept": 1})


def test_drift_by_hand() -> None:
    # the fourth turned round: two cosines of 1 lost; with 3 others everybody keeps all of them
    old = np.array([[1.0, 0], [0, 1], [1, 0], [1, 0]], dtype=np.float32)
    new = np.array([[1.0, 0], [0, 1], [1, 0], [-1, 0]], dtype=np.float32)
    assert drift(old, new) == pytest.approx({"mean_cosine": (3 - 1) / 4, "neighbours_kept": 1})


def test_neighbours_are_lost_where_vectors_are_drawn_anew() -> None:
    rng = np.random.default_rng(5)
    found = drift(unit(rng, 3000, 16), unit(rng, 3000, 16))
    assert abs(found["mean_cosine"]) < 0.02
    assert found["neighbours_kept"] < 0.05


def test_what_has_no_vector_is_left_out() -> None:
    old = np.array([[1.0, 0], [0, 1], [0, 0]], dtype=np.float32)
    assert drift(old, old[[0, 1, 0]])["mean_cosine"] == 1
    assert np.isnan(drift(old[2:], old[2:])["mean_cosine"])
