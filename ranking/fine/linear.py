"""A light learned ranker: one weight for each feature, fitted to put what was loved above what was not.

It starts from the order of the merged pool: weights are held to those that keep it, and move away from them only as far
as the number of lists allows. Few lists say little about forty features; held to 0 instead, what they seem to say costs
more than it gives (`docs/decisions/0021`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from recall.blend.listwise import fit_listwise


@dataclass(frozen=True)
class LinearConfig:
    """How the weights are fitted.

    Raises: ValueError for a number out of range.
    """

    l2: float = 100.0
    """How firmly the weights are held to the order of the merged pool, 0 or more: l2 / lists x the squared distance
    from its weights, beside the mean loss of a list in nats."""
    iterations: int = 200
    """Steps of L-BFGS, at most."""

    def __post_init__(self) -> None:
        check_positive(self, "iterations")
        if not 0 <= self.l2 < float("inf"):
            raise ValueError(f"l2 must be at least 0 (got {self.l2})")


_POOL: Final = "fused"
"""The feature whose order is that of the merged pool."""


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
        rng: np.random.Generator,  # noqa: ARG003  it needs no start
    ) -> Linear:
        """Minimise `listwise` plus l2 / G x |weights - those of the merged pool's order|^2; without the feature "fused"
        those are 0.

        Shapes: N songs in G lists; features (N, F), labels (N,), groups (G + 1,).
        Raises: FitError if no list has a positive, or the weights are not finite.
        """
        l2 = config.l2 / max(len(groups) - 1, 1)
        around = list(names).index(_POOL) if _POOL in names else None
        return cls(names, *fit_listwise(features, labels, groups, l2, config.iterations, around=around))

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
