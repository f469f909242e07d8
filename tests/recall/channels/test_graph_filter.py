from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from segue_test_worlds import World, built

from recall.channels.graph_filter import GraphFilter, leading, low_pass

DRAWN = sparse.csr_array((np.random.default_rng(4).random((90, 80)) < 0.2) * 1.0, dtype=np.float32)


@pytest.mark.parametrize("matrix", [DRAWN, DRAWN[:12]], ids=["iterated", "whole"])
def test_the_low_pass_keeps_the_leading_directions(matrix: sparse.csr_array) -> None:
    _, _, right = np.linalg.svd(matrix.toarray())
    found = leading(matrix, 5, np.random.default_rng(0))
    assert found @ found.T == pytest.approx(right[:5].T @ right[:5], abs=1e-3)


def test_pairs_get_what_the_whole_filter_gives_them() -> None:
    whole, pairs = (low_pass(DRAWN, 5, 0.3, dense=d, rng=np.random.default_rng(0))(slice(3, 30)) for d in (True, False))
    common = (DRAWN.T @ DRAWN).toarray()[3:30] > 0
    assert pairs.toarray() == pytest.approx(np.where(common, whole, 0), abs=1e-4)


def test_by_hand(lopsided: World, tmp_path: Path) -> None:
    # R is of degree 1 on both sides: R_ben = (s3 1/sqrt 2, s4 1/2), R_cy = (s2 1/sqrt 2, s4 1/2). From s4 to s2 the
    # plain filter passes 1/2 x 1/sqrt 2 and the projection on both rows as much; from s3 to s2 the projection passes
    # -1/4, which is left out. With beta 1/2 what comes from s4, which two know, is divided by sqrt 2.
    options = {"rank": 8, "direct": 1.0, "beta": 0.5, "tilt": 0.0}
    release = built(tmp_path, lopsided.snapshot, lopsided.vectors, ["graph_filter"], {"graph_filter": options})
    answer = World(release, lopsided.vectors).answer(GraphFilter(release), "ben", heard=True)
    assert answer == pytest.approx({"s2": 0.25 + 0.25}, abs=1e-5)
