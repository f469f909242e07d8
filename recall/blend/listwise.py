"""Learning a linear order from lists: in each, what was loved above what was not."""

from __future__ import annotations

from typing import Final

import numpy as np

from graph.errors import FitError
from graph.snapshot.arrays import Array

_BARELY: Final = 1e-4
"""So little that it only keeps a weight finite."""


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


def fit_listwise(
    features: Array, labels: Array, groups: Array, l2: float, iterations: int = 200, *, around: int | None = None
) -> tuple[Array, Array, Array]:
    """(mean, scale, weights), (F,) each: the order by weights . (features - mean) / scale that minimises `listwise`
    plus l2 x |weights - centre|^2. A convex problem: every start leads to the same weights.

    The centre is 0, or, `around` a feature, that feature alone with the weight that is best for it.

    Shapes: N songs in G lists; features (N, F), labels (N,), groups (G + 1,).
    Raises: FitError if there is no list, or the weights are not finite.
    """
    if len(groups) < 2:
        raise FitError("the ranker has nothing to learn from: no list holds a song that was loved afterwards")
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    normal = (features - mean) / scale
    centre = np.zeros(features.shape[1])
    if around is not None:
        alone = _minimised(normal[:, [around]], labels, groups, _BARELY, np.zeros(1), iterations)
        centre[around] = max(float(alone[0]), 0.0)
    weights = _minimised(normal, labels, groups, l2, centre, iterations)
    if not np.isfinite(weights).all():
        raise FitError("the ranker ended with weights that are not finite")
    return mean, scale, weights


def _minimised(normal: Array, labels: Array, groups: Array, l2: float, centre: Array, iterations: int) -> Array:
    """Weights (F,) of the least `listwise` loss plus l2 x |weights - centre|^2."""
    from scipy.optimize import minimize

    def objective(weights: Array) -> tuple[float, Array]:
        loss, gradient = listwise(normal @ weights, labels, groups)
        away = weights - centre
        return loss + l2 * float(away @ away), normal.T @ gradient + 2 * l2 * away

    found = minimize(objective, centre, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    return np.asarray(found.x)
