import numpy as np
import pytest
from scipy import sparse

from recall.similarity import overlap
from recall.similarity.overlap import Overlap


def matrix(*rows: list[float]) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows, dtype=np.float32))


TAGS = matrix([1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0])
ARTISTS = matrix([1, 0], [0, 1], [1, 0], [0, 0], [0, 1])


def test_rare_attributes_in_common_count_more() -> None:
    # tag 0 is had by 3 of 5 things: log(1 + 5/3) = .981, tag 1 by 2: log(1 + 5/2) = 1.253; tag 3 by one alone: nothing
    scores = (made := Overlap(5, {"HAS_TAG": TAGS}, {})).scores(made.described(0))
    length = (0.980829**2 + 1.252763**2) ** 0.5
    assert scores.tolist() == pytest.approx([1, 0.980829 / length, 1.252763 / length, 0, 0.980829 / length], abs=1e-5)


def test_relations_are_weighed_against_each_other() -> None:
    # of thing 0 and 2: a cosine of .787 of tags x 1, and 1 of artists x 3, over 4
    made = Overlap(5, {"HAS_TAG": TAGS, "PERFORMED_BY": ARTISTS}, {"PERFORMED_BY": 3.0})
    assert made.scores(made.described(0))[2] == pytest.approx((0.787383 + 3) / 4, abs=1e-5)
    assert made.scores(made.described(0), {"HAS_TAG": 0.0})[2] == pytest.approx(1)
    assert made.weights == {"HAS_TAG": 1.0, "PERFORMED_BY": 3.0}


def test_what_is_not_described_overlaps_with_nothing() -> None:
    made = Overlap(5, {"HAS_TAG": TAGS, "PERFORMED_BY": ARTISTS}, {})
    assert not made.scores(made.described(3)).any()
    assert Overlap(2, {}, {}).scores({}).tolist() == [0, 0]


def test_a_thing_that_is_none_of_these_is_described_by_its_attributes() -> None:
    made = Overlap(5, {"HAS_TAG": TAGS, "PERFORMED_BY": ARTISTS}, {"PERFORMED_BY": 3.0})
    new = made.described_by({"HAS_TAG": np.array([0, 1]), "PERFORMED_BY": np.array([0])})
    assert made.scores(new).tolist() == pytest.approx(made.scores(made.described(0)).tolist())
    known = [made.described(i) for i in range(5)]
    assert made.between(new, known).tolist() == pytest.approx(made.scores(new).tolist())
    assert made.between(new, known, {"HAS_TAG": 0.0})[2] == pytest.approx(1)


def test_of_attributes_that_too_many_have_the_rarest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "MOST", 3)
    made = Overlap(5, {"HAS_TAG": TAGS}, {})
    assert (made.scores(made.described(0)) > 0).tolist() == [True, False, True, False, False]
