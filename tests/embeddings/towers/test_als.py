from typing import Any

import numpy as np
import pytest
from scipy import sparse
from segue_test_worlds import NOW, events, lopsided_snapshot

from embeddings.towers.als import ALS, ALSConfig, Side
from embeddings.vectors.model_vectors import ModelVectors, liked_songs
from graph.errors import NothingToLearn
from graph.snapshot.snapshot import Snapshot


def fitted(snapshot: Snapshot, seed: int = 0, **config: Any) -> ModelVectors:
    return ALS.fit(snapshot, ALSConfig(**config), rng=np.random.default_rng(seed))


def crowds() -> Snapshot:
    """Twenty crowds of ten listeners with twenty songs of their own each, of which everybody likes ten."""
    rng = np.random.default_rng(1)
    log = [
        (f"u{crowd}-{i}", "full_play", f"s{crowd}-{s}", NOW)
        for crowd in range(20)
        for i in range(10)
        for s in rng.choice(20, 10, replace=False)
    ]
    return Snapshot.of_frames({}, {}, events(log))


@pytest.mark.parametrize("width", [2, 3, 8])  # more likes than numbers, as many, and fewer
def test_a_side_is_solved_exactly(width: int) -> None:
    rng = np.random.default_rng(width)
    likes = sparse.csr_array(np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]], dtype=np.float32))
    other = rng.standard_normal((5, width)).astype(np.float32)
    config = ALSConfig(unobserved=0.2, regularization=0.3, frequency=0.5)
    found = Side.of(likes, config).solved(other)
    for row, liked in enumerate(likes.toarray()):
        mine = other[liked > 0]
        ridge = 0.3 * (len(mine) + 0.2 * 5) ** 0.5
        system = 0.2 * other.T @ other + mine.T @ mine + ridge * np.eye(width)
        assert found[row] == pytest.approx(np.linalg.solve(system, mine.sum(axis=0)), abs=1e-4)


def test_a_row_without_likes_is_0() -> None:
    likes = sparse.csr_array(np.array([[1, 1, 0], [0, 0, 0]], dtype=np.float32))
    found = Side.of(likes, ALSConfig()).solved(np.ones((3, 2), dtype=np.float32))
    assert found[0].any()
    assert not found[1].any()


def test_frequency_holds_down_rows_with_many_likes() -> None:
    likes = sparse.csr_array(np.array([[1, 1, 1, 1], [1, 0, 0, 0]], dtype=np.float32))
    even, grown = (Side.of(likes, ALSConfig(unobserved=0.5, frequency=power)).ridge for power in (0.0, 1.0))
    assert even[0] == even[1]
    assert grown[0] / grown[1] == pytest.approx((4 + 2) / (1 + 2))


def test_sweeps_lower_the_loss() -> None:
    likes = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]], dtype=np.float32)
    config = ALSConfig(regularization=0.1)
    sides = Side.of(sparse.csr_array(likes), config), Side.of(sparse.csr_array(likes.T), config)
    songs, losses = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32), []
    for _ in range(4):
        people = sides[0].solved(songs)
        songs = sides[1].solved(people)
        scores = people @ songs.T
        fit = (likes * (scores - 1) ** 2).sum() + config.unobserved * (scores**2).sum()
        held = (sides[0].ridge[:, None] * people**2).sum() + (sides[1].ridge[:, None] * songs**2).sum()
        losses.append(float(fit + held))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_listeners_are_given_songs_of_their_own_crowd() -> None:
    snapshot = crowds()
    scores = fitted(snapshot, embedding_dim=32).scores(np.arange(snapshot.users))
    scores[liked_songs(snapshot).toarray() > 0] = -np.inf
    people, songs = (np.array([i.partition("-")[0][1:] for i in snapshot.ids[x].to_list()]) for x in ("User", "Song"))
    assert np.all(songs[np.argsort(-scores, axis=1)[:, :5]] == people[:, None])


def test_songs_whose_vectors_vanish_have_none() -> None:
    # beside the crowds somebody likes a song of his own: too little to hold against the regularization
    log = [(f"u{i}", "full_play", f"s{s}", NOW) for i in range(30) for s in range(20)] + [("alone", "play", "own", NOW)]
    found = fitted(Snapshot.of_frames({}, {}, events(log)), regularization=1.0, tuned=False, sweeps=22)
    lengths = np.linalg.norm(found.unit, axis=1)
    assert set(lengths.round(6)) == {0.0, 1.0}


def test_the_regularization_that_ranks_held_out_likes_best_is_kept() -> None:
    used = fitted(crowds(), regularization=20.0, embedding_dim=32).meta["config"]["regularization"]
    assert used < 20  # so heavy a weight leaves no vectors
    assert fitted(crowds(), regularization=20.0, tuned=False).meta["config"]["regularization"] == 20


def test_a_song_that_nobody_likes_has_no_vector() -> None:
    snapshot = lopsided_snapshot()
    found = fitted(snapshot)
    liked = np.bincount(snapshot.histories.song, minlength=snapshot.songs) > 0
    assert not found.unit[~liked].any()


def test_one_seed_gives_the_same_vectors() -> None:
    first, second, other = (fitted(crowds(), seed=seed, embedding_dim=8) for seed in (0, 0, 1))
    assert first.unit.tobytes() == second.unit.tobytes()
    assert first.unit.tobytes() != other.unit.tobytes()


def test_without_likes_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(NothingToLearn):
        fitted(Snapshot.of_frames({}, {}, events([("x", "skip", "a", NOW)])))


@pytest.mark.parametrize("wrong", [{"embedding_dim": 0}, {"unobserved": 0.0}, {"frequency": 1.5}, {"sweeps": 0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ALSConfig(**wrong)
