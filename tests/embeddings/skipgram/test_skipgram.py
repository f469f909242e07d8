from __future__ import annotations

import numpy as np
import pytest

from embeddings.skipgram.corpus import WalkCorpus
from embeddings.skipgram.skipgram import SkipGramConfig, untrained
from embeddings.skipgram.walks import WalkConfig, WalkGraph, Walks

LINE = WalkGraph.of_edges(np.array([0, 1]), np.array([1, 2]), nodes=4, directed=True)


def test_a_corpus_counts_its_nodes_and_hands_out_walks_without_their_padding() -> None:
    corpus = WalkCorpus(Walks(LINE, WalkConfig(walks=1, length=3), seed=0))
    assert corpus.counts.tolist() == [1, 2, 3, 1]
    assert corpus.tokens == 7
    assert sorted(corpus.sentences()) == [["0", "1", "2"], ["1", "2"], ["2"], ["3"]]


def test_walks_that_are_not_kept_come_again() -> None:
    walks = Walks(LINE, WalkConfig(walks=3, length=3), seed=0)
    kept, anew = WalkCorpus(walks), WalkCorpus(walks, kept_tokens=1)
    assert list(anew.sentences()) == list(kept.sentences()) == list(anew.sentences())


def test_training_reports_what_it_has_read() -> None:
    told: list[tuple[str, int, int]] = []
    corpus = WalkCorpus(Walks(LINE, WalkConfig(walks=1, length=3), seed=0), lambda *a: told.append(a))
    list(corpus.sentences())
    list(corpus.numbers(epochs=2))
    assert told == [("walks", 4, 4), ("skip-gram", 7, 7), ("skip-gram", 7, 14)]


def test_walks_longer_than_gensim_reads_are_told() -> None:
    with pytest.raises(ValueError, match=r"length must be at most 10000 for gensim \(got 10001\)"):
        WalkCorpus(Walks(LINE, WalkConfig(length=10_001), seed=0)).sentences()


@pytest.mark.parametrize("name", ["embedding_dim", "window", "negative", "epochs", "learning_rate"])
def test_a_config_out_of_range_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        SkipGramConfig(**{name: 0})  # type: ignore[arg-type]


def test_an_unknown_trainer_is_told() -> None:
    with pytest.raises(ValueError, match=r"trainer must be segue or gensim \(got fast\)"):
        SkipGramConfig(trainer="fast")


def test_workers_have_to_be_some() -> None:
    with pytest.raises(ValueError, match=r"workers must be at least 1 \(got 0\)"):
        untrained({}, SkipGramConfig(), seed=0, workers=0)
