"""Metrics of ranked lists, each by its field's usual definition, and their means over listeners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from graph.snapshot.arrays import Array


def recall_at(hits: Array, relevant: int, k: int) -> float:
    """Share of the `relevant` items that stand among the first k; `hits` (L,) says which places hit."""
    return float(hits[:k].sum()) / relevant


def ndcg_at(hits: Array, relevant: int, k: int) -> float:
    """Discounted gain of the first k over that of the ideal list of min(k, relevant) hits."""
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gain = float((hits[:k] * discounts[: len(hits[:k])]).sum())
    return gain / float(discounts[: min(k, relevant)].sum())


def reciprocal_rank(hits: Array) -> float:
    """1 / rank of the first hit over the whole list, 0 if there is none."""
    places = np.flatnonzero(hits)
    return 1.0 / (int(places[0]) + 1) if len(places) else 0.0


def auc(scores: Array, labels: Array) -> float:
    """Probability that a positive scores above a negative, ties counting one half.

    Shapes: scores (N,), labels (N,) of 0 and 1. Raises: ValueError if one of the two classes is missing.
    """
    positive = labels > 0
    if positive.all() or not positive.any():
        raise ValueError("auc needs at least one positive and one negative")
    order = np.argsort(scores, kind="stable")
    _, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def gini(counts: Array) -> float:
    """Gini coefficient of how often each of N items was shown: 0 if all alike, near 1 if one takes all."""
    if not counts.sum():
        return 0.0
    ordered = np.sort(counts).astype(np.float64)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


@dataclass
class Scoreboard:
    """Collects ranked lists of listeners one by one and averages.

    `songs` is the size of the catalogue, `listeners_of` (songs,) how many training listeners each has, of `users` in
    all; both serve coverage, gini and novelty (mean of -log2 of the share of listeners who know the song).
    """

    songs: int
    listeners_of: Array
    users: int
    ks: Sequence[int] = (10,)
    rows: list[dict[str, float]] = field(default_factory=list)
    _shown: dict[int, Array] = field(default_factory=dict)

    def add(self, ranked: Array, relevant: Array) -> None:
        """One listener: `ranked` the songs in order, `relevant` the held-out ones (at least one)."""
        hits = np.isin(ranked, relevant)
        row = {"mrr": reciprocal_rank(hits)}
        for k in self.ks:
            row[f"recall@{k}"] = recall_at(hits, len(relevant), k)
            row[f"ndcg@{k}"] = ndcg_at(hits, len(relevant), k)
            row[f"hit_rate@{k}"] = float(hits[:k].any())
            shown = self._shown.setdefault(k, np.zeros(self.songs))
            shown[ranked[:k]] += 1
            share = np.maximum(self.listeners_of[ranked[:k]], 1) / max(self.users, 1)
            row[f"novelty@{k}"] = float(-np.log2(share).mean()) if len(share) else 0.0
        self.rows.append(row)

    def values(self, metric: str) -> Array:
        """The metric of every listener, in the order they were added."""
        return np.array([row[metric] for row in self.rows])

    def means(self) -> dict[str, float]:
        """Mean of every metric over the listeners, and coverage and gini over all lists."""
        if not self.rows:
            return {}
        means = {name: float(self.values(name).mean()) for name in self.rows[0]}
        for k in self.ks:
            shown = self._shown[k]
            means[f"coverage@{k}"] = float((shown > 0).mean())
            means[f"gini@{k}"] = gini(shown)
        return dict(sorted(means.items()))
