from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from segue_test_worlds import World

from graph.errors import CorruptRelease
from graph.release import Release
from recall.item_lists.by_cells import nearest_by_cells
from recall.item_lists.neighbours import Neighbours
from recall.linear.cosine import nearest_by_listeners

# 3 listeners, 5 songs: s0 {0}, s1 {0, 2}, s2 {1}, s3 {1, 2}, s4 nobody
HEARD = sparse.csr_array(np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 0, 1, 0]], dtype=np.float32))


def test_common_listeners_by_cosine() -> None:
    near = nearest_by_listeners(HEARD, 2, shrink=0.0)
    assert near.songs.tolist() == [[1, -1], [0, 3], [3, -1], [2, 1], [-1, -1]]
    assert near.weights[1] == pytest.approx([1 / 2**0.5, 0.5])


def test_shrinking_pulls_rare_pairs_down() -> None:
    near = nearest_by_listeners(HEARD, 2, shrink=1.0)
    assert near.weights[1] == pytest.approx([1 / (2**0.5 + 1), 1 / 3])


def test_of_vectors_by_cosine_without_the_song_itself() -> None:
    near = Neighbours.of_vectors(np.array([[1, 0], [0.6, 0.8], [0, 0], [-1, 0]], dtype=np.float32), 3)
    assert near.songs.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert near.weights[0] == pytest.approx([0.6, 0, 0])


def test_equal_neighbours_come_in_their_order_wherever_the_cut_falls() -> None:
    near = Neighbours.of_vectors(np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (600, 1)), 3)
    assert near.songs[0].tolist() == [1, 2, 3]
    assert near.songs[599].tolist() == [0, 1, 2]


def test_cells_find_what_looking_at_everything_finds() -> None:
    rng = np.random.default_rng(1)
    raw = rng.standard_normal((20, 8))[rng.integers(0, 20, 900)] + 0.3 * rng.standard_normal((900, 8))
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    unit[[5, 40]] = 0
    whole = Neighbours.of_vectors(unit, 10)
    songs, weights = nearest_by_cells(unit, 10, cells=20)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(whole.songs, songs, strict=True)]) > 0.99
    assert weights[whole.songs == songs] == pytest.approx(whole.weights[whole.songs == songs], abs=1e-5)
    assert (songs[5] == -1).all()
    assert not np.isin(songs, [5, 40]).any()
    assert not (songs == np.arange(900)[:, None]).any()
    assert (np.diff(weights, axis=1) <= 0).all()


def test_a_large_catalogue_is_searched_by_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recall.item_lists.neighbours.WHOLE", 2)
    near = Neighbours.of_vectors(np.array([[1, 0], [0.6, 0.8], [0, 0], [-1, 0]], dtype=np.float32), 3)
    assert near.songs.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert near.weights[0] == pytest.approx([0.6, 0, 0])


def test_recall_adds_up_what_the_seeds_say(lopsided: World) -> None:
    near = nearest_by_listeners(HEARD, 2, shrink=0.0)
    found = near.recall(lopsided.query(None, exclude=["s1"]), np.array([0, 3]), np.array([2.0, 1.0]), 5)
    # position 1 is s2: 2 x 0.7071 of s1 and 1 x 0.5 of s4; s1 itself is left out
    assert dict(zip(lopsided.ids(found.songs), found.scores.tolist(), strict=True)) == pytest.approx(
        {"s2": 2 / 2**0.5 + 0.5, "s3": 1 / 2**0.5}
    )


def test_survives_being_saved(lopsided: World, tmp_path: Path) -> None:
    lopsided.snapshot.write(tmp_path / "snapshot")
    near = nearest_by_listeners(HEARD, 2, shrink=0.0)
    near.save(tmp_path / "recall" / "x" / "neighbours")
    loaded = Neighbours.load(Release.open(tmp_path), "recall/x/neighbours")
    assert loaded.songs.tolist() == near.songs.tolist()
    assert loaded.weights.tolist() == near.weights.tolist()
    with pytest.raises(CorruptRelease, match="recall/y/neighbours"):
        Neighbours.load(Release.open(tmp_path), "recall/y/neighbours")


def test_a_song_is_proposed_because_of_the_seed_that_adds_most() -> None:
    # s0 is near s1 and s2; s3 near s1 alone, more
    near = Neighbours(
        np.array([[1, 2], [0, 3], [0, -1], [1, -1]]), np.array([[0.5, 0.4], [0.5, 0.2], [0.4, 0], [0.9, 0]])
    )
    because = near.because(np.array([0, 3]), np.array([1.0, 0.5]), np.array([1, 2, 3]))
    assert because.tolist() == [0, 0, -1]  # s1: 0.5 x 1 against 0.9 x 0.5
    assert near.because(np.array([0, 3]), np.array([1.0, 0.6]), np.array([1])).tolist() == [3]
    assert near.because(np.array([], dtype=np.int64), np.array([]), np.array([1, 2])).tolist() == [-1, -1]
