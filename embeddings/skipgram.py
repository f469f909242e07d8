"""Skip-gram with negative sampling over numbered words, trained by gensim's `Word2Vec`.

Walks are handed over in memory, block by block; no corpus of text is ever written.

Source: Mikolov et al. 2013, arXiv 1310.4546.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.arrays import Array
from graph.errors import FitError

if TYPE_CHECKING:
    from gensim.models import Word2Vec

    from embeddings.walks import Walks

Progress = Callable[[str, int, int], None]

MAX_SENTENCE: Final = 10_000
"""Words of a sentence that gensim reads; it would leave the rest out without a word."""

_KEPT_TOKENS: Final = 1 << 26


@dataclass(frozen=True)
class SkipGramConfig:
    """Hyper-parameters; `sample`: words more frequent than this share are thinned out, 0 for none.

    The learning rate is twice gensim's, since one epoch is short: macro-F1 on BlogCatalog is .257 with it, else .240.

    Raises: ValueError for a number out of range.
    """

    embedding_dim: int = 128
    window: int = 10
    negative: int = 5
    epochs: int = 1
    learning_rate: float = 0.05
    ns_exponent: float = 0.75
    sample: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "window", "negative", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be above 0 (got {self.learning_rate})")


class WalkCorpus:
    """Walks that training reads once to count their nodes and then once an epoch.

    Up to `kept_tokens` of them stay in memory; more are walked anew each time, which gives the same walks.
    """

    def __init__(self, walks: Walks, progress: Progress | None = None, *, kept_tokens: int = _KEPT_TOKENS) -> None:
        if walks.config.length > MAX_SENTENCE:
            raise ValueError(f"length must be at most {MAX_SENTENCE} (got {walks.config.length})")
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

    def sentences(self, epochs: int = 1) -> Sentences:
        """The walks as gensim wants them."""
        return Sentences(self, epochs, self._progress)


class Sentences:
    """Walks as lists of words; a node's word is its number written out. Reports how far training has read."""

    def __init__(self, corpus: WalkCorpus, epochs: int, progress: Progress | None) -> None:
        self._corpus, self._progress = corpus, progress
        self._words = [str(i) for i in range(len(corpus.counts))]
        self._done, self._total = 0, epochs * corpus.tokens

    def __iter__(self) -> Iterator[list[str]]:
        words = self._words
        for block in self._corpus.blocks():
            lengths = (block >= 0).sum(axis=1)
            for walk, length in zip(block.tolist(), lengths.tolist(), strict=True):
                yield [words[node] for node in walk[:length]]
            self._done += int(lengths.sum())
            if self._progress is not None:
                self._progress("skip-gram", self._done, self._total)


def train(
    sentences: Iterable[list[str]],
    frequencies: dict[str, int],
    config: SkipGramConfig,
    *,
    seed: int,
    workers: int = 1,
    after_epoch: Callable[[int], None] | None = None,
) -> Word2Vec:
    """A trained model; the same sentences and seed give the same one where `workers` is 1.

    `sentences` is iterated once an epoch; `frequencies`: how often each word stands in them.

    Raises: ValueError if `workers` is below 1.
    """
    from gensim.models import Word2Vec

    if workers < 1:
        raise ValueError(f"workers must be at least 1 (got {workers})")
    model = Word2Vec(
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
        workers=workers,
    )
    model.build_vocab_from_freq(frequencies)
    total = sum(frequencies.values())
    # One call an epoch, so that it reports, stops at Ctrl-C, and may draw its sentences anew.
    for epoch in range(config.epochs):
        alphas = [config.learning_rate * max(1e-3, 1 - e / config.epochs) for e in (epoch, epoch + 1)]
        model.train(sentences, total_words=total, epochs=1, start_alpha=alphas[0], end_alpha=alphas[1])
        if after_epoch is not None:
            after_epoch(epoch + 1)
    return model


def train_walks(corpus: WalkCorpus, config: SkipGramConfig, *, seed: int, workers: int = 1) -> Array:
    """Vectors (N, D) of the corpus's nodes, 0 for those on no walk.

    Raises: FitError if the weights are not finite.
    """
    frequencies = {str(i): int(corpus.counts[i]) for i in np.flatnonzero(corpus.counts)}
    model = train(corpus.sentences(config.epochs), frequencies, config, seed=seed, workers=workers)
    return matrix_of(model, len(corpus.counts))


def matrix_of(model: Word2Vec, words: int) -> Array:
    """Input vectors (W, D) of the words "0" to "W - 1", 0 for those the model does not know.

    Raises: FitError if one is not finite.
    """
    matrix = np.zeros((words, model.vector_size), dtype=np.float32)
    matrix[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    if not np.isfinite(matrix).all():
        raise FitError("training ended with weights that are not finite: lower the learning rate")
    return matrix
