"""What skip-gram reads: walks and sequences as numbers, or as sentences for gensim."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.snapshot.arrays import Array

if TYPE_CHECKING:
    from embeddings.skipgram.walks import Walks

Progress = Callable[[str, int, int], None]

MAX_SENTENCE: Final = 10_000
"""Words of a sentence that gensim reads; it would leave the rest out without a word."""

_KEPT_TOKENS: Final = 1 << 26


@dataclass(frozen=True)
class Ragged:
    """S sequences of T numbers in all: sequence s is ids[indptr[s]:indptr[s + 1]].

    Shapes: indptr (S + 1,), ids (T,).
    """

    indptr: Array
    ids: Array


class Numbers:
    """A corpus of numbers for `NumberedWord2Vec.train`; number i stands for words[i].

    `blocks` gives the corpus of an epoch, of any size in blocks of bounded size: sequences as rows (B, L) of integers,
    -1 after the end of one, or as `Ragged`. `kinds` (words,) of whole numbers from 0: a word's negatives are drawn
    from words of its kind; all are of one kind where None.
    """

    def __init__(
        self, words: Sequence[str], blocks: Callable[[], Iterable[Array | Ragged]], kinds: Array | None = None
    ) -> None:
        self.words, self._blocks = words, blocks
        self.kinds = np.zeros(len(words), dtype=np.int32) if kinds is None else kinds

    def __iter__(self) -> Iterator[Array | Ragged]:
        yield from self._blocks()


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
