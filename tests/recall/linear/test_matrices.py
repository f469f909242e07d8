import numpy as np
import pytest
from scipy import sparse
from segue_test_worlds import World, planted_snapshot

from graph.errors import FitError
from recall.item_lists.neighbours import Neighbours
from recall.linear.matrices import (
    answer,
    attributes,
    best_of_rows,
    degree_normalised,
    interaction_matrix,
    interaction_row,
    nearest,
    stacked,
)

# 2 listeners, 3 songs: s0 {0, 1}, s1 {1}, s2 nobody
HEARD = sparse.csr_array(np.array([[1, 0, 0], [1, 1, 0]], dtype=np.float32))


def test_every_liked_song_counts_1(lopsided: World) -> None:
    # ana skipped s2, cy blocked s3
    assert interaction_matrix(lopsided.snapshot).toarray().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 1, 0, 1, 0],
    ]


def test_by_strength_over_the_mean(lopsided: World) -> None:
    # cy: s2 today 1, s4 two weeks ago 2^(-14/21), what a half-life of 21 days leaves
    row = interaction_matrix(lopsided.snapshot, 1.0).toarray()[2]
    s4 = 2 ** (-14 / 21)
    assert row[[1, 3]] == pytest.approx(np.array([1, s4]) / ((1 + s4) / 2))


def test_a_listeners_own_row_is_the_one_that_was_learned(lopsided: World) -> None:
    for name in ("ana", "ben", "cy"):
        listener = lopsided.listener(name)
        songs, weights = interaction_row(listener, lopsided.snapshot.as_of, 10, 0.7)
        row = interaction_matrix(lopsided.snapshot, 0.7).toarray()[listener.user]
        assert sorted(songs.tolist()) == np.flatnonzero(row).tolist()
        assert weights == pytest.approx(row[songs], abs=1e-6)


def test_damping_keeps_the_mean_weight() -> None:
    matrix, scale = degree_normalised(HEARD, 1.0)
    # 1/2, 1/2 and 1 have the mean 2/3: times 3/2
    assert matrix.toarray() == pytest.approx(np.array([[0.75, 0, 0], [0.75, 1.5, 0]]))
    assert scale[:2] == pytest.approx([0.75, 1.5])


def test_an_attribute_of_one_song_is_left_out(lopsided: World) -> None:
    # calm: s1 alone with it (length 1), s5 with loud too; first, the album of s1 and s2
    calm, loud = np.log(2), np.log(4)
    (tags,) = attributes(lopsided.snapshot, {"HAS_TAG": 4.0, "ON_ALBUM": 0.0})
    length = np.hypot(calm, loud)
    rows = {"calm": [2, 0, 0, 0, 2 * calm / length], "loud": [0, 0, 0, 2, 2 * loud / length]}
    names = lopsided.snapshot.ids["Tag"].to_list()
    assert tags.toarray() == pytest.approx(np.array([rows[name] for name in names]), abs=1e-6)
    assert attributes(lopsided.snapshot, {"COVER_OF": 1.0}) == []


def test_a_gamma_of_0_adds_no_row(lopsided: World) -> None:
    likes = interaction_matrix(lopsided.snapshot)
    assert (stacked(lopsided.snapshot, likes, {"HAS_TAG": 0.0, "FOLLOWS": 0.0}) != likes).nnz == 0


def test_followees_rows_are_as_long_as_the_mean_row(lopsided: World) -> None:
    likes = interaction_matrix(lopsided.snapshot)
    below = stacked(lopsided.snapshot, likes, {"FOLLOWS": 0.25}).toarray()[3:]
    # mean square of a row 5 / 3; ana follows ben {s3, s4} and cy {s2, s4}; cy follows ana {s1}
    length = np.sqrt(0.25 * 5 / 3)
    ana = np.array([0, 1, 1, 2, 0]) / 6**0.5
    assert below == pytest.approx(length * np.array([ana, np.zeros(5), [1, 0, 0, 0, 0]]), abs=1e-6)


def test_follows_alone_change_nothing_where_nobody_follows() -> None:
    snapshot = planted_snapshot()
    snapshot._relations = {k: r for k, r in snapshot._relations.items() if r.name != "FOLLOWS"}
    assert stacked(snapshot, interaction_matrix(snapshot), {"FOLLOWS": 1.0}).shape[0] == snapshot.users


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_nearest_keeps_the_highest_in_order(kind: type) -> None:
    weights = np.array([[9, 0.5, 0.5, 2], [0, 9, -1, 0], [3, 1, 9, 2], [0, 0, 0, 0]])
    near = nearest(4, 2, lambda rows: kind(weights[rows]))
    assert near.songs.tolist() == [[3, 1], [-1, -1], [0, 3], [-1, -1]]
    assert near.weights.tolist() == [[2, 0.5], [0, 0], [3, 2], [0, 0]]


def test_signed_weights_are_kept_by_their_size() -> None:
    near = nearest(3, 1, lambda rows: np.array([[9, 1, -2], [0, 9, 0], [1, 3, 9]])[rows], signed=True)
    assert near.songs.tolist() == [[2], [-1], [1]]
    assert near.weights.tolist() == [[-2], [0], [3]]


def test_lists_may_be_wider_than_tall() -> None:
    songs, weights = best_of_rows(1, 3, 5, lambda rows: np.array([[1.0, 0.0, 2.0]]))
    assert songs.tolist() == [[2, 0, -1]]
    assert weights.tolist() == [[2, 1, 0]]


def test_weights_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(FitError, match="not finite"):
        nearest(1, 1, lambda rows: np.array([[np.nan]]))


def test_an_answer_is_the_sum_over_the_listeners_songs(lopsided: World) -> None:
    near = Neighbours(np.array([[1, 2], [2, -1], [0, 1], [1, -1], [-1, -1]]), np.array([[3, 1], [2, 0]] + [[1, 1]] * 3))
    query = lopsided.query("ana", exclude=["s1"])
    found = answer(near, query, np.array([0, 1]), np.array([1.0, 0.5]), 5)
    assert dict(zip(lopsided.ids(found.songs), found.scores.tolist(), strict=True)) == {"s2": 3, "s3": 2}
