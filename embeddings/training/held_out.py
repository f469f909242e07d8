"""A tenth of the likes held out, to choose hyper-parameters by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from embeddings.training.interactions import Interactions
from graph.snapshot.arrays import Array

SHARE: Final = 0.1
LISTENERS: Final = 2000
"""Listeners who judge at most."""
_FIRST: Final = 20


def held_out(
    interactions: Interactions, rng: np.random.Generator
) -> tuple[Interactions, Callable[[Array, Array], float]]:
    """The pairs without a tenth of them, and a judge of vectors (U, D) and (S, D) learned from the rest.

    The judge gives the mean, over listeners with a held-out song, of the discounted gain of those within the first 20
    songs that were not trained on.
    """
    held = rng.random(len(interactions)) < SHARE
    rows = interactions.listener
    indptr = np.zeros(len(interactions.indptr), dtype=np.int64)
    np.cumsum(np.bincount(rows[~held], minlength=interactions.listeners), out=indptr[1:])
    kept = Interactions(indptr, interactions.indices[~held], interactions.strength[~held], interactions.songs)
    users, songs = rows[held], interactions.indices[held]
    judges, starts = np.unique(users, return_index=True)
    truths = dict(zip(judges.tolist(), np.split(songs, starts[1:]), strict=False))
    if len(judges) > LISTENERS:
        judges = np.sort(rng.choice(judges, LISTENERS, replace=False))

    def judge(listeners: Array, vectors: Array) -> float:
        total, k = 0.0, min(_FIRST, vectors.shape[0])
        for user in judges.tolist():
            scores = vectors @ listeners[user]
            scores[kept.indices[kept.indptr[user] : kept.indptr[user + 1]]] = -np.inf
            truth = truths[user]
            above = (scores[None, :] > scores[truth][:, None]).sum(axis=1)
            alike = (scores[None, :] == scores[truth][:, None]).sum(axis=1) - 1
            ranks = above + alike / 2  # so that vectors that say nothing do not win
            total += float((1 / np.log2(ranks[ranks < k] + 2)).sum()) / len(truth)
        return total / max(len(judges), 1)

    return kept, judge
