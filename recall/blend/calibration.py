"""The chance that a listener likes a candidate, from the scores of its channel.

Scores of different channels are not comparable. The chance is fitted by isotonic regression on the score itself, on its
share of the channel's best score, or on its rank: the one of the three with the lowest log loss on held-out listeners.
Source: Zadrozny and Elkan 2002, Transforming classifier scores into accurate multiclass probability estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from graph.snapshot.arrays import Array

KINDS: Final = ("score", "share", "rank")
LEAST_HITS: Final = 30
"""Relevant candidates below which a channel has no calibration."""
_KNOTS: Final = 64


@dataclass(frozen=True)
class Calibration:
    """The chance (K,) at each of K knots (K,) of the value that `kind` names, linear in between; both ascend."""

    kind: str
    knots: Array
    chance: Array

    def __call__(self, scores: Array) -> Array:
        """(C,) the chance that each candidate is liked, from a channel's scores (C,), the best first."""
        return np.asarray(np.interp(_value(self.kind, scores), self.knots, self.chance))

    @classmethod
    def fit(cls, lists: Sequence[tuple[Array, Array]]) -> Calibration | None:
        """From (scores, whether each candidate was liked) of each listener; None where too few were."""
        if sum(int(hits.sum()) for _, hits in lists) < LEAST_HITS:
            return None
        halves = lists[::2], lists[1::2]

        def loss(kind: str) -> float:
            crossed = ((halves[0], halves[1]), (halves[1], halves[0]))
            return sum(_log_loss(cls._of(kind, learned), tested) for learned, tested in crossed)

        return cls._of(min(KINDS, key=loss), lists)

    @classmethod
    def _of(cls, kind: str, lists: Sequence[tuple[Array, Array]]) -> Calibration:
        from scipy.optimize import isotonic_regression

        values = np.concatenate([_value(kind, scores) for scores, _ in lists] or [np.zeros(1)])
        hits = np.concatenate([hits for _, hits in lists] or [np.zeros(1)]).astype(np.float64)
        # equal values are one point: they cannot be told apart
        points, place = np.unique(values, return_inverse=True)
        weights = np.bincount(place).astype(np.float64)
        means = np.bincount(place, hits) / weights
        ascending = np.asarray(isotonic_regression(means, weights=weights).x)
        kept = np.unique(np.linspace(0, len(points) - 1, min(_KNOTS, len(points))).round().astype(np.int64))
        return cls(kind, points[kept], ascending[kept])


def _value(kind: str, scores: Array) -> Array:
    if kind == "rank":
        return np.asarray(-np.log2(1.0 + np.arange(len(scores))))
    if kind == "share" and len(scores):
        return np.asarray(scores / max(float(np.abs(scores).max()), 1e-12))
    return np.asarray(scores, dtype=np.float64)


def _log_loss(calibration: Calibration, lists: Sequence[tuple[Array, Array]]) -> float:
    """Nats over all candidates."""
    total = 0.0
    for scores, hits in lists:
        chance = np.clip(calibration(scores), 1e-6, 1 - 1e-6)
        total -= float(np.log(np.where(hits, chance, 1 - chance)).sum())
    return total
