from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from gensim.models import Word2Vec
from segue_test_worlds import (
    LOPSIDED_EDGES,
    LOPSIDED_NODES,
    SHORT,
    World,
    edges,
    events,
    lopsided_snapshot,
    planted_snapshot,
)

from embeddings.skipgram.corpus import Numbers
from embeddings.skipgram.skipgram import SkipGramConfig
from embeddings.skipgram.song2vec import Song2Vec, Song2VecConfig
from embeddings.vectors.model_vectors import ModelVectors
from graph.errors import FitError
from graph.snapshot.snapshot import Snapshot

TINY = replace(SHORT, embedding_dim=4, epochs=2)


def gamma(**weights: float) -> dict[str, float]:
    """These gammas alone, all others 0."""
    return dict.fromkeys(Song2VecConfig().gamma, 0.0) | weights


def fit(snapshot: Snapshot, config: Song2VecConfig = TINY, seed: int = 1) -> ModelVectors:
    return Song2Vec.fit(snapshot, config, rng=np.random.default_rng(seed))


def test_gamma_0_is_song2vec_without_entities() -> None:
    songs = LOPSIDED_NODES["Song"].drop("language")
    described = {rel: frame.clear() for rel, frame in LOPSIDED_EDGES.items() if rel.source == "Song"}
    bare = lopsided_snapshot(node_tables={"Song": songs}, edge_tables=described)
    with_entities, without = fit(lopsided_snapshot(), replace(TINY, gamma=gamma())), fit(bare)
    assert with_entities.unit.tolist() == without.unit.tolist()
    assert with_entities.norm.tolist() == without.norm.tolist()
    assert with_entities.entities == without.entities == {}


def test_the_same_seed_gives_the_same_vectors_and_another_seed_others(lopsided: World) -> None:
    one, same, other = fit(lopsided.snapshot), fit(lopsided.snapshot), fit(lopsided.snapshot, seed=2)
    assert one.unit.tolist() == same.unit.tolist()
    assert one.unit.tolist() != other.unit.tolist()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 2.5])
