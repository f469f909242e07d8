"""Songs where a walk of three steps over listeners ends: P3alpha."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.snapshot import Snapshot
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.item_lists.neighbours import Neighbours
from recall.linear import matrices
from recall.linear.walks import walked
from recall.listeners.listener import Listener


@dataclass(frozen=True)
class P3alphaConfig:
    """How the walk goes.

    Raises: ValueError for a number out of range.
    """

    alpha: float = 1.2
    """Power of each step's probability, 0 to 5."""
    gamma: Mapping[str, float] = field(default_factory=lambda: {"HAS_TAG": 0.0, "FOLLOWS": 0.0})
    """Weight of each relation of the side graph, by its name, 0 or more; 0 where a relation is not named."""
    neighbours: int = 300
    """Neighbours of each song that are kept, 1 or more."""
    loves: int = 200
    """The listener's favourite songs that are asked, 1 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "neighbours", "loves")
        matrices.check_between(self, 0, 5, "alpha")
        matrices.check_gamma(self.gamma)


class P3alpha:
    """How likely a walk listener, song, listener, song ends at a song.

    Source: Cooper et al. 2014, Random walks in recommender systems, doi 10.1145/2567948.2579244.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: P3alphaConfig,
        folder: Path,
        *,
        rng: np.random.Generator,  # noqa: ARG003
    ) -> None:
        walked(snapshot, config.alpha, 0.0, config.gamma, config.neighbours).save(folder / "neighbours")

    def __init__(self, release: Release, config: P3alphaConfig = P3alphaConfig()) -> None:
        self._config = config
        self._neighbours = Neighbours.load(release, "recall/p3alpha/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        songs, weights = matrices.interaction_row(query.listener, query.at, self._config.loves)
        return matrices.answer(self._neighbours, query, songs, weights, k)
