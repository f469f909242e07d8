from typing import Any

import numpy as np
import pytest
from scipy import sparse
from segue_test_worlds import NOW, edges, events, lopsided_snapshot

from embeddings.gnn import relation_gamma_gcn
from embeddings.gnn.relation_gamma_gcn import RelationGammaGCN, RelationGammaGCNConfig, spectrum
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import FitError
from graph.snapshot.snapshot import Snapshot


def fitted(snapshot: Snapshot, seed: int = 0, **config: Any) -> ModelVectors:
    return RelationGammaGCN.fit(snapshot, RelationGammaGCNConfig(**config), rng=np.random.default_rng(seed))


def scores(vectors: ModelVectors) -> np.ndarray:
    return vectors.listeners @ vectors.songs.T


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)[:, None]


def small() -> Snapshot:
    """Three listeners, three songs, x follows y; a and b are quiet. Everything was fully played once, a twice by x."""
    log = [("x", "full_play", "a"), ("x", "full_play", "a"), ("x", "full_play", "b"), ("y", "full_play", "b")]
    log.append(("z", "full_play", "c"))
    described = {
        ("FOLLOWS", "User", "User"): [("x", "y")],
        ("HAS_TAG", "Song", "Tag"): [("a", "quiet", 1.0), ("b", "quiet", 1.0), ("c", "loud", 1.0)],
    }
    return Snapshot.of_frames({}, edges(described), events([(*row, NOW) for row in log]))


def test_it_is_the_ridge_on_the_likeness_that_the_paths_add_up_to() -> None:
    gamma = {"LISTENED": 1.0, "FOLLOWS": 0.5, "HAS_TAG": 2.0}
    found = scores(fitted(small(), gamma=gamma, beta=0.0, decay=0.7, by_strength=1.0, smooth=0.0, tilt=0.0))
    strength = np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 1]])  # of a, b, c by x, y, z
    follows = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])  # with its loop
    tags = np.array([[1.0, 0], [1, 0], [0, 1]])  # all that x and y hear is quiet
    heard_by_followees = np.array([[0.0, 1, 0], [0, 0, 0], [0, 0, 0]])
    messages = ((1.0, strength), (0.5, follows), (1.0 * 2.0, tags), (0.5 * 1.0, heard_by_followees))
    likeness = sum(g**2 * unit(m) @ unit(m).T for g, m in messages)
    likeness /= np.trace(likeness) / 3
    likes = strength / np.array([[1.5], [1], [1]])  # over the mean strength of what each likes
    assert found == pytest.approx(likeness @ np.linalg.solve(likeness + 0.7 * np.eye(3), likes), abs=1e-5)


def test_beta_counts_neighbours_of_high_degree_less() -> None:
    # y hears b alone; x hears a (one listener) and b (two), with a strength of 2 and 1, b damped by 2^-1
    found = fitted(small(), gamma={"LISTENED": 1.0}, beta=1.0, embedding_dim=3)
    x, y, _ = unit(found.listeners)
    assert x @ y == pytest.approx(0.5 / np.hypot(2, 0.5), abs=1e-5)


def test_a_relation_with_a_gamma_of_0_is_as_if_it_were_not_there() -> None:
    without = Snapshot.of_frames({}, {}, events([("x", "full_play", "a", NOW), ("y", "full_play", "b", NOW)]))
    told = edges({("FOLLOWS", "User", "User"): [("x", "y")]})
    with_it = Snapshot.of_frames({}, told, events([("x", "full_play", "a", NOW), ("y", "full_play", "b", NOW)]))
    expected = scores(fitted(without, gamma={"LISTENED": 1.0}))
    assert scores(fitted(with_it, gamma={"LISTENED": 1.0, "FOLLOWS": 0.0})) == pytest.approx(expected, abs=1e-6)
    assert scores(fitted(with_it, gamma={"LISTENED": 1.0, "FOLLOWS": 1.0}))[0, 1] > expected[0, 1] + 0.01


