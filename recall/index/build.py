"""Builds what `recall.index.approximate` searches, and measures how far a search has to look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from graph.snapshot.arrays import Array
from recall.index.approximate import SHARES, ApproximateIndex, K, Plan, faiss, threads
from recall.index.config import IndexConfig
from recall.index.filters import Members

Progress = Callable[[str, int, int], None]

_QUESTIONS: Final = 256
_NO_ROWS: Final = np.empty(0, dtype=np.int32)
_CHUNK: Final = 4096  # what is added to a graph between two looks at Ctrl-C: well under a second
_FRACTIONS: Final = tuple(2.0 ** (step / 2) for step in range(-16, 1))
_BREADTHS: Final = tuple(round(128 * 1.25**step) for step in range(16))


def build(unit: Array, config: IndexConfig, *, seed: int, workers: int, progress: Progress) -> ApproximateIndex:
    """An index of the rows of `unit` (N, D) that have a vector.

    The same bytes for the same seed with one worker; FAISS links a graph differently each time with more.
    """
    rng = np.random.default_rng(seed)
    with threads(workers):
        arrays = _cells(unit, config, seed, rng, progress)
        if config.kind == "hnsw":
            engine = _graph(arrays, config, seed, rng, progress)
        else:
            engine = _codes(arrays, seed, rng, progress)
    near = ApproximateIndex(arrays, engine, config, Plan(0, (1.0,) * len(SHARES)))
    _tune(near, rng, progress)
    return near


def _cells(
    unit: Array, config: IndexConfig, seed: int, rng: np.random.Generator, progress: Progress
) -> dict[str, Array]:
    """The arrays of `ApproximateIndex`: songs sorted by the cell that they are nearest to."""
    filled = np.flatnonzero(np.einsum("nd,nd->n", unit, unit) > 0.5)
    cells = max(1, min(round(config.cells * len(filled) ** 0.5), len(filled) // 8))
    sample = np.sort(rng.choice(filled, min(len(filled), 64 * cells), replace=False))
    progress("cells", 0, len(filled))
    kmeans = faiss().Kmeans(
        unit.shape[1], cells, niter=10, spherical=True, seed=seed % 2**31, min_points_per_centroid=1,
        max_points_per_centroid=64,
    )  # fmt: skip
    kmeans.train(np.ascontiguousarray(unit[sample]))
    nearest = np.empty(len(filled), dtype=np.int64)
    for chunk in _chunks(len(filled), 8 * _CHUNK):
        nearest[chunk] = kmeans.index.search(np.ascontiguousarray(unit[filled[chunk]]), 1)[1][:, 0]
        progress("cells", chunk.stop, len(filled))
    order = np.argsort(nearest, kind="stable")
    songs = filled[order].astype(np.int32)
    rows = np.full(len(unit), -1, dtype=np.int32)
    rows[songs] = np.arange(len(songs))
    offsets = np.searchsorted(nearest[order], np.arange(cells + 1))
    return {
        "vectors": unit[songs],
        "songs": songs,
        "rows": rows,
        "centres": np.asarray(kmeans.centroids),
        "offsets": offsets,
    }


def _graph(
    arrays: dict[str, Array], config: IndexConfig, seed: int, rng: np.random.Generator, progress: Progress
) -> Any:
    vectors = arrays["vectors"]
    # On unit vectors the order by L2 is that by cosine, and the rule that prunes links is about distances.
    kind = faiss().ScalarQuantizer.QT_8bit
    graph = faiss().IndexHNSWSQ(vectors.shape[1], kind, config.links, faiss().METRIC_L2)
    graph.hnsw.efConstruction = config.ef_construction
    graph.hnsw.rng = faiss().RandomGenerator(seed)
    graph.train(vectors)
    # Rows come cell by cell; a graph that grows like that has no links from one end to the other. So it grows in
    # random order and is put back into that of the rows, which keeps neighbours close in memory.
    order = rng.permutation(len(vectors))
    for chunk in _chunks(len(vectors), _CHUNK):
        graph.add(vectors[order[chunk]])
        progress("graph", chunk.stop, len(vectors))
    graph.permute_entries(np.argsort(order))
    return graph


def _codes(arrays: dict[str, Array], seed: int, rng: np.random.Generator, progress: Progress) -> Any:
    vectors, centres = arrays["vectors"], arrays["centres"]
    dim = vectors.shape[1]
    parts = max(m for m in range(1, dim + 1) if dim % m == 0 and m <= max(1, dim // 2))
    quantizer = faiss().IndexFlatIP(dim)
    quantizer.add(centres)
    codes = faiss().IndexIVFPQ(quantizer, dim, len(centres), parts, 8, faiss().METRIC_INNER_PRODUCT)
    codes.pq.cp.min_points_per_centroid = 1
    codes.pq.cp.seed = seed % 2**31
    codes.pq.cp.niter = 10
    sample = np.sort(rng.choice(len(vectors), min(len(vectors), 64 * 256), replace=False))
    progress("codes", 0, len(vectors))
    codes.train(vectors[sample])
    for chunk in _chunks(len(vectors), 8 * _CHUNK):
        codes.add(vectors[chunk])
        progress("codes", chunk.stop, len(vectors))
    codes.own_fields = True
    quantizer.this.disown()
    return codes


def _chunks(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _tune(near: ApproximateIndex, rng: np.random.Generator, progress: Progress) -> None:
    """Set `plan` and `measured`: the least effort whose recall is at least the target, two standard errors off."""
    size, target = len(near.vectors), near.config.recall
    questions = _questions(near.vectors, rng)
    everyone = np.ones(size, dtype=bool)
    masks = [everyone if share == 1.0 else rng.random(size) < share for share in SHARES]
    groups = [Members.of(mask, near.offsets) for mask in masks]
    truths = _truths(near.vectors, questions, groups, progress)
    fractions: list[float] = []
    measured = []
    for share, group, truth in zip(SHARES, groups, truths, strict=True):
        # The fewer pass a filter, the larger the part of them to look at; of too few nothing can be measured.
        grid = [f for f in _FRACTIONS if not fractions or f >= fractions[-1]] if len(group.rows) > 4 * K else [1.0]
        for fraction in grid:
            near.plan = Plan(0, (fraction,) * len(SHARES), least=0)
            found = [near._probe(q, K, group, group.bits, _NO_ROWS) for q in questions]
            reached, low = _recall(near, questions, found, truth)
            if low >= target:
                break
        fractions.append(fraction)
        measured.append({"share": share, "fraction": fraction, "recall": reached})
        progress("measure", len(fractions), len(SHARES) + 1)
    near.plan = Plan(0, tuple(fractions))
    near.measured = {"k": K, "target": target, "recall": measured[0]["recall"], "breadth": 0, "cells": measured}
    if near.config.kind == "hnsw":
        _tune_graph(near, questions, truths[0], fractions)
    progress("measure", len(SHARES) + 1, len(SHARES) + 1)


def _tune_graph(near: ApproximateIndex, questions: Array, truth: Array, fractions: list[float]) -> None:
    for breadth in _BREADTHS:
        near.plan = Plan(breadth, tuple(fractions))
        found = [near._walk(q, K, near.everyone, 1.0) for q in questions]
        reached, low = _recall(near, questions, found, truth)
        if low >= near.config.recall:
            break
    near.measured |= {"recall": reached, "breadth": breadth}


def _questions(vectors: Array, rng: np.random.Generator) -> Array:
    """(Q, D) of length 1: half are songs, half lie between two songs of one cell, as what a listener loves does."""
    rows = rng.integers(0, len(vectors) - 1, _QUESTIONS)
    questions = vectors[rows].copy()
    questions[::2] += vectors[rows[::2] + 1]
    questions /= np.maximum(np.linalg.norm(questions, axis=1, keepdims=True), 1e-12)
    return questions


def _truths(vectors: Array, questions: Array, groups: list[Members], progress: Progress) -> list[Array]:
    """For each group of members the score of its `K`th nearest to each question: (Q,), -inf where it is smaller."""
    truths = [np.full(len(questions), -np.inf, dtype=np.float32) for _ in groups]
    for block in _chunks(len(questions), 16):
        scores = questions[block] @ vectors.T
        for group, truth in zip(groups, truths, strict=True):
            mine = scores[:, group.rows] if group.share < 1 else scores
            if mine.shape[1] > K:
                truth[block] = np.partition(mine, mine.shape[1] - K, axis=1)[:, mine.shape[1] - K]
        progress("truth", block.stop, len(questions))
    return truths


def _recall(
    near: ApproximateIndex, questions: Array, found: Sequence[Array | None], truth: Array
) -> tuple[float, float]:
    """Mean recall@K, and the same less two standard errors; equal scores count as equal songs."""
    hits = []
    for question, rows, border in zip(questions, found, truth, strict=True):
        scores = near.vectors[[] if rows is None else rows] @ question
        # a product's last bits depend on how many rows are multiplied at once
        hits.append(min((scores >= border - 1e-6).sum(), K) / K if np.isfinite(border) else 1.0)
    mean = float(np.mean(hits))
    return round(mean, 4), mean - 2 * float(np.std(hits)) / len(hits) ** 0.5
