"""Learning a linear order from lists: in each, what was loved above what was not."""

from __future__ import annotations

import numpy as np

from graph.errors import FitError
from graph.snapshot.arrays import Array


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
    features: Array, labels: Array, groups: Array, l2: float, iterations: int = 200
) -> tuple[Array, Array, Array]:
    """(mean, scale, weights), (F,) each: the order by weights . (features - mean) / scale that minimises `listwise`
    plus l2 x |weights|^2. A convex problem: every start leads to the same weights.

    Shapes: N songs in G lists; features (N, F), labels (N,), groups (G + 1,).
    Raises: FitError if there is no list, or the weights are not finite.
    """
    from scipy.optimize import minimize

    if len(groups) < 2:
        raise FitError("the ranker has nothing to learn from: no list holds a song that was loved afterwards")
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    normal = (features - mean) / scale

    def objective(weights: Array) -> tuple[float, Array]:
        loss, gradient = listwise(normal @ weights, labels, groups)
        return loss + l2 * float(weights @ weights), normal.T @ gradient + 2 * l2 * weights

    start = np.zeros(features.shape[1])
    weights = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations}).x
    if not np.isfinite(weights).all():
        raise FitError("the ranker ended with weights that are not finite")
    return mean, scale, weights
