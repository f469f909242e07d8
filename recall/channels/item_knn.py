"""Songs with the same listeners as those a listener loves: item-kNN on the interaction graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy import sparse

from embeddings.vectors.model_vectors import ModelVectors
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.causes import BESIDE, Cause, near_songs
from recall.item_lists.neighbours import Neighbours
from recall.linear.cosine import nearest_by_listeners
from recall.listeners.listener import Listener


@dataclass(frozen=True)
class ItemKnnConfig:
    """How songs with common listeners are found."""

    neighbours: int = 100
    """Neighbours of each song that are kept, 1 or more."""
    shrink: float = 10.0
    """Pulls the cosine of songs with few listeners towards 0, 0 or more."""
    loves: int = 200
    """The listener's favourite songs that are asked, 1 or more."""


class ItemKnn:
    """Cosine of the listeners of two songs, summed over what the listener loves.

    Source: Deshpande and Karypis 2004, Item-based top-N recommendation algorithms.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: ItemKnnConfig,
        folder: Path,
        *,
        rng: np.random.Generator,  # noqa: ARG003
    ) -> None:
        listened = snapshot.relation("LISTENED")
        shape = (listened.sources, listened.targets)
        ones = np.ones(len(listened), dtype=np.float32)
        matrix = sparse.csr_array((ones, listened.indices, listened.indptr), shape=shape)
        nearest_by_listeners(matrix, config.neighbours, config.shrink).save(folder / "neighbours")

    def __init__(self, release: Release, config: ItemKnnConfig = ItemKnnConfig()) -> None:
        self._config = config
        self._neighbours = Neighbours.load(release, "recall/item_knn/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        songs, weights = query.listener.top_songs(query.at, self._config.loves)
        return self._neighbours.recall(query, songs, weights, k)

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """The top song that shares most listeners with each of these."""
        seeds, weights = query.listener.top_songs(query.at, self._config.loves)
        return near_songs(BESIDE, self._neighbours.because(seeds, weights, songs))
