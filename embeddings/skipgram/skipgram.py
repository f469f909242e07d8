"""Skip-gram with negative sampling over walks: the model is gensim's `Word2Vec`, its inner loop ours or gensim's.

Walks are handed over in memory, block by block; no corpus of text is ever written.

Source: Mikolov et al. 2013, arXiv 1310.4546.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from embeddings.skipgram.corpus import Numbers, Sentences, WalkCorpus
from graph.errors import FitError
from graph.snapshot.arrays import Array

if TYPE_CHECKING:
    from embeddings.skipgram.word2vec import NumberedWord2Vec

TRAINERS: Final = ("segue", "gensim")


@dataclass(frozen=True)
class SkipGramConfig:
    """Hyper-parameters of skip-gram with negative sampling.

    Two epochs are worth their time: macro-F1 on BlogCatalog is .267 with these settings, .247 after a single one at a
    rate of 0.05, .236 at gensim's 0.025 (splits that the benchmarks do not report).

    Raises: ValueError for a number out of range, or another trainer.
    """

    embedding_dim: int = 128
    """Numbers of a vector, 1 or more."""
    window: int = 10
    """Words on either side of a word that are its neighbours at most, 1 or more."""
    negative: int = 5
    """Negatives drawn for each pair, 1 or more."""
    epochs: int = 2
    """Passes over the corpus, 1 or more."""
    learning_rate: float = 0.03
    """Step at the beginning, above 0; it falls to near 0 over training."""
    ns_exponent: float = 0.75
    """Negatives are drawn by their count to this power: 0 for all alike, 1 by count."""
    sample: float = 1e-3
    """Words more frequent than this share are thinned out; 0 for none."""
    trainer: str = "segue"
    """Whose inner loop trains: "segue", over numbers, or "gensim", over sentences."""
    deterministic: bool = False
    """Whether one thread trains, whatever `workers` says, so that a seed always gives the same vectors."""

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "window", "negative", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be above 0 (got {self.learning_rate})")
        if self.trainer not in TRAINERS:
            raise ValueError(f"trainer must be {' or '.join(TRAINERS)} (got {self.trainer})")


def untrained(frequencies: dict[str, int], config: SkipGramConfig, *, seed: int, workers: int = 1) -> NumberedWord2Vec:
    """A model that knows the words and how often each stands in the corpus.

    Raises: ValueError if `workers` is below 1.
    """
    from embeddings.skipgram.word2vec import NumberedWord2Vec

    if workers < 1:
        raise ValueError(f"workers must be at least 1 (got {workers})")
    model = NumberedWord2Vec(
        vector_size=config.embedding_dim,
        window=config.window,
        sg=1,
        hs=0,
        negative=config.negative,
        ns_exponent=config.ns_exponent,
        alpha=config.learning_rate,
        min_count=1,
        sample=config.sample,
        seed=seed,
        workers=1 if config.deterministic else workers,
    )
    model.build_vocab_from_freq(frequencies)
    return model


def train(
    model: NumberedWord2Vec,
    corpus: Numbers | Sentences,
    config: SkipGramConfig,
    *,
    words: int | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train on the corpus, which is read once an epoch; the same one gives the same model where one thread trains.

    `words`: how many an epoch reads, by which the learning rate falls; where None as many as the model has counted.

    Raises: FitError if the weights are not finite.
    """
    total = int(model.wv.expandos["count"].sum()) if words is None else max(1, words)
    # One call an epoch, so that it reports, stops at Ctrl-C, and may draw its sentences anew.
    for epoch in range(config.epochs):
        alphas = [config.learning_rate * max(1e-3, 1 - e / config.epochs) for e in (epoch, epoch + 1)]
        model.train(corpus, total_words=total, epochs=1, start_alpha=alphas[0], end_alpha=alphas[1])
        if not (np.isfinite(model.wv.vectors).all() and np.isfinite(model.syn1neg).all()):
            raise FitError("training ended with weights that are not finite: lower the learning rate")
        if after_epoch is not None:
            after_epoch(epoch + 1)


def train_walks(corpus: WalkCorpus, config: SkipGramConfig, *, seed: int, workers: int = 1) -> NumberedWord2Vec:
    """A model of the corpus's nodes that are on a walk, each under its number.

    Raises: FitError if the weights are not finite.
    """
    model = untrained(corpus.frequencies(), config, seed=seed, workers=workers)
    read = corpus.sentences if config.trainer == "gensim" else corpus.numbers
    train(model, read(config.epochs), config)
    return model


def numbered(model: NumberedWord2Vec, matrix: Array, words: int) -> Array:
    """(W, D): rows of `matrix`, which is `model.wv.vectors` or `model.syn1neg`, of the words "0" to "W - 1"; else 0."""
    found = np.zeros((words, matrix.shape[1]), dtype=np.float32)
    found[[int(word) for word in model.wv.index_to_key]] = matrix
    return found
