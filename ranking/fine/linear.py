"""A light learned ranker: one weight for each feature, fitted to put what was loved above what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from recall.blend.listwise import fit_listwise


@dataclass(frozen=True)
class LinearConfig:
    """How the linear ranker is fitted."""

    l2: float = 0.01
    """Weight of the squared coefficients, 0 or more."""
    iterations: int = 200
    """Steps of L-BFGS at most, 1 or more."""


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
        """Minimise `listwise` plus l2 x |weights|^2.

        Shapes: N songs in G lists; features (N, F), labels (N,), groups (G + 1,).
        Raises: FitError if no list has a positive, or the weights are not finite.
        """
        return cls(names, *fit_listwise(features, labels, groups, config.l2, config.iterations))

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