def test_listeners_are_given_songs_of_their_own_scene(scenes: Snapshot) -> None:
    found = scores(fitted(scenes, embedding_dim=16))
    people, songs = (np.array([i[0] == "a" for i in ids.to_list()]) for ids in (scenes.ids["User"], scenes.ids["Song"]))
    heard = np.bincount(scenes.histories.song, minlength=scenes.songs) > 0
    for listener, in_a in enumerate(people):
        mine, other = found[listener, heard & (songs == in_a)], found[listener, heard & (songs != in_a)]
        assert mine.min() > other.max()


def test_everything_of_a_listener_counts_that_is_no_song() -> None:
    gamma = dict.fromkeys(("LISTENED", "FOLLOWS_ARTIST", "LIVES_IN", "PERFORMED_BY", "LANGUAGE"), 1.0)
    assert np.isfinite(scores(fitted(lopsided_snapshot(), gamma={**gamma, "RELATED:film.music": 0.5}))).all()


def test_one_seed_gives_the_same_vectors(scenes: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relation_gamma_gcn, "_DENSE", 0)  # the way that draws
    first, second = fitted(scenes, embedding_dim=8), fitted(scenes, embedding_dim=8)
    assert first.listeners.tobytes() == second.listeners.tobytes()


def test_the_spectrum_of_many_rows_is_that_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    matrix = sparse.random_array((300, 200), density=0.05, rng=rng, format="csr", dtype=np.float32)
    _, exact = spectrum(matrix, 12, rng=rng)
    monkeypatch.setattr(relation_gamma_gcn, "_DENSE", 0)
    vectors, values = spectrum(matrix, 12, rng=rng)
    assert values == pytest.approx(exact, rel=0.01)
    assert exact == pytest.approx(np.linalg.svd(matrix.toarray(), compute_uv=False)[:12] ** 2, rel=1e-4)
    assert vectors.T @ vectors == pytest.approx(np.eye(12), abs=1e-4)


def test_gammas_are_learned_from_pairs_held_out() -> None:
    # twenty crowds follow and hear their own; which artist a song has says nothing
    rng = np.random.default_rng(1)
    people = [(crowd, f"u{crowd}-{i}") for crowd in range(20) for i in range(30)]
    log = [(u, "full_play", f"s{c}-{s}", NOW) for c, u in people for s in rng.choice(20, 3, replace=False)]
    follows = [(u, f"u{c}-{i}") for c, u in people for i in rng.choice(30, 3, replace=False)]
    artists = [(f"s{c}-{s}", f"artist{rng.integers(10)}") for c in range(20) for s in range(20)]
    told = edges({("FOLLOWS", "User", "User"): follows, ("PERFORMED_BY", "Song", "Artist"): artists})
    start = {"LISTENED": 1.0, "FOLLOWS": 0.3, "PERFORMED_BY": 0.3}
    found = fitted(Snapshot.of_frames({}, told, events(log)), gamma=start, embedding_dim=32, rounds=2)
    assert found.meta["config"]["gamma"]["PERFORMED_BY"] == 0
    assert found.meta["config"]["gamma"]["FOLLOWS"] > 0.3


def test_an_unknown_relation_is_named() -> None:
    with pytest.raises(ValueError, match=r"gamma of HAS_MOOD: no such relation \(known: FOLLOWS, HAS_TAG, LISTENED\)"):
        fitted(small(), gamma={"LISTENED": 1.0, "HAS_MOOD": 1.0})


def test_with_every_gamma_at_0_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(FitError, match="every gamma is 0"):
        fitted(small(), gamma={"LISTENED": 0.0})


@pytest.mark.parametrize("wrong", [{"decay": 0.0}, {"by_strength": 1.5}, {"rounds": -1}, {"gamma": {"FOLLOWS": -1.0}}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RelationGammaGCNConfig(**wrong)
