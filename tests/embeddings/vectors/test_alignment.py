from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group
from segue_test_worlds import events, nodes

from embeddings.vectors.alignment import common, drift, drift_of_releases, rotation
from embeddings.vectors.model_vectors import ModelVectors
from graph.release import Release
from graph.snapshot.snapshot import Snapshot


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


# ---- of releases


def released(folder: Path, plane: Mapping[str, Sequence[float]], **dims: int) -> Release:
    """A release of songs whose song2vec vectors lie in the plane; those of other models have the dimension given."""
    snapshot = Snapshot.of_frames({"Song": nodes(plane)}, {}, events([]))
    snapshot.write(folder / "snapshot")
    vectors = {"song2vec": np.array(list(plane.values())), **{name: np.eye(len(plane), d) for name, d in dims.items()}}
    for name, raw in vectors.items():
        known = np.ones(len(plane), dtype=bool)
        ModelVectors.of(snapshot, raw, known, {}, {}).save(folder / "vectors" / name, {})
    return Release.open(folder)


def test_releases_are_compared_by_the_songs_and_models_that_both_have(tmp_path: Path) -> None:
    # a goes, x comes and moves the places of the others; c turns by 90 degrees, d has no vector any more
    was = {"a": (0, 1), "b": (1, 0), "c": (1, 0), "d": (0, 2), "e": (3, 0)}
    now = {"b": (2, 0), "c": (0, 1), "d": (0, 0), "e": (1, 0), "x": (-1, 0)}
    old = released(tmp_path / "old", was, node2vec=4, eges=3)
    new = released(tmp_path / "new", now, node2vec=5, lightgcn=3)  # node2vec cannot be compared
    assert drift_of_releases(old, new) == {
        "song2vec": pytest.approx({"songs": 3, "mean_cosine": (1 + 0 + 1) / 3, "neighbours_kept": 1})
    }
