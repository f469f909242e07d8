"""EASE against the formula of the paper in plain numpy, and the sparse form against the exact one."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from graph.errors import FitError
from recall.linear.ease import LONGEST, _strongest, exact, sparse_form


def paper(rows: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Algorithm 1 of Steck 2019."""
    inverse = np.linalg.inv(rows.T @ rows + ridge * np.eye(rows.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def one_by_one(rows: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """A ridge regression of each song on all others, of which EASE is the closed form."""
    weights = np.zeros((rows.shape[1],) * 2)
    for song in range(rows.shape[1]):
        others = np.delete(np.arange(rows.shape[1]), song)
        x = rows[:, others]
        weights[others, song] = np.linalg.solve(x.T @ x + ridge * np.eye(len(others)), x.T @ rows[:, song])
    return weights


def drawn(rows: int, songs: int) -> sparse.csr_array:
    rng = np.random.default_rng(3)
    return sparse.csr_array((rng.random((rows, songs)) < 0.3) * rng.random((rows, songs)), dtype=np.float32)


def test_two_songs_by_hand() -> None:
    # both {u}, the second {v} too: the first on the second is 1 / (2 + 1), the second on the first 1 / (1 + 1)
    weights = exact(sparse.csr_array(np.array([[1, 1], [0, 1], [0, 0]], dtype=np.float32)), 1.0)(slice(0, 2))
    assert weights == pytest.approx(np.array([[0, 1 / 2], [1 / 3, 0]]))


@pytest.mark.parametrize(("rows", "songs"), [(40, 9), (9, 40), (20, 700), (700, 600)], ids=str)
def test_both_sides_give_the_formula_of_the_paper(rows: int, songs: int) -> None:
    matrix = drawn(rows, songs)
    found = exact(matrix, 2.0)
    halves = [found(slice(0, 5)), found(slice(5, songs))]
    assert np.concatenate(halves) == pytest.approx(paper(matrix.toarray(), 2.0), abs=2e-5)


def test_the_formula_is_a_regression_of_each_song_on_the_others() -> None:
    matrix = drawn(30, 8).toarray()
    assert paper(matrix, 2.0) == pytest.approx(one_by_one(matrix, 2.0), abs=1e-6)


def test_the_sparse_form_is_the_exact_one_where_every_song_sees_all_others() -> None:
    matrix = drawn(50, 12)
    assert (matrix.T @ matrix).toarray().all()  # all are alike to all
    found = sparse_form(matrix, 2.0, 11).toarray()
    assert found == pytest.approx(exact(matrix, 2.0)(slice(0, 12)), abs=1e-5)


def test_a_song_sees_the_most_alike_alone() -> None:
    matrix = drawn(50, 12)
    rows = matrix.toarray().astype(np.float64)
    gram, lengths = rows.T @ rows, np.sqrt((rows**2).sum(axis=0))
    likeness = gram / lengths / lengths[:, None] - 9 * np.eye(12)
    found = sparse_form(matrix, 2.0, 1).toarray()
    for song in range(12):
        best = int(likeness[song].argmax())
        assert np.flatnonzero(found[:, song]).tolist() == [best]
        assert found[best, song] == pytest.approx(gram[best, song] / (gram[best, best] + 2.0), rel=1e-5)


def test_songs_without_a_common_listener_say_nothing_of_each_other() -> None:
    matrix = sparse.csr_array(np.eye(4, dtype=np.float32))
    assert exact(matrix, 1.0)(slice(0, 4)) == pytest.approx(np.zeros((4, 4)))
    assert sparse_form(matrix, 1.0, 3).nnz == 0


def test_the_longest_rows_are_read_in_part() -> None:
    matrix = sparse.csr_array(np.array([[3, 1, 2, 0], [0, 0, 0, 5]], dtype=np.float32))
    assert _strongest(matrix, 2).toarray().tolist() == [[3, 0, 2, 0], [0, 0, 0, 5]]
    assert _strongest(matrix, LONGEST) is matrix


def test_what_cannot_be_inverted_is_an_error() -> None:
    with pytest.raises(FitError, match="not positive definite with a ridge of -5"):
        exact(drawn(9, 4), -5.0)
