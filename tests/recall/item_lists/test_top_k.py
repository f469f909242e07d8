"""The highest weights of each row, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recall.item_lists.top_k import top_k_of_rows

ROWS = np.array([[0.5, 0.2, 0.5, -0.9], [0.0, 0.0, -0.1, 0.3]], dtype=np.float32)


def test_equal_weights_come_in_the_order_of_the_columns() -> None:
    songs, weights = top_k_of_rows(ROWS, 2)
    assert songs.tolist() == [[0, 2], [3, -1]]
    assert weights == pytest.approx(np.array([[0.5, 0.5], [0.3, 0.0]]))


def test_signed_weights_count_by_their_distance_from_0() -> None:
    songs, weights = top_k_of_rows(ROWS, 2, signed=True)
    assert songs.tolist() == [[3, 0], [3, 2]]
    assert weights == pytest.approx(np.array([[-0.9, 0.5], [0.3, -0.1]]))


def test_a_row_leaves_out_its_own_column() -> None:
    assert top_k_of_rows(ROWS, 2, np.array([0, 3]))[0].tolist() == [[2, 1], [-1, -1]]


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_many_rows_are_as_each_alone(rows: int) -> None:
    block = np.random.default_rng(0).random((rows, 7)).round(1).astype(np.float32)
    songs, _ = top_k_of_rows(block, 3)
    assert songs.tolist() == [np.lexsort((np.arange(7), -row))[:3].tolist() for row in block]