def test_gamma_is_the_number_of_pairs_for_each_occurrence_of_a_song(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 20 sessions of 5 songs, none of them 2 long, so that a sequence of two words is a pair; s6 has no artist
    songs = ["s1", "s2", "s3", "s4", "s6"]
    log = events([(f"u{u}", "full_play", songs[(u + i) % 5], i) for u in range(20) for i in range(5)])
    snapshot = lopsided_snapshot(log=log, edge_tables=edges({("CONTAINS", "Playlist", "Song"): []}))
    counts, epochs = [], 40
    original = Word2Vec.train

    def counted(self: Word2Vec, corpus: Numbers, **more: Any) -> Any:
        blocks = list(corpus)
        lengths = np.concatenate([np.diff(block.indptr) for block in blocks])
        counts.append((lengths == 2).sum())
        assert (lengths == 5).sum() == 20
        return original(self, Numbers(corpus.words, lambda: blocks), **more)

    monkeypatch.setattr(Word2Vec, "train", counted)
    fit(snapshot, replace(TINY, epochs=epochs, gamma=gamma(PERFORMED_BY=weight)))
    assert len(counts) == epochs
    assert np.mean(counts) == pytest.approx(weight * 80, abs=2.5)  # 80 occurrences of songs with an artist
    if weight == 2.5:
        assert len(set(counts)) > 1  # drawn anew each epoch


def test_a_frequent_song_has_as_many_pairs_as_a_rare_one(monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [song for often in (["s1"] * 12, ["s2"] * 3, ["s3"]) for one in often for song in (one, "s6")]
    log = events([("ana", "full_play", song, i) for i, song in enumerate(songs)])
    snapshot = lopsided_snapshot(log=log, edge_tables=edges({("CONTAINS", "Playlist", "Song"): []}))
    pairs, epochs = np.zeros(snapshot.songs), 60
    original = Word2Vec.train

    def counted(self: Word2Vec, corpus: Numbers, **more: Any) -> Any:
        for block in (blocks := list(corpus)):
            np.add.at(pairs, block.ids[block.indptr[:-1][np.diff(block.indptr) == 2]], 1)
        return original(self, Numbers(corpus.words, lambda: blocks), **more)

    monkeypatch.setattr(Word2Vec, "train", counted)
    fit(snapshot, replace(TINY, epochs=epochs, gamma=gamma(PERFORMED_BY=0.9)))
    # 32 occurrences of 4 songs, one of which has no artist: 0.9 * 32 / 4 pairs of each of the others an epoch
    assert pairs[:3] / epochs == pytest.approx(0.9 * 32 / 4, abs=0.5)


def test_an_entity_is_drawn_by_the_weight_of_its_edge() -> None:
    log = events([("ana", "full_play", song, i) for i in range(40) for song in ("s5", "s1")])
    snapshot = lopsided_snapshot(log=log)
    heavy = edges({("HAS_TAG", "Song", "Tag"): [("s5", "calm", 1.0), ("s5", "loud", 1e9)]})
    found = fit(lopsided_snapshot(log=log, edge_tables=heavy), replace(TINY, gamma=gamma(HAS_TAG=2.0)))
    assert set(found.entities) == {"HAS_TAG"}
    assert found.entities["HAS_TAG"].shape == (len(snapshot.ids["Tag"]), TINY.embedding_dim)


def test_a_song_that_nobody_has_played_is_composed_from_its_entities(lopsided: World) -> None:
    found = fit(lopsided.snapshot, replace(TINY, gamma=gamma(PERFORMED_BY=2.0)))
    assert found.trained.tolist() == [True, True, True, True, False]
    assert found.unit[4] * found.norm[4] == pytest.approx(2.0 * found.entities["PERFORMED_BY"][0], abs=1e-6)
    assert not fit(lopsided.snapshot, replace(TINY, gamma=gamma())).unit[4].any()


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_gamma_below_0_or_without_end_is_refused(lopsided: World, weight: float) -> None:
    with pytest.raises(ValueError, match=r"gamma of HAS_GENRE must be 0 or more \(got"):
        fit(lopsided.snapshot, replace(TINY, gamma={"HAS_GENRE": weight}))


def test_nothing_to_learn_from_is_said() -> None:
    nothing = lopsided_snapshot(log=events([]), edge_tables=edges({("CONTAINS", "Playlist", "Song"): []}))
    with pytest.raises(FitError, match="nothing to learn from"):
        fit(nothing)


def test_skips_alone_are_nothing_to_learn_from() -> None:
    skips = events([("ana", "skip", "s1", 1), ("ana", "like", "s2", 2)])
    with pytest.raises(FitError, match="nothing to learn from"):
        fit(lopsided_snapshot(log=skips, edge_tables=edges({("CONTAINS", "Playlist", "Song"): []})))


def test_what_describes_a_song_is_added_after_training(lopsided: World) -> None:
    alone, with_more = (fit(lopsided.snapshot, replace(TINY, described=much)) for much in (0.0, 2.0))
    assert alone.own is None
    assert with_more.own == pytest.approx(alone.raw, abs=1e-5)
    composed = alone.composed({name: lopsided.snapshot.relation(name, "Song").of(0) for name in alone.entities})
    both = alone.unit[0] + 2 * composed
    assert with_more.unit[0] == pytest.approx(both / np.linalg.norm(both), abs=1e-5)
    with pytest.raises(ValueError, match=r"described must be 0 or more \(got -0.1\)"):
        fit(lopsided.snapshot, replace(TINY, described=-0.1))


@pytest.mark.parametrize("gammas", [{}, gamma()])
def test_planted_scenes_lie_apart(gammas: dict[str, float]) -> None:
    snapshot = planted_snapshot()
    unit = fit(snapshot, replace(SHORT, gamma=gammas)).unit
    scene = np.array([id_[0] == "a" for id_ in snapshot.ids["Song"].to_list()])
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, np.nan)
    within = np.nanmean(np.concatenate([cosine[scene][:, scene].ravel(), cosine[~scene][:, ~scene].ravel()]))
    assert within > cosine[scene][:, ~scene].mean() + 0.3
    nearest = np.nanargmax(cosine, axis=1)
    assert (scene[nearest] == scene).all()


@pytest.mark.parametrize(
    "change",
    [
        {"embedding_dim": 8},
        {"window": 1},
        {"negative": 2},
        {"epochs": 3},
        {"learning_rate": 0.2},
        {"ns_exponent": 0.0},
        {"gamma": {"PERFORMED_BY": 1.0}},
        {"sequences": replace(SHORT.sequences, playlists=False)},
    ],
)
def test_each_field_of_the_config_changes_the_vectors(lopsided: World, change: dict[str, Any]) -> None:
    assert fit(lopsided.snapshot, replace(TINY, **change)).unit.tolist() != fit(lopsided.snapshot).unit.tolist()


def test_training_goes_on_from_given_vectors(lopsided: World) -> None:
    first = fit(lopsided.snapshot, replace(TINY, epochs=20))
    slow = replace(TINY, epochs=1, learning_rate=1e-9)
    again = Song2Vec.fit(lopsided.snapshot, slow, rng=np.random.default_rng(5), start=first)
    np.testing.assert_allclose(again.unit, first.unit, atol=1e-5)
    assert first.outputs is not None
    assert first.outputs.any()
    np.testing.assert_allclose(again.outputs, first.outputs, atol=1e-5)
    for name, matrix in first.entities.items():
        np.testing.assert_allclose(again.entities[name], matrix, atol=1e-5)
        np.testing.assert_allclose(again.entity_outputs[name], first.entity_outputs[name], atol=1e-5)


def test_a_start_of_another_shape_is_told(lopsided: World) -> None:
    first = fit(lopsided.snapshot)
    with pytest.raises(ValueError, match=r"start must have vectors of shape \(5, 8\) \(got \(5, 4\)\)"):
        Song2Vec.fit(lopsided.snapshot, replace(TINY, embedding_dim=8), rng=np.random.default_rng(0), start=first)


def test_progress_runs_to_the_last_epoch(lopsided: World) -> None:
    ticks: list[tuple[str, int, int]] = []
    Song2Vec.fit(lopsided.snapshot, TINY, rng=np.random.default_rng(0), progress=lambda *tick: ticks.append(tick))
    assert ticks[0] == ("song2vec", 0, 2)
    assert ticks[-1] == ("song2vec", 2, 2)


def test_its_hyper_parameters_are_those_of_a_skip_gram_but_for_frequent_words() -> None:
    plain = SkipGramConfig(8, 3, 4, 2, 0.02, 0.5, sample=0.1)
    config = Song2VecConfig.of_skipgram(plain, {"HAS_TAG": 1.0})
    assert config.skipgram() == replace(plain, sample=0)
    assert config.gamma == {"HAS_TAG": 1.0}
    assert [f.name for f in fields(config)] == [
        *("embedding_dim", "window", "negative", "epochs", "learning_rate", "ns_exponent"),
        *("gamma", "described", "sequences"),
    ]
