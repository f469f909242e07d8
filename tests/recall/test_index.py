import numpy as np
import pytest

from recall.index import VectorIndex

UNIT = np.array([[1, 0], [0, 1], [0, 0], [0.6, 0.8], [-1, 0]], dtype=np.float32)


def test_finds_the_nearest_by_cosine_whatever_the_length_of_the_question() -> None:
    found = VectorIndex(UNIT).search(np.array([5.0, 0.0]), 2)
    assert found.songs.tolist() == [0, 3]
    assert found.scores == pytest.approx([1.0, 0.6])


def test_a_song_without_a_vector_is_never_found() -> None:
    assert 2 not in VectorIndex(UNIT).search(np.array([1.0, 1.0]), 10).songs


def test_only_allowed_songs_are_found() -> None:
    allowed = np.array([False, True, True, False, True])
    assert VectorIndex(UNIT).search(np.array([1.0, 0.0]), 10, allowed).songs.tolist() == [1, 4]


@pytest.mark.parametrize(("vector", "k"), [([0.0, 0.0], 3), ([1.0, 0.0], 0)])
def test_nothing_to_ask_gives_nothing(vector: list[float], k: int) -> None:
    assert len(VectorIndex(UNIT).search(np.array(vector), k)) == 0


def test_equal_songs_come_in_their_order_wherever_the_cut_falls() -> None:
    index = VectorIndex(np.tile(np.array([[0.0, 1.0]], dtype=np.float32), (50, 1)))
    for k in (1, 7, 49):
        assert index.search(np.array([0.0, 2.0]), k).songs.tolist() == list(range(k))


def test_an_empty_catalogue_is_answered() -> None:
    assert len(VectorIndex(np.empty((0, 2), dtype=np.float32)).search(np.ones(2), 3)) == 0
