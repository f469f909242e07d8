from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segue_test_worlds import NOW, events, lopsided_snapshot

from embeddings.gnn.aggregation import Neighbours
from embeddings.gnn.graphsage import LIKES, GraphSAGE, GraphSAGEConfig, typed_graph
from embeddings.training.fit import FitConfig
from embeddings.training.interactions import Interactions
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import FitError, InvalidInput
from graph.snapshot.snapshot import Snapshot

SHORT = GraphSAGEConfig(embedding_dim=8, batch_size=32, training=FitConfig(epochs=12, learning_rate=0.02))


def trained(snapshot: Snapshot, seed: int = 0, **config: Any) -> GraphSAGE:
    model = GraphSAGE.build(snapshot, replace(SHORT, **config), rng=np.random.default_rng(seed))
    model.learn(rng=np.random.default_rng(seed), threads=1)
    return model


@pytest.fixture(scope="module")
def model(scenes: Snapshot) -> GraphSAGE:
    return trained(scenes)


def scene_of(snapshot: Snapshot, label: str) -> np.ndarray:
    return np.array([name[0] for name in snapshot.ids[label].to_list()])


def place(snapshot: Snapshot, label: str, name: str) -> int:
    return int(snapshot.ids[label].index(name))


def test_listeners_score_the_songs_of_their_scene_highest(scenes: Snapshot, model: GraphSAGE) -> None:
    listeners, songs = model.vectors()
    same = scene_of(scenes, "User")[:, None] == scene_of(scenes, "Song")
    scores = listeners @ songs.T
    assert (np.where(same, scores, np.inf).min(axis=1) > np.where(same, -np.inf, scores).max(axis=1)).all()


def test_a_song_nobody_played_lies_in_the_scene_it_is_described_by(scenes: Snapshot, model: GraphSAGE) -> None:
    _, songs = model.vectors()
    for scene in "ab":
        near = songs @ songs[place(scenes, "Song", f"{scene}-new")]
        mine = scene_of(scenes, "Song") == scene
        assert near[mine].min() > near[~mine].max()


def test_a_composed_song_is_what_the_network_makes_of_a_song_never_played(scenes: Snapshot, model: GraphSAGE) -> None:
    described = {"PERFORMED_BY": "artist-a", "HAS_GENRE": "genre-a", "HAS_TAG": "tag-a"}
    labels = {"PERFORMED_BY": "Artist", "HAS_GENRE": "Genre", "HAS_TAG": "Tag"}
    composed = model.compose({name: [place(scenes, labels[name], id_)] for name, id_ in described.items()})
    assert composed == pytest.approx(model.vectors()[1][place(scenes, "Song", "a-new")], abs=1e-6)


def test_vectors_have_length_1(model: GraphSAGE) -> None:
    for vectors in model.vectors():
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)


def test_one_seed_gives_the_same_vectors_and_another_does_not(scenes: Snapshot) -> None:
    config = replace(SHORT, training=FitConfig(epochs=2))
    a, b, c = (GraphSAGE.fit(scenes, config, rng=np.random.default_rng(seed), threads=1) for seed in (1, 1, 2))
    assert np.array_equal(a.songs, b.songs)
    assert not np.allclose(a.songs, c.songs)
    assert isinstance(a, ModelVectors)
    assert a.listeners.shape == (scenes.users, 8)


def test_an_interrupted_training_goes_on_to_the_same_vectors(scenes: Snapshot, tmp_path: Path) -> None:
    def fitted(epochs: int, checkpoint: Path | None) -> ModelVectors:
        config = replace(SHORT, training=FitConfig(epochs=epochs))
        return GraphSAGE.fit(scenes, config, rng=np.random.default_rng(1), checkpoint=checkpoint, threads=1)

    fitted(2, tmp_path / "state.pt")
    assert np.array_equal(fitted(4, tmp_path / "state.pt").songs, fitted(4, None).songs)


def test_every_relation_goes_both_ways_and_nothing_derived_is_in_the_graph() -> None:
    snapshot = lopsided_snapshot()
    graph = typed_graph(snapshot, Interactions.of(snapshot))
    assert ("Artist", "rev_PERFORMED_BY", "Song") in graph.edge_types
    assert graph["Entity", "rev_RELATED", "Song"].num_edges == 1
    names = {name for _, name, _ in graph.edge_types}
    assert not names & {"LISTENED", "BLOCKED", "LIKED", "COLLECTED", "SHARED"}
    assert torch.equal(
        graph["User", "FOLLOWS", "User"].edge_index, graph["User", "rev_FOLLOWS", "User"].edge_index.flip(0)
    )


