from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segue_test_worlds import World, lopsided_snapshot

from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import CorruptRelease, InvalidInput
from graph.release import Release

RAW = np.array([[3.0, 4], [0, 2], [1, 0], [0, 0], [9, 9]])
TRAINED = np.array([True, True, True, True, False])
ENTITIES = {"PERFORMED_BY": np.array([[1.0, 0], [0, 1]]), "HAS_TAG": np.array([[0.0, 2], [0, 6]])}


def vectors(**gamma: float) -> ModelVectors:
    return ModelVectors.of(lopsided_snapshot(), RAW, TRAINED, ENTITIES, gamma)


def test_songs_are_of_length_1_and_their_length_is_kept() -> None:
    made = vectors()
    assert made.unit[:3] == pytest.approx(np.array([[0.6, 0.8], [0, 1], [1, 0]]))
    assert made.norm.tolist() == [5, 2, 1, 0, 0]


def test_a_song_that_was_not_trained_is_composed_from_its_entities() -> None:
    # s5: its artist (1, 0) and the mean of its tags (0, 4), by their gammas
    made = vectors(PERFORMED_BY=2.0, HAS_TAG=0.5)
    assert made.unit[4] * made.norm[4] == pytest.approx([2, 2])
    assert not vectors(PERFORMED_BY=0.0).unit[4].any()


def test_what_describes_a_trained_song_is_added_to_it_at_length_1(lopsided: World, tmp_path: Path) -> None:
    # s1: (0.6, 0.8), and (1, 0) of its artist; s4 was trained to nothing; s5 is composed anyway
    plain = vectors(PERFORMED_BY=2.0)
    made = ModelVectors.of(lopsided.snapshot, RAW, TRAINED, ENTITIES, {"PERFORMED_BY": 2.0}, 1.0)
    assert made.unit[0] == pytest.approx(np.array([1.6, 0.8]) / (1.6**2 + 0.8**2) ** 0.5)
    assert made.unit[4] == pytest.approx(plain.unit[4])
    assert made.raw == pytest.approx(plain.raw)
    assert made.query(lopsided.snapshot, 0, {"HAS_TAG": 1.0}) == pytest.approx(
        plain.query(lopsided.snapshot, 0, {"HAS_TAG": 1.0})
    )
    lopsided.snapshot.write(tmp_path / "snapshot")
    made.save(tmp_path / "vectors" / "song2vec", {"config": {}})
    loaded = ModelVectors.load(Release.open(tmp_path), "song2vec")
    assert (loaded.described, loaded.unit.tolist(), loaded.raw.tolist()) == (1.0, made.unit.tolist(), made.raw.tolist())


def test_an_entity_of_a_model_of_songs_alone_is_the_mean_of_its_songs_that_have_a_vector() -> None:
    snapshot = lopsided_snapshot()
    made = ModelVectors.of_songs(snapshot, RAW * TRAINED[:, None])
    assert made.trained.tolist() == [True, True, True, False, False]
    for name in ("PERFORMED_BY", "HAS_TAG"):
        relation = snapshot.relation(name, "Song")
        for entity in range(relation.targets):
            edges = [(s, w) for s, e, w in zip(relation.edge_sources, relation.indices, relation.weights(), strict=True)
                     if e == entity and made.trained[s]]  # fmt: skip
            weights = sum(w for _, w in edges)
            mean = sum((w * made.unit[s] for s, w in edges), np.zeros(2)) / max(weights, 1e-12)
            assert made.entities[name][entity] == pytest.approx(mean, abs=1e-6)


def test_without_gamma_the_question_is_the_vector_as_trained(lopsided: World) -> None:
    assert vectors().query(lopsided.snapshot, 0).tolist() == pytest.approx([0.6, 0.8])


def test_with_gamma_the_question_adds_the_mean_of_the_entities(lopsided: World) -> None:
    # s1: (3, 4) + 2 x (1, 0) of Alba + 1 x (0, 2) of calm = (5, 6)
    found = vectors().query(lopsided.snapshot, 0, {"PERFORMED_BY": 2.0, "HAS_TAG": 1.0})
    assert found == pytest.approx(np.array([5, 6]) / 61**0.5, abs=1e-6)


