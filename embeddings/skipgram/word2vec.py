"""gensim's Word2Vec, trained on numbers by an inner loop of ours.

The model is gensim's: vocabulary, schedule of the learning rate, `wv`, callbacks, saving, loading, `build_vocab` with
`update=True` and further training. Trained on `Numbers` it reads arrays as they are, without a word of text; trained on
sentences, or on a file of them, it is gensim's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final

import numpy as np
from gensim.models import Word2Vec

from embeddings.skipgram.corpus import Numbers, Ragged
from embeddings.skipgram.sgns import kernel, rows
from embeddings.skipgram.walks import build_alias
from graph.snapshot.arrays import Array

PIECE: Final = 1 << 15
"""Numbers of a piece of work, some 20 ms: an interruption waits for one."""


class NumberedWord2Vec(Word2Vec):  # type: ignore[misc]
    """Word2Vec that trains on `Numbers` by skip-gram with negative sampling, as `embeddings/skipgram/sgns.py` has it.

    With one worker the same seed and corpus give the same vectors, bit by bit. Differences to gensim's loop: sequences
    may be of any length, a loss is not computed, and vectors cannot be locked.
    """

    def make_cum_table(self, domain: int = 2**31 - 1) -> None:
        """gensim's table of what negatives are drawn from, without a loop over the words."""
        ends = np.cumsum(self.wv.expandos["count"][: len(self.wv)].astype(np.float64) ** float(self.ns_exponent))
        self.cum_table = np.round(ends / ends[-1:] * domain).astype(np.uint32)

    def _train_epoch(
        self,
        data_iterable: Any,
        cur_epoch: int = 0,
        total_examples: int | None = None,
        total_words: int | None = None,
        **more: Any,
    ) -> tuple[int, int, int]:
        if not isinstance(data_iterable, Numbers):
            done: tuple[int, int, int] = super()._train_epoch(
                data_iterable, cur_epoch=cur_epoch, total_examples=total_examples, total_words=total_words, **more
            )
            return done
        if total_words is None:
            raise ValueError("total_words must be given to train on numbers (got None)")
        self._check_trainable()
        began = time.perf_counter()
        inputs, outputs = rows(self.wv.vectors), rows(self.syn1neg)  # type: ignore[has-type]
        work = _Epoch(self, data_iterable, inputs, outputs, cur_epoch, total_words)
        with ThreadPoolExecutor(self.workers) as pool:
            for block in data_iterable:
                work.train(block, pool if self.workers > 1 else None)
        dim = self.vector_size
        if inputs.shape[1] == dim:
            self.wv.vectors, self.syn1neg = inputs, outputs
        else:
            self.wv.vectors[:], self.syn1neg[:] = inputs[:, :dim], outputs[:, :dim]
        self.wv.norms = None
        self.total_train_time += time.perf_counter() - began
        return work.trained, work.read, work.pieces

    def _check_trainable(self) -> None:
        if not self.sg or self.hs or not self.negative:
            said = f"sg {self.sg}, hs {self.hs}, negative {self.negative}"
            raise ValueError(f"numbers are trained on by skip-gram with negative sampling alone (got {said})")
        if self.compute_loss:
            raise ValueError("a loss is computed on sentences alone (got compute_loss on numbers)")
        if (self.wv.vectors_lockf != 1).any():
            raise ValueError("vectors are locked on sentences alone (got vectors_lockf other than 1 on numbers)")


class _Epoch:
    """One pass over a corpus: block by block, in pieces that threads take in turn."""

    def __init__(
        self, model: NumberedWord2Vec, corpus: Numbers, inputs: Array, outputs: Array, epoch: int, total: int
    ) -> None:
        self.trained = self.read = self.pieces = self._sequences = 0
        self._model, self._epoch, self._total = model, epoch, total
        key = [model.seed % 2**32, model.train_count, epoch]
        self._seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
        row = model.wv.key_to_index
        place = np.fromiter((row.get(word, -1) for word in corpus.words), dtype=np.int32, count=len(corpus.words))
        keep = model.wv.expandos["sample_int"][: len(model.wv)].astype(np.uint32)
        kind = np.zeros(len(model.wv), dtype=np.int32)
        kind[place[place >= 0]] = corpus.kinds[place >= 0]
        shares = np.diff(model.cum_table.astype(np.float64), prepend=0)
        self._tables = place, keep, _negatives(kind, shares), inputs, outputs
        self._window = int(model.window), bool(model.shrink_windows)
        self._kernel = kernel(int(model.negative))

    def train(self, block: Array | Ragged, pool: ThreadPoolExecutor | None) -> None:
        if isinstance(block, Ragged):
            ids, indptr = block.ids, block.indptr
        else:
            ids, indptr = block.reshape(-1), np.arange(0, block.size + 1, block.shape[1])
        self._check(ids)
        ids = np.ascontiguousarray(ids, dtype=np.int32)
        ends = np.unique(np.searchsorted(indptr, np.arange(PIECE, len(ids), PIECE)))
        cuts = [0, *ends[(ends > 0) & (ends < len(indptr) - 1)].tolist(), len(indptr) - 1]
        works = [self._work(ids, indptr[a : b + 1], self._sequences + a) for a, b in pairwise(cuts) if a < b]
        for trained in map(_call, works) if pool is None else pool.map(_call, works):
            self.trained += trained
        self._sequences += len(indptr) - 1
        self.pieces += len(works)

    def _check(self, ids: Array) -> None:
        """Raises: ValueError for a number that stands for no word."""
        last = len(self._tables[0]) - 1
        for number in (ids.min(), ids.max()) if len(ids) else ():
            if not -1 <= number <= last:
                raise ValueError(f"numbers of a corpus must be from -1 to {last} (got {number})")

    def _work(self, ids: Array, indptr: Array, first: int) -> Callable[[], int]:
        """Training on one piece, at the learning rates that gensim's schedule has for it."""
        mine = ids[indptr[0] : indptr[-1]]
        alpha = self._alpha()
        self.read += int((mine >= 0).sum())
        fall = (alpha - self._alpha()) / max(1, len(mine))
        ends = indptr - indptr[0]
        return lambda: self._kernel(mine, ends, *self._tables, *self._window, alpha, fall, self._seed, first)

    def _alpha(self) -> float:
        return float(self._model._get_next_alpha(min(1.0, self.read / max(1, self._total)), self._epoch))


def _negatives(kind: Array, shares: Array) -> tuple[Array, Array, Array, Array, Array]:
    """What `kernel` draws negatives from: kind, begin, member, threshold, alias."""
    member = np.argsort(kind, kind="stable").astype(np.int32)
    begin = np.concatenate([[0], np.cumsum(np.bincount(kind))])
    threshold, alias = np.empty(len(kind), dtype=np.float32), np.empty(len(kind), dtype=np.int32)
    # at least the table's least step: a kind of rare words alone is drawn from too
    build_alias(begin, np.maximum(shares[member], 1), np.empty(len(begin) - 1), threshold, alias)
    return kind, begin, member, threshold, alias


def _call(work: Callable[[], int]) -> int:
    return work()