def batch_of(model: GraphSAGE, fresh: bool) -> tuple[Any, dict[Any, Neighbours]]:
    batch = next(iter(model.batches(np.random.default_rng(0))))
    mask = torch.zeros(len(batch["Song"].n_id), dtype=torch.bool)
    mask[: batch["Song"].num_sampled_nodes[0]] = fresh
    return batch, model._around(batch, mask)


def test_the_pairs_of_a_batch_are_hidden_from_their_own_neighbourhoods(model: GraphSAGE) -> None:
    batch, around = batch_of(model, fresh=False)
    user, song = batch["User"], batch["Song"]
    asked = set(zip(user.n_id[user.src_index].tolist(), song.n_id[song.dst_pos_index].tolist(), strict=True))
    for kind, of, to in ((LIKES, user, song), (("Song", "rev_LIKES", "User"), song, user)):
        cols = torch.repeat_interleave(torch.arange(len(to.n_id)), around[kind].indptr.diff())
        pairs = zip(of.n_id[around[kind].indices].tolist(), to.n_id[cols].tolist(), strict=True)
        seen = {pair if kind == LIKES else pair[::-1] for pair in pairs}
        assert seen
        assert not seen & asked


def test_a_song_treated_as_new_has_no_listener_but_its_artist(model: GraphSAGE) -> None:
    batch, around = batch_of(model, fresh=True)
    seeds = batch["Song"].num_sampled_nodes[0]
    assert int(around[LIKES].indptr[seeds]) == 0
    assert around["Artist", "rev_PERFORMED_BY", "Song"].indptr.diff()[:seeds].tolist() == [1] * seeds


def test_sampled_vectors_are_those_of_all_neighbours_where_all_are_sampled(scenes: Snapshot) -> None:
    model = trained(scenes, fan_out=1000, unseen=0.0)
    batch = next(iter(model.batches(np.random.default_rng(0))))
    nothing = torch.zeros(len(batch["Song"].n_id), dtype=torch.bool)
    around = {
        kind: Neighbours.of(*batch[kind].edge_index, targets=len(batch[kind[2]].n_id)) for kind in batch.edge_types
    }
    with torch.no_grad():
        found = model.sampled(batch, nothing, around)
    listeners, songs = model.vectors()
    assert found["User"].numpy() == pytest.approx(listeners[batch["User"].n_id[: len(found["User"])]], abs=1e-5)
    assert found["Song"].numpy() == pytest.approx(songs[batch["Song"].n_id[: len(found["Song"])]], abs=1e-5)


def test_what_is_composed_changes_when_training_goes_on(scenes: Snapshot) -> None:
    model = trained(scenes, training=FitConfig(epochs=1))
    before = model.compose({"PERFORMED_BY": [0]})
    assert np.array_equal(model.compose({"PERFORMED_BY": [0]}), before)
    model.learn(rng=np.random.default_rng(3), threads=1)
    assert not np.allclose(model.compose({"PERFORMED_BY": [0]}), before)


def test_relations_and_positions_that_do_not_exist_are_refused(model: GraphSAGE) -> None:
    with pytest.raises(InvalidInput, match=r"unknown relation 'MOOD' \(known: HAS_GENRE, HAS_TAG, PERFORMED_BY\)"):
        model.compose({"MOOD": [0]})
    with pytest.raises(InvalidInput, match=r"PERFORMED_BY: positions must be from 0 to 1 \(got 2\)"):
        model.compose({"PERFORMED_BY": [2]})


@pytest.mark.parametrize(("name", "value"), [("fan_out", 0), ("unseen", 1.0), ("temperature", 0.0), ("layers", 0)])
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .* \\(got {value}\\)"):
        replace(SHORT, **{name: value})


def test_a_world_without_a_like_has_nothing_to_learn_from() -> None:
    skipped = lopsided_snapshot(log=events([("ana", "skip", "s1", NOW)]))
    with pytest.raises(FitError, match="nothing to learn from"):
        GraphSAGE.build(skipped, SHORT, rng=np.random.default_rng(0))
