"""What every graph network must do, and one answer of LightGCN++ worked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segue_test_worlds import events, lopsided_snapshot
from torch_geometric.nn import LightGCN as PygLightGCN

from embeddings.gnn.lightgcn import LightGCN, LightGCNConfig
from embeddings.gnn.lightgcnpp import LightGCNpp, LightGCNppConfig
from embeddings.gnn.model import GraphModel, contrast
from embeddings.gnn.simgcl import SimGCL, SimGCLConfig
from embeddings.gnn.xsimgcl import XSimGCL, XSimGCLConfig
from embeddings.training.fit import FitConfig
from embeddings.training.interactions import Interactions
from embeddings.training.losses import bpr_rows, info_nce, l2_rows
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import CorruptRelease, FitError, InvalidInput, SettingsError
from graph.release import Release
from graph.snapshot.snapshot import Snapshot

MODELS = {
    LightGCN: LightGCNConfig,
    LightGCNpp: LightGCNppConfig,
    SimGCL: SimGCLConfig,
    XSimGCL: XSimGCLConfig,
}
SHORT = FitConfig(epochs=40, learning_rate=0.02, checkpoint_every=3)
SCENES, PEOPLE, SONGS = 4, 10, 12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On graphs as small as these a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scenes() -> Snapshot:
    """4 scenes of 10 listeners and 12 songs; everybody knows 8 songs of their scene, which are the same for no two."""
    rng = np.random.default_rng(7)
    return Snapshot.of_frames(
        {},
        {},
        events(
            (f"u{scene}{person}", "full_play", f"s{scene}{song:02}", None)
            for scene in range(SCENES)
            for person in range(PEOPLE)
            for song in rng.permutation(SONGS)[:8].tolist()
        ),
    )


def short(model: type[GraphModel], **changes: Any) -> Any:
    # where everybody of a scene stands in every batch, contrast drives them apart: a little of it will do
    mild = {"contrast": 0.02} if model in {SimGCL, XSimGCL} else {}
    return replace(MODELS[model](embedding_dim=16, batch_size=64, training=SHORT, **mild), **changes)


def fitted(model: type[GraphModel], snapshot: Snapshot, config: Any = None, seed: int = 1, **more: Any) -> ModelVectors:
    config = short(model) if config is None else config
    found: ModelVectors = model.fit(snapshot, config, rng=np.random.default_rng(seed), **more)
    return found


def recall(vectors: ModelVectors, snapshot: Snapshot) -> float:
    """Share of the 4 songs of their own scene which listeners do not know among the 4 best that they do not know."""
    hits = 0
    for user in range(snapshot.users):
        scores = vectors.scores(np.array([user]))[0]
        scores[snapshot.histories.song[snapshot.histories.of(user)]] = -np.inf
        hits += sum(song // SONGS == user // PEOPLE for song in np.argsort(-scores)[:4])
    return hits / (4 * snapshot.users)


# ---- every model


@pytest.mark.parametrize("model", MODELS)
def test_it_finds_the_rest_of_a_listener_s_scene(model: type[GraphModel], scenes: Snapshot) -> None:
    # at best chance or popularity find every fourth
    assert recall(fitted(model, scenes), scenes) > 0.95


@pytest.mark.parametrize("model", MODELS)
def test_vectors_are_finite_float32_of_every_listener_and_song(model: type[GraphModel], scenes: Snapshot) -> None:
    vectors = fitted(model, scenes, short(model, training=replace(SHORT, epochs=2)))
    assert (vectors.listeners.shape, vectors.songs.shape) == ((40, 16), (48, 16))
    assert vectors.listeners.dtype == vectors.songs.dtype == np.float32
    assert np.isfinite(vectors.listeners).all()
    assert vectors.meta["epochs"] == vectors.meta["best_epoch"] == 2
    assert vectors.meta["config"]["embedding_dim"] == 16


@pytest.mark.parametrize("model", MODELS)
def test_an_interrupted_training_ends_with_the_same_vectors(
    model: type[GraphModel], scenes: Snapshot, tmp_path: Path
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    config = short(model, training=replace(SHORT, epochs=7))
    with pytest.raises(KeyboardInterrupt):
        fitted(model, scenes, config, progress=stop, checkpoint=tmp_path / "it.pt")
    resumed = fitted(model, scenes, config, checkpoint=tmp_path / "it.pt")
    whole = fitted(model, scenes, config)
    assert np.array_equal(resumed.songs, whole.songs)
    assert np.array_equal(resumed.listeners, whole.listeners)
    assert not np.array_equal(fitted(model, scenes, config, seed=2).songs, whole.songs)


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_of_other_listens_is_refused(model: type[GraphModel], tmp_path: Path) -> None:
    config = short(model, training=replace(SHORT, epochs=1))
    pairs = ([("ana", "s1"), ("ben", "s2")], [("ana", "s2"), ("ben", "s1")])  # as many of everything
    first, other = (lopsided_snapshot(log=events((u, "full_play", s, None) for u, s in log)) for log in pairs)
    fitted(model, first, config, checkpoint=tmp_path / "it.pt")
    with pytest.raises(InvalidInput, match="a checkpoint of another training"):
        fitted(model, other, config, checkpoint=tmp_path / "it.pt")


@pytest.mark.parametrize("model", MODELS)
def test_a_validation_sees_the_vectors_and_chooses_the_epoch(model: type[GraphModel], scenes: Snapshot) -> None:
    seen: list[np.ndarray] = []

    def validate(listeners: np.ndarray, songs: np.ndarray) -> float:
        assert (listeners.shape, songs.shape) == ((40, 16), (48, 16))
        seen.append(songs)
        return -abs(len(seen) - 2)

    training = replace(SHORT, epochs=20, evaluate_every=2, patience=3)
    vectors = fitted(model, scenes, short(model, training=training), validate=validate)
    assert (vectors.meta["best_epoch"], vectors.meta["epochs"], vectors.meta["best"]) == (4, 10, 0)
    assert np.array_equal(vectors.songs, seen[1])


CHANGES: dict[str, Any] = {
    "embedding_dim": 8, "layers": 1, "decay": 0.1, "batch_size": 100, "spread": 0.3, "alpha": 0.4, "beta": 0.2,
    "gamma": 0.5, "contrast": 0.05, "noise": 0.3, "temperature": 0.5, "contrasted": 2,
    "training": replace(SHORT, epochs=3),
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "field"), [(model, field) for model, kind in MODELS.items() for field in vars(kind()) if field in CHANGES]
)
def test_every_hyper_parameter_changes_something(model: type[GraphModel], field: str, scenes: Snapshot) -> None:
    config = short(model, training=replace(SHORT, epochs=2))
    changed = fitted(model, scenes, replace(config, **{field: CHANGES[field]})).songs
    before = fitted(model, scenes, config).songs
    assert changed.shape != before.shape or not np.allclose(changed, before, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_every_hyper_parameter_is_tried(model: type[GraphModel]) -> None:
    assert set(vars(MODELS[model]())) <= set(CHANGES)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (LightGCNConfig, {"layers": 0}, r"layers must be more than 0 \(got 0\)"),
        (LightGCNConfig, {"decay": -1.0}, r"decay must be 0 or more \(got -1.0\)"),
        (LightGCNppConfig, {"gamma": 1.5}, r"gamma must be between 0 and 1 \(got 1.5\)"),
        (SimGCLConfig, {"noise": 0.0}, r"noise must be more than 0"),
        (XSimGCLConfig, {"contrasted": 3}, r"contrasted must be a layer from 1 to 2 \(got 3\)"),
    ],
)
def test_a_number_out_of_range_is_refused(config: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_vectors_are_saved_and_loaded(tmp_path: Path) -> None:
    snapshot = lopsided_snapshot()
    listeners, songs = np.eye(3, dtype=np.float32), np.ones((5, 3), dtype=np.float32)
    made = ModelVectors.of_pairs(snapshot, listeners, songs, {"epochs": 3})
    snapshot.write(tmp_path / "snapshot")
    made.save(tmp_path / "vectors" / "lightgcn", {"more": 1})
    loaded = ModelVectors.load(Release.open(tmp_path), "lightgcn")
    assert np.array_equal(loaded.listeners, made.listeners)
    assert np.array_equal(loaded.songs, made.songs)
    assert (loaded.meta["epochs"], loaded.meta["more"]) == (3, 1)
    assert made.scores(np.array([1])).tolist() == [[1, 1, 1, 1, 1]]
    with pytest.raises(CorruptRelease):
        ModelVectors.load(Release.open(tmp_path), "simgcl")


# ---- what is learned from


def test_listeners_like_what_their_events_say_they_like_each_song_once() -> None:
    snapshot = lopsided_snapshot()
    found = Interactions.of(snapshot)
    ids = snapshot.ids["User"].to_list(), snapshot.ids["Song"].to_list()
    rows = zip(found.listener, found.indices, found.strength, strict=True)
    pairs = {(ids[0][u], ids[1][s]): round(float(w), 3) for u, s, w in rows}
    # ana skipped s2 and cy blocked s3
    assert pairs == {
        ("ana", "s1"): 4.0,
        ("ben", "s3"): round(0.4 * (1 + np.log(10)), 3),
        ("ben", "s4"): 3.0,
        ("cy", "s2"): 1.0,
        ("cy", "s4"): 1.0,
    }
    assert (found.listeners, found.songs, len(found)) == (3, 5, 5)
    assert (found.matrix().toarray() == (found.matrix().toarray() > 0)).all()


def test_nobody_likes_anything() -> None:
    with pytest.raises(FitError, match="no listener likes a song"):
        Interactions.of(lopsided_snapshot(log=events([("ana", "skip", "s1", None)])))


def test_an_epoch_holds_every_pair_once_with_a_song_that_is_not_liked(scenes: Snapshot) -> None:
    found = Interactions.of(scenes)
    batches = list(found.triples(100, np.random.default_rng(0)))
    assert [batch.shape for batch in batches] == [(3, 100)] * 3 + [(3, 20)]
    listeners, liked, other = np.concatenate(batches, axis=1)
    own = set(zip(found.listener.tolist(), (found.indices + 40).tolist(), strict=True))
    assert sorted(zip(listeners.tolist(), liked.tolist(), strict=True)) == sorted(own)
    assert not own & set(zip(listeners.tolist(), other.tolist(), strict=True))
    assert (listeners[:40] != np.sort(listeners[:40])).any()


# ---- LightGCN and LightGCN++


def hand_worked(config: LightGCNppConfig) -> LightGCNpp:
    """One listener who likes both songs a and b, with layer 0 at (3, 4), (2, 0) and (0, 1)."""
    interactions = Interactions(np.array([0, 2]), np.array([0, 1], dtype=np.int32), np.ones(2, dtype=np.float32), 2)
    model = LightGCNpp(interactions, config, rng=np.random.default_rng(0))
    with torch.no_grad():
        model.table.copy_(torch.tensor([[3.0, 4.0], [2.0, 0.0], [0.0, 1.0]]))
    return model


def test_lightgcnpp_of_three_nodes_worked_by_hand() -> None:
    # degrees 2, 1, 1; alpha = 1 halves what comes to the listener, beta = -1 doubles what comes from the listener.
    # layer 1: listener ((1, 0) + (0, 1)) / 2 = (.5, .5), songs 2 (.6, .8) = (1.2, 1.6)
    # layer 2: listener (.6, .8), songs 2 (.7071, .7071)
    model = hand_worked(LightGCNppConfig(embedding_dim=2, alpha=1.0, beta=-1.0, gamma=0.2))
    listeners, songs = model.vectors()
    assert listeners[0] == pytest.approx([0.2 * 3 + 0.4 * (0.5 + 0.6), 0.2 * 4 + 0.4 * (0.5 + 0.8)])
    passed = 0.4 * (np.array([1.2, 1.6]) + 2**0.5)
    assert songs == pytest.approx(np.array([[0.4, 0], [0, 0.2]]) + passed)


def test_lightgcnpp_with_gamma_1_is_layer_0_alone() -> None:
    model = hand_worked(LightGCNppConfig(embedding_dim=2, gamma=1.0))
    assert model.vectors()[1].tolist() == [[2, 0], [0, 1]]


@pytest.mark.parametrize("model", [LightGCN, LightGCNpp])
def test_the_fused_loss_is_bpr_plus_l2_and_so_is_its_gradient(model: type[GraphModel], scenes: Snapshot) -> None:
    made = model(Interactions.of(scenes), short(model, decay=0.3), rng=np.random.default_rng(0))
    batch = next(made.batches(np.random.default_rng(0)))
    (fused,) = torch.autograd.grad(made.loss(batch), made.table)
    parts = bpr_rows(made(), batch) + 0.3 * l2_rows(made.table, batch, 64)
    (expected,) = torch.autograd.grad(parts, made.table)
    assert made.loss(batch).item() == pytest.approx(parts.item())
    assert torch.allclose(fused, expected, atol=1e-7)


def test_lightgcn_learns_as_pyg_s_does(scenes: Snapshot) -> None:
    config = short(LightGCN)
    ours = LightGCN(Interactions.of(scenes), config, rng=np.random.default_rng(0))
    edges = torch.from_numpy(np.stack([ours.interactions.listener, ours.interactions.indices + 40]).astype(np.int64))
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    theirs = PygLightGCN(88, 16, 2)
    theirs.embedding.weight = torch.nn.Parameter(ours.table.detach().clone())
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (ours, theirs)]
    for batch in ours.batches(np.random.default_rng(0)):
        listeners, liked, other = batch
        ranks = theirs(edges, torch.stack([listeners.repeat(2), torch.cat([liked, other])]))
        theirs_loss = theirs.recommendation_loss(*ranks.chunk(2), node_id=batch.flatten(), lambda_reg=config.decay / 2)
        ours_loss = ours.loss(batch)
        assert ours_loss.item() == pytest.approx(theirs_loss.item(), rel=1e-5)
        for optimizer, loss in zip(optimizers, (ours_loss, theirs_loss), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert torch.allclose(ours.table, theirs.embedding.weight, atol=1e-4)


# ---- SimGCL and XSimGCL


def test_a_contrast_takes_every_listener_and_every_liked_song_once() -> None:
    first, second = torch.randn(6, 3), torch.randn(6, 3)
    triples = torch.tensor([[0, 1, 0], [3, 3, 4], [5, 5, 2]])
    expected = info_nce(first[:2], second[:2], 0.3) + info_nce(first[3:5], second[3:5], 0.3)
    assert contrast(first, second, triples, 0.3).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("model", [SimGCL, XSimGCL])
def test_the_noise_is_for_the_loss_alone_and_layer_0_is_left_out(model: type[GraphModel], scenes: Snapshot) -> None:
    made: Any = model(Interactions.of(scenes), short(model), rng=np.random.default_rng(0))
    first, second = made.propagation.layers(made.table, 2)
    assert torch.allclose(made(), (first + second) / 2)
    batch = next(made.batches(np.random.default_rng(0)))
    assert made.loss(batch).item() != made.loss(batch).item()


# ---- finding them


def test_models_are_found_by_their_files_without_importing_torch() -> None:
    import subprocess
    import sys

    code = "import sys, embeddings.models as m; print(*m.model_names()); print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split("\n")
    assert {"lightgcn", "lightgcnpp", "simgcl", "xsimgcl"} <= set(said[0].split())
    assert not {"model", "propagation", "interactions"} & set(said[0].split())
    assert said[1] == "False"


def test_a_model_is_configured_by_its_name() -> None:
    from embeddings.models import model_type

    config = model_type("lightgcnpp").configure({"gamma": 0, "training": {"epochs": 3}})
    assert config == LightGCNppConfig(gamma=0.0, training=FitConfig(epochs=3))
    with pytest.raises(SettingsError, match="model lightgcnpp: unknown option 'delta'"):
        model_type("lightgcnpp").configure({"delta": 1})
    with pytest.raises(SettingsError, match=r"unknown model 'propagation' \(known: .*lightgcn, "):
        model_type("propagation")
