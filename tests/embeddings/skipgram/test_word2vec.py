"""gensim's model, trained on numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from gensim.models import Word2Vec

from embeddings.skipgram.corpus import Numbers, Ragged, WalkCorpus
from embeddings.skipgram.skipgram import SkipGramConfig, numbered, train, train_walks, untrained
from embeddings.skipgram.walks import WalkConfig, WalkGraph, Walks
from embeddings.skipgram.word2vec import NumberedWord2Vec
from graph.errors import FitError
from graph.snapshot.arrays import Array

GROUPS, SIZE = 4, 25
LABELS = np.repeat(np.arange(GROUPS), SIZE)
CONFIG = SkipGramConfig(embedding_dim=20, window=4, epochs=2)


@pytest.fixture(scope="module")
def planted() -> WalkGraph:
    """100 nodes in four groups: within one 30 % of the pairs are joined, between two 3 %."""
    rng = np.random.default_rng(3)
    pairs = np.array(list(combinations(range(GROUPS * SIZE), 2)))
    chance = np.where(LABELS[pairs[:, 0]] == LABELS[pairs[:, 1]], 0.3, 0.03)
    source, target = pairs[rng.random(len(pairs)) < chance].T
    return WalkGraph.of_edges(source, target, nodes=GROUPS * SIZE)


def corpus(graph: WalkGraph, threads: int = 1) -> WalkCorpus:
    return WalkCorpus(Walks(graph, WalkConfig(walks=10, length=30), seed=1, threads=threads))


def vectors(
    graph: WalkGraph, config: SkipGramConfig = CONFIG, seed: int = 1, workers: int = 1, walkers: int = 1
) -> Array:
    model = train_walks(corpus(graph, walkers), config, seed=seed, workers=workers)
    return numbered(model, model.wv.vectors, graph.nodes)


def accuracy(found: Array) -> float:
    """Share of the nodes whose ten nearest are mostly of their own group."""
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    near = np.argsort(-(unit @ unit.T), axis=1)[:, 1:11]
    return float(((LABELS[near] == LABELS[:, None]).mean(axis=1) > 0.5).mean())


def test_both_trainers_reach_the_same_quality(planted: WalkGraph) -> None:
    qualities = {
        trainer: [
            accuracy(vectors(planted, SkipGramConfig(20, 4, epochs=2, trainer=trainer), seed)) for seed in (1, 2, 3)
        ]
        for trainer in ("segue", "gensim")
    }
    assert min(map(min, qualities.values())) > 0.8
    assert np.mean(qualities["segue"]) == pytest.approx(np.mean(qualities["gensim"]), abs=0.05)


def test_two_threads_reach_it_too(planted: WalkGraph) -> None:
    assert accuracy(vectors(planted, workers=2)) > 0.8


def test_one_seed_gives_the_same_vectors_for_any_threads_that_walk(planted: WalkGraph) -> None:
    base = vectors(planted)
    np.testing.assert_array_equal(vectors(planted, walkers=2), base)
    np.testing.assert_array_equal(vectors(planted, replace(CONFIG, deterministic=True), workers=2), base)
    assert not np.array_equal(vectors(planted, seed=2), base)


def test_rows_and_ragged_sequences_train_the_same_model(planted: WalkGraph) -> None:
    walks = corpus(planted)

    def ragged() -> Iterator[Ragged]:
        for block in walks.blocks():
            yield Ragged(np.arange(0, block.size + 1, block.shape[1]), block.ravel())

    found = []
    for read in (walks.numbers(), Numbers(walks.words, ragged)):
        model = untrained(walks.frequencies(), CONFIG, seed=1)
        train(model, read, CONFIG)
        found.append(model.wv.vectors)
    np.testing.assert_array_equal(*found)


def test_numbers_train_what_sentences_would_and_both_go_on(planted: WalkGraph) -> None:
    walks = corpus(planted)
    model = untrained(walks.frequencies(), CONFIG, seed=1)
    for read in (walks.numbers(), walks.sentences(), walks.numbers()):
        before = model.wv.vectors.copy()
        trained, words = model.train(read, total_words=walks.tokens, epochs=1)
        assert words == walks.tokens
        assert 0 < trained < words
        assert np.abs(model.wv.vectors - before).max() > 1e-3
    assert accuracy(numbered(model, model.wv.vectors, planted.nodes)) > 0.8


def test_sentences_are_trained_on_by_gensim_itself(planted: WalkGraph) -> None:
    walks = corpus(planted)
    sentences = list(walks.sentences())
    models = [
        kind(vector_size=20, window=4, sg=1, negative=5, min_count=1, seed=7, workers=1)
        for kind in (Word2Vec, NumberedWord2Vec)
    ]
    for model in models:
        model.build_vocab_from_freq(walks.frequencies())
        model.train(sentences, total_words=walks.tokens, epochs=1)
    np.testing.assert_array_equal(models[0].cum_table, models[1].cum_table)
    np.testing.assert_array_equal(models[0].wv.vectors, models[1].wv.vectors)


def test_a_saved_model_goes_on_as_if_it_had_not_been(planted: WalkGraph, tmp_path: Path) -> None:
    walks = corpus(planted)
    model = train_walks(walks, CONFIG, seed=1)
    model.save(str(tmp_path / "model"))
    loaded = NumberedWord2Vec.load(str(tmp_path / "model"))
    assert loaded.wv.most_similar("3")[0] == model.wv.most_similar("3")[0]
    for one in (model, loaded):
        one.train(walks.numbers(), total_words=walks.tokens, epochs=1)
    np.testing.assert_array_equal(loaded.wv.vectors, model.wv.vectors)


def test_new_words_are_learned_when_the_vocabulary_is_updated() -> None:
    words = [*"abcdef"]
    old, new = np.array([[0, 1], [2, 3]] * 50, dtype=np.int32), np.array([[4, 0], [5, 2]] * 50, dtype=np.int32)
    model = untrained(dict.fromkeys("abcd", 50), replace(CONFIG, sample=0), seed=1)
    model.train(Numbers(words, lambda: [old, new]), total_words=400, epochs=5)  # e and f are not known yet
    assert "e" not in model.wv
    before = model.wv["b"].copy()
    model.build_vocab([[words[i] for i in pair] for pair in new.tolist()], update=True)
    fresh = model.wv["e"].copy()
    model.train(Numbers(words, lambda: [new]), total_words=200, epochs=5)
    assert np.abs(model.wv["e"] - fresh).max() > 1e-3
    np.testing.assert_array_equal(model.wv["b"], before)


def test_the_learning_rate_falls_with_what_was_read(planted: WalkGraph) -> None:
    walks = corpus(planted)
    model = untrained(walks.frequencies(), CONFIG, seed=1)
    model.train(walks.numbers(), total_words=walks.tokens, epochs=3, start_alpha=0.04, end_alpha=0.01)
    assert model.min_alpha_yet_reached == pytest.approx(0.01)
    model.train(walks.numbers(), total_words=2 * walks.tokens, epochs=1, start_alpha=0.04, end_alpha=0.01)
    assert model.min_alpha_yet_reached == pytest.approx(0.025)


def test_weights_that_are_not_finite_are_told(planted: WalkGraph) -> None:
    walks = corpus(planted)
    with np.errstate(all="ignore"), pytest.raises(FitError, match="lower the learning rate"):
        train_walks(walks, SkipGramConfig(20, 4, learning_rate=1e30), seed=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_ends_training(planted: WalkGraph, workers: int) -> None:
    walks = corpus(planted)

    def blocks() -> Iterator[Array]:
        yield from walks.blocks()
        raise KeyboardInterrupt

    model = untrained(walks.frequencies(), CONFIG, seed=1, workers=workers)
    with pytest.raises(KeyboardInterrupt):
        model.train(Numbers(walks.words, blocks), total_words=walks.tokens, epochs=1)


def locked(model: NumberedWord2Vec) -> None:
    model.wv.vectors_lockf = np.zeros(1, dtype=np.float32)


def bags(model: NumberedWord2Vec) -> None:
    model.sg = 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [(locked, "vectors are locked on sentences alone"), (bags, "numbers are trained on by skip-gram .*got sg 0")],
)
def test_what_only_gensim_does_is_told(change: Callable[[NumberedWord2Vec], None], expected: str) -> None:
    model = untrained({"0": 3, "1": 2}, CONFIG, seed=1)
    change(model)
    with pytest.raises(ValueError, match=expected):
        model.train(Numbers(["0", "1"], list), total_words=5, epochs=1)


def test_a_loss_and_examples_are_told() -> None:
    model = untrained({"0": 3, "1": 2}, CONFIG, seed=1)
    with pytest.raises(ValueError, match="a loss is computed on sentences alone"):
        model.train(Numbers(["0", "1"], list), total_words=5, epochs=1, compute_loss=True)
    with pytest.raises(ValueError, match=r"total_words must be given to train on numbers \(got None\)"):
        model.train(Numbers(["0", "1"], list), total_examples=5, epochs=1)


@pytest.mark.parametrize("number", [2, -2, 2**32])
def test_a_number_without_a_word_is_named(number: int) -> None:
    model = untrained({"0": 3, "1": 2}, CONFIG, seed=1)
    block = np.array([[0, 1, -1], [1, number, 0]])
    for corpus in (block, Ragged(np.array([0, 3, 6]), block.ravel())):
        with pytest.raises(ValueError, match=rf"numbers of a corpus must be from -1 to 1 \(got {number}\)"):
            model.train(Numbers(["0", "1"], lambda corpus=corpus: [corpus]), total_words=5, epochs=1)
