import numpy as np
import pytest
from segue_test_worlds import DAY, NOW, World

from ranking.features import Features
from recall.base import Candidates
from recall.blend.merge import Pool, merge


def pool(world: World) -> Pool:
    one = Candidates(np.array(world.songs("s4", "s1"), dtype=np.int32), np.array([4.0, 2.0]))
    two = Candidates(np.array(world.songs("s1"), dtype=np.int32), np.array([0.5]))
    return merge({"one": one, "two": two}, {"one": 9, "two": 9}, {})


@pytest.fixture
def named(lopsided: World) -> dict[str, dict[str, float]]:
    """Every feature of Ana's pool by song and name; channel `gone` is in the scene and failed this time."""
    features = Features(lopsided.release, ("one", "two", "gone"))
    found = pool(lopsided)
    matrix = features.matrix(lopsided.query("ana"), found)
    assert matrix.shape == (2, len(features))
    rows = [dict(zip(features.names, row, strict=True)) for row in matrix.tolist()]
    return dict(zip(lopsided.ids(found.songs), rows, strict=True))


def test_ranks_are_discounted_and_scores_relative_to_the_best(named: dict[str, dict[str, float]]) -> None:
    assert [named["s4"][f"rank:{c}"] for c in ("one", "two", "gone")] == [1, 0, 0]
    assert [named["s1"][f"rank:{c}"] for c in ("one", "two", "gone")] == pytest.approx([1 / np.log2(3), 1, 0])
    assert [named["s1"][f"score:{c}"] for c in ("one", "two", "gone")] == [0.5, 1, 0]
    assert named["s1"]["fused"] == pytest.approx(60 / 61 + 1)
    assert named["s4"]["channels"] == pytest.approx(1 / 3)


def test_what_the_graph_and_the_log_say(named: dict[str, dict[str, float]]) -> None:
    s1, s4 = named["s1"], named["s4"]
    assert (s1["listeners"], s4["listeners"]) == pytest.approx((np.log(2), np.log(3)))
    assert s4["recent"] == pytest.approx(np.log1p(1.75))
    assert s4["momentum"] == pytest.approx(np.log1p(1.75) - np.log1p(3 * 2 ** (-7 / 60) + 2 ** (-14 / 60)))
    assert (s1["age"], s4["age"]) == pytest.approx((np.log1p(100), np.log1p(3)))
    assert (s1["heard"], s4["heard"]) == (1, 0)
    assert s1["plays"] == pytest.approx(np.log1p(2))  # two events on it
    assert s1["history"] == s4["history"] == pytest.approx(np.log1p(2))
    assert (s1["cosine"], s4["cosine"]) == pytest.approx((1, 0.5), abs=1e-6)
    assert s1["affinity:PERFORMED_BY"] == pytest.approx(1.4 / 2.6)
    assert s4["affinity:HAS_GENRE"] == pytest.approx(-0.3 / 2.6)


def test_an_unknown_release_date_is_no_age(lopsided: World) -> None:
    features = Features(lopsided.release, ("one",))
    found = merge({"one": Candidates(np.array(lopsided.songs("s3")), np.ones(1))}, {"one": 1}, {})
    assert features.matrix(lopsided.query(None, at=NOW + DAY), found)[0, features.names.index("age")] == 0


def test_every_feature_is_finite_for_everybody(lopsided: World) -> None:
    features = Features(lopsided.release, ("one", "two"))
    for user in ("ana", "ben", "cy", "unknown", None):
        assert np.isfinite(features.matrix(lopsided.query(user, at=0), pool(lopsided))).all()
