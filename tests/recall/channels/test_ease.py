from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import World, built, planted_snapshot

from recall.channels.ease import Ease, EaseConfig
from recall.linear.matrices import interaction_matrix

PLAIN = {"gamma": {"HAS_TAG": 0.0}, "ridge": 0.5, "beta": 0.0, "tilt": 0.0, "by_strength": 0.0}


def world(folder: Path, planted: World, **options: object) -> World:
    settings = {"ease": {**PLAIN, **options}}
    return World(built(folder, planted_snapshot(), planted.vectors, ["ease"], settings), planted.vectors)


def test_scores_are_those_of_the_formula(planted: World, tmp_path: Path) -> None:
    made = world(tmp_path, planted)
    rows = interaction_matrix(made.snapshot).toarray()
    inverse = np.linalg.inv(rows.T @ rows + 0.5 * np.eye(rows.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    scores = rows[made.snapshot.ids["User"].index("you")] @ weights
    answer = made.answer(Ease(made.release, EaseConfig(**PLAIN)), "you", 30, heard=True)
    assert answer == pytest.approx({s: scores[made.song(s)] for s in answer}, abs=1e-4)
    assert len(answer)


@pytest.mark.parametrize("option", [{"dense": 1}, {"gamma": {"HAS_TAG": 0.0, "FOLLOWS": 0.0}}], ids=str)
def test_the_sparse_form_and_a_gamma_of_0_answer_the_same(
    option: dict[str, object], tmp_path: Path, planted: World
) -> None:
    plain, other = world(tmp_path / "plain", planted), world(tmp_path / "other", planted, **option)
    for user in ("you", "ann0", "bob00"):
        expected, found = (w.answer(Ease(w.release, EaseConfig(**PLAIN)), user, 30) for w in (plain, other))
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("gamma", "first"), [(1.0, ["s5"]), (0.0, [])])
def test_tags_bring_songs_that_nobody_has_heard(
    lopsided: World, tmp_path: Path, gamma: float, first: list[str]
) -> None:
    # ana's only song is s1, which nobody else has heard; s5 has a tag of it
    options = {"ease": {**PLAIN, "gamma": {"HAS_TAG": gamma}}}
    release = built(tmp_path, lopsided.snapshot, lopsided.vectors, ["ease"], options)
    answer = World(release, lopsided.vectors).answer(Ease(release, EaseConfig()), "ana", heard=True)
    assert list(answer)[:1] == first
