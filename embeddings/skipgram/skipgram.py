"""Skip-gram with negative sampling over walks: the model is gensim's `Word2Vec`, its inner loop ours or gensim's.

Walks are handed over in memory, block by block; no corpus of text is ever written.

Source: Mikolov et al. 2013, arXiv 1310.4546.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.errors import FitError
from graph.snapshot.arrays import Array

if TYPE_CHECKING:
    from embeddings.skipgram.walks import Walks
    from embeddings.skipgram.word2vec import NumberedWord2Vec, Numbers

Progress = Callable[[str, int, int], None]

MAX_SENTENCE: Final = 10_000
"""Words of a sentence that gensim reads; it would leave the rest out without a word."""

TRAINERS: Final = ("segue", "gensim")

_KEPT_TOKENS: Final = 1 << 26


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


@dataclass(frozen=True)
class Ragged:
    """S sequences of T numbers in all: sequence s is ids[indptr[s]:indptr[s + 1]].

    Shapes: indptr (S + 1,), ids (T,).
    """

    indptr: Array
    ids: Array


class WalkCorpus:
    """Walks that training reads once to count their nodes and then once an epoch.

    Up to `kept_tokens` of them stay in memory; more are walked anew each time, which gives the same walks.
    """

    def __init__(self, walks: Walks, progress: Progress | None = None, *, kept_tokens: int = _KEPT_TOKENS) -> None:
        self.walks = walks
        self.counts = np.zeros(walks.graph.nodes, dtype=np.int64)
        self._progress = progress
        self._kept: list[Array] | None = [] if len(walks) * walks.config.length <= kept_tokens else None
        began, done = time.perf_counter(), 0
        for block in walks:
            self.counts += np.bincount(block[block >= 0], minlength=len(self.counts))
            if self._kept is not None:
                self._kept.append(block)
            done += len(block)
            if progress is not None:
                progress("walks", done, len(walks))
        self.walk_s = time.perf_counter() - began
        self.tokens = int(self.counts.sum())

    def blocks(self) -> Iterator[Array]:
        """The walks as blocks (B, L), -1 after their ends."""
        yield from self.walks if self._kept is None else self._kept

    @cached_property
    def words(self) -> list[str]:
        """The word of each node, its number written out."""
        return [str(i) for i in range(len(self.counts))]

    def frequencies(self) -> dict[str, int]:
        """How often each word stands on a walk, for those that do."""
        return {self.words[i]: int(self.counts[i]) for i in np.flatnonzero(self.counts)}

    def numbers(self, epochs: int = 1) -> Numbers:
        """The walks as our inner loop reads them. Reports how far training has read in that many epochs."""
        from embeddings.skipgram.word2vec import Numbers

        done = self._report(epochs)

        def blocks() -> Iterator[Array]:
            for block in self.blocks():
                yield block
                done(int((block >= 0).sum()))

        return Numbers(self.words, blocks)

    def sentences(self, epochs: int = 1) -> Sentences:
        """The same as gensim's inner loop reads them.

        Raises: ValueError for walks longer than that reads.
        """
        if self.walks.config.length > MAX_SENTENCE:
            raise ValueError(f"length must be at most {MAX_SENTENCE} for gensim (got {self.walks.config.length})")
        return Sentences(self, self._report(epochs))

    def _report(self, epochs: int) -> Callable[[int], None]:
        read, total = 0, epochs * self.tokens

        def report(tokens: int) -> None:
            nonlocal read
            read += tokens
            if self._progress is not None:
                self._progress("skip-gram", read, total)

        return report


class Sentences:
    """Walks as lists of words."""

    def __init__(self, corpus: WalkCorpus, report: Callable[[int], None]) -> None:
        self._corpus, self._report = corpus, report

    def __iter__(self) -> Iterator[list[str]]:
        words = self._corpus.words
        for block in self._corpus.blocks():
            lengths = (block >= 0).sum(axis=1)
            for walk, length in zip(block.tolist(), lengths.tolist(), strict=True):
                yield [words[node] for node in walk[:length]]
            self._report(int(lengths.sum()))


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
