from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import chisquare
from segue_test_worlds import lopsided_snapshot

from embeddings.gnn.pinsage import PinSage, PinSageConfig, _Pairs
from embeddings.training.fit import FitConfig
from embeddings.training.interactions import Interactions
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import InvalidInput
from graph.snapshot.snapshot import Snapshot

SHORT = PinSageConfig(
    embedding_dim=8, batch_size=32, random=16, neighbours=4, training=FitConfig(epochs=15, learning_rate=0.01)
)


def trained(snapshot: Snapshot, seed: int = 0, **config: Any) -> PinSage:
    model = PinSage.build(snapshot, replace(SHORT, **config), rng=np.random.default_rng(seed))
    model.learn(rng=np.random.default_rng(seed), threads=1)
    return model


@pytest.fixture(scope="module")
def model(scenes: Snapshot) -> PinSage:
    return trained(scenes)


def scene_of(snapshot: Snapshot, label: str) -> np.ndarray:
    return np.array([name[0] for name in snapshot.ids[label].to_list()])


def test_songs_of_one_scene_lie_together_and_so_do_those_nobody_played(scenes: Snapshot, model: PinSage) -> None:
    _, songs = model.vectors()
    same = scene_of(scenes, "Song")[:, None] == scene_of(scenes, "Song")
    near = songs @ songs.T
    assert (np.where(same, near, np.inf).min(axis=1) > np.where(same, -np.inf, near).max(axis=1)).all()


def test_a_listener_is_the_mean_of_the_songs_liked(scenes: Snapshot, model: PinSage) -> None:
    listeners, songs = model.vectors()
    liked = songs[Interactions.of(scenes).indices[:5]].sum(axis=0)  # those of the first listener
    assert listeners[0] == pytest.approx(liked / np.linalg.norm(liked), abs=1e-5)
    assert np.linalg.norm(songs, axis=1) == pytest.approx(np.ones(scenes.songs), abs=1e-5)


def test_a_composed_song_lies_in_the_scene_of_its_artist(scenes: Snapshot, model: PinSage) -> None:
    _, songs = model.vectors()
    composed = model.compose({"PERFORMED_BY": [1], "HAS_GENRE": [1], "HAS_TAG": [1]})
    mine = scene_of(scenes, "Song") == "b"
    assert (songs[mine] @ composed).min() > (songs[~mine] @ composed).max()


def test_importance_is_the_chance_that_a_short_walk_visits_the_song() -> None:
    snapshot = lopsided_snapshot()
    config = replace(SHORT, walks=2_000, length=3, neighbours=4)
    model = PinSage.build(snapshot, config, rng=np.random.default_rng(0))
    # songs x what joins them: who likes what, the playlist, then artist, genre, tag, album, language, entity
    likes, described = Interactions.of(snapshot).matrix().T, model.described.values()
    joins = [likes, snapshot.relation("CONTAINS", "Playlist").matrix().T, *described]
    joined = (sparse.hstack(joins).toarray() > 0).astype(float)
    there, back = joined / joined.sum(axis=1, keepdims=True), joined.T / joined.sum(axis=0)[:, None]
    chances = there @ back
    row, col = model.graph.edge_index.numpy()
    for song in range(snapshot.songs):
        mine = row[col == song]
        assert set(mine) == set(np.flatnonzero(chances[song])) - {song}
        visits, expected = model.graph.importance.numpy()[col == song], chances[song, mine]
        assert chisquare(visits, expected / expected.sum() * visits.sum()).pvalue > 1e-4


def test_neighbours_are_the_most_visited_and_hard_ones_come_after_them(scenes: Snapshot) -> None:
    model = PinSage.build(scenes, replace(SHORT, neighbours=3), rng=np.random.default_rng(0))
    indptr, further = model._further
    for song in range(scenes.songs):
        near = model.graph.edge_index[0][model.graph.edge_index[1] == song].tolist()
        assert len(near) == 3
        assert not set(near) & set(further[indptr[song] : indptr[song + 1]].tolist())


def test_pairs_are_two_songs_of_one_listener(scenes: Snapshot, model: PinSage) -> None:
    liked = Interactions.of(scenes).matrix().toarray() > 0
    pairs = [
        pair for query, song, _, _ in model._groups(np.random.default_rng(0)) for pair in zip(query, song, strict=True)
    ]
    assert len(pairs) > 50
    for query, song in pairs:
        assert query != song
        assert (liked[:, query] & liked[:, song]).any()


def test_the_loss_by_hand(scenes: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own score .6 against .5 of a random song and .8 of a hard one, each times 2; the query itself is left out."""
    model = PinSage.build(scenes, replace(SHORT, temperature=0.5), rng=np.random.default_rng(0))
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.5, 0.0], [0.8, 0.6]])
    monkeypatch.setattr(model, "_convolved", lambda *_: [vectors])
    nodes = next(iter(model.batches(np.random.default_rng(0)))).nodes
    pairs = _Pairs(nodes, torch.tensor([0]), torch.tensor([1]), torch.tensor([2, 0]), torch.tensor([[3]]))
    expected = np.log(np.exp([1.2, 1.0, 1.6]).sum()) - 1.2
    assert float(model.loss(pairs)) == pytest.approx(expected, abs=1e-6)


def test_one_seed_gives_the_same_vectors_and_another_does_not(scenes: Snapshot) -> None:
    config = replace(SHORT, training=FitConfig(epochs=2))
    a, b, c = (PinSage.fit(scenes, config, rng=np.random.default_rng(seed), threads=1) for seed in (1, 1, 2))
    assert np.array_equal(a.songs, b.songs)
    assert not np.allclose(a.songs, c.songs)
    assert isinstance(a, ModelVectors)
    assert a.listeners.shape == (scenes.users, 8)


def test_an_interrupted_training_goes_on_to_the_same_vectors(scenes: Snapshot, tmp_path: Path) -> None:
    def fitted(epochs: int, checkpoint: Path | None) -> ModelVectors:
        config = replace(SHORT, training=FitConfig(epochs=epochs))
        return PinSage.fit(scenes, config, rng=np.random.default_rng(1), checkpoint=checkpoint, threads=1)

    fitted(2, tmp_path / "state.pt")
    assert np.array_equal(fitted(4, tmp_path / "state.pt").songs, fitted(4, None).songs)


def test_what_is_composed_changes_when_training_goes_on(scenes: Snapshot) -> None:
    model = trained(scenes, training=FitConfig(epochs=1))
    before = model.compose({"PERFORMED_BY": [0]})
    assert np.array_equal(model.compose({"PERFORMED_BY": [0]}), before)
    model.learn(rng=np.random.default_rng(3), threads=1)
    assert not np.allclose(model.compose({"PERFORMED_BY": [0]}), before)


def test_relations_and_positions_that_do_not_exist_are_refused(model: PinSage) -> None:
    with pytest.raises(InvalidInput, match=r"unknown relation 'MOOD' \(known: HAS_GENRE, HAS_TAG, PERFORMED_BY\)"):
        model.compose({"MOOD": [0]})
    with pytest.raises(InvalidInput, match=r"PERFORMED_BY: positions must be from 0 to 1 \(got -1\)"):
        model.compose({"PERFORMED_BY": [-1]})


def test_a_song_composed_of_nothing_still_has_a_vector(model: PinSage) -> None:
    assert np.isfinite(model.compose({})).all()


@pytest.mark.parametrize(
    ("name", "value"), [("length", 2), ("hard", -1), ("unseen", 1.0), ("temperature", 0.0), ("walks", 0)]
)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .* \\(got {value}\\)"):
        replace(SHORT, **{name: value})
