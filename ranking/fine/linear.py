"""A light learned ranker: one weight for each feature, fitted to put what was loved above what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from graph.arrays import Array, write_arrays
from graph.errors import FitError
from graph.release import Release


@dataclass(frozen=True)
class LinearConfig:
    """`l2` is the weight of the squared coefficients; `iterations` bounds L-BFGS."""

    l2: float = 0.01
    iterations: int = 200


def listwise(scores: Array, labels: Array, groups: Array) -> tuple[float, Array]:
    """Softmax cross-entropy of each list against its positives, and its gradient by the scores.

    Shapes: scores (N,), labels (N,) of 0 and 1, groups (G + 1,) where the lists begin and end, none of them empty or
    without a positive -> (), (N,).
    Units: nats, mean over lists and over the positives of a list; repeating the lists leaves it unchanged.
    Source: Cao et al. 2007, Learning to rank: from pairwise approach to listwise approach.
    """
    lengths, starts = np.diff(groups), groups[:-1]
    shifted = scores - np.repeat(np.maximum.reduceat(scores, starts), lengths)
    exponentials = np.exp(shifted)
    totals = np.add.reduceat(exponentials, starts)
    wanted = labels / np.repeat(np.add.reduceat(labels, starts), lengths)
    losses = np.log(totals) - np.add.reduceat(wanted * shifted, starts)
    gradient = exponentials / np.repeat(totals, lengths) - wanted
    return float(losses.mean()), gradient / len(losses)


class Linear:
    """score = weights . (features - mean) / scale."""

    def __init__(self, names: Sequence[str], mean: Array, scale: Array, weights: Array) -> None:
        self.names, self.mean, self.scale, self.weights = tuple(names), mean, scale, weights
        self._folded = weights / scale

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        features: Array,
        labels: Array,
        groups: Array,
        config: LinearConfig,
        *,
        rng: np.random.Generator,  # noqa: ARG003  a convex problem: every start leads to the same weights
    ) -> Linear:
        """Minimise `listwise` plus l2 x |weights|^2.

        Shapes: N songs in G lists; features (N, F), labels (N,), groups (G + 1,).
        Raises: FitError if no list has a positive, or the weights are not finite.
        """
        if len(groups) < 2:
            raise FitError("the ranker has nothing to learn from: no list holds a song that was loved afterwards")
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        normal = (features - mean) / scale

        def objective(weights: Array) -> tuple[float, Array]:
            loss, gradient = listwise(normal @ weights, labels, groups)
            return loss + config.l2 * float(weights @ weights), normal.T @ gradient + 2 * config.l2 * weights

        start = np.zeros(features.shape[1])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": config.iterations})
        if not np.isfinite(found.x).all():
            raise FitError("the ranker ended with weights that are not finite")
        return cls(names, mean, scale, found.x)

    def score(self, features: Array) -> Array:
        """(P, F) -> (P,), higher is better."""
        return np.asarray((features - self.mean) @ self._folded)

    def save(self, path: Path) -> None:
        arrays = {"mean": self.mean, "scale": self.scale, "weights": self.weights}
        write_arrays(path, arrays, {"names": list(self.names)})

    @classmethod
    def load(cls, release: Release, name: str) -> Linear:
        """The ranker stored under `name`.

        Raises: CorruptRelease if there is none.
        """
        arrays, meta = release.arrays(name)
        return cls(meta["names"], arrays["mean"], arrays["scale"], arrays["weights"])