def test_a_relation_that_is_not_named_keeps_its_gamma(lopsided: World) -> None:
    # s1: (3, 4) + 2 x (1, 0) of Alba as trained + 1 x (0, 2) of calm
    made = vectors(PERFORMED_BY=2.0, HAS_TAG=0.5)
    found = made.query(lopsided.snapshot, 0, {"HAS_TAG": 1.0})
    assert found == pytest.approx(np.array([5, 6]) / 61**0.5, abs=1e-6)


def test_gammas_as_trained_ask_as_without_any(lopsided: World) -> None:
    made = vectors(PERFORMED_BY=2.0, HAS_TAG=0.5)
    for gamma in ({}, {"HAS_TAG": 0.5}, dict(made.gamma)):
        assert made.query(lopsided.snapshot, 0, gamma).tolist() == made.unit[0].tolist()


def test_a_song_that_nobody_has_played_is_asked_by_its_entities_alone(lopsided: World) -> None:
    made = vectors(PERFORMED_BY=1.0)
    assert made.query(lopsided.snapshot, 4, {"PERFORMED_BY": 0.0, "HAS_TAG": 3.0}) == pytest.approx([0, 1])
    # 1 x (1, 0) of Alba as trained + 0.25 x (0, 4), the mean of its tags
    assert made.query(lopsided.snapshot, 4, {"HAS_TAG": 0.25}) == pytest.approx(np.array([1, 1]) / 2**0.5)
    assert not made.query(lopsided.snapshot, 4, {"PERFORMED_BY": 0.0}).any()


def test_a_song_that_no_training_has_seen_is_composed_as_one_that_nobody_has_played() -> None:
    made, snapshot = vectors(PERFORMED_BY=2.0, HAS_TAG=0.5), lopsided_snapshot()
    described = {name: snapshot.relation(name, "Song").of(4) for name in ("PERFORMED_BY", "HAS_TAG")}
    assert made.composed(described) == pytest.approx(made.unit[4], abs=1e-6)
    assert not made.composed({"HAS_MOOD": np.array([0]), "HAS_TAG": np.array([], dtype=np.int32)}).any()


def test_an_unknown_relation_is_named(lopsided: World) -> None:
    with pytest.raises(InvalidInput, match=r"unknown relation 'MOOD' \(known: HAS_TAG, PERFORMED_BY\)"):
        vectors().query(lopsided.snapshot, 0, {"MOOD": 1.0})


def test_they_survive_being_saved(tmp_path: Path) -> None:
    made = vectors(PERFORMED_BY=2.0)
    lopsided_snapshot().write(tmp_path / "snapshot")
    made.save(tmp_path / "vectors" / "song2vec", {"config": {}})
    loaded = ModelVectors.load(Release.open(tmp_path), "song2vec")
    for name in ("unit", "norm", "trained"):
        assert getattr(loaded, name).tolist() == getattr(made, name).tolist()
    assert loaded.gamma == {"PERFORMED_BY": 2.0}
    assert loaded.entities["HAS_TAG"].tolist() == ENTITIES["HAS_TAG"].tolist()
    assert loaded.outputs is None
    with pytest.raises(CorruptRelease, match="vectors/other"):
        ModelVectors.load(Release.open(tmp_path), "other")


def test_so_does_the_other_side_of_the_model_where_it_was_kept(tmp_path: Path) -> None:
    made = vectors(PERFORMED_BY=2.0)
    sides = {"PERFORMED_BY": made.entities["PERFORMED_BY"] + 1}
    lopsided_snapshot().write(tmp_path / "snapshot")
    replace(made, outputs=made.unit * 2, entity_outputs=sides).save(tmp_path / "vectors" / "song2vec", {"config": {}})
    loaded = ModelVectors.load(Release.open(tmp_path), "song2vec")
    assert loaded.outputs is not None
    assert loaded.outputs.tolist() == (made.unit * 2).tolist()
    assert set(loaded.entities) == set(made.entities)
    assert {n: m.tolist() for n, m in loaded.entity_outputs.items()} == {n: m.tolist() for n, m in sides.items()}
