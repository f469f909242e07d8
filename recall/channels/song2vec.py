"""Songs near the listener in the space of Song2Vec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from embeddings.vectors.vectors import SongVectors
from graph.release import Release
from graph.snapshot.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.index.nearest_songs import near
from recall.index.vector_index import VectorIndex
from recall.listeners.listener import Listener


@dataclass(frozen=True)
class Song2VecConfig:
    """`loves` is how many of the listener's favourite songs make the vector."""

    loves: int = 100


class Song2Vec:
    """Songs nearest to the weighted mean of what the listener loves."""

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    vectors: ClassVar[tuple[str, ...]] = ("song2vec",)

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,  # noqa: ARG003
        vectors: Mapping[str, SongVectors],
        config: Song2VecConfig,  # noqa: ARG003
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        index = VectorIndex.build(vectors["song2vec"].unit, seed=int(rng.integers(2**31)))
        if index.kind != "exact":  # which needs nothing but the vectors
            index.save(folder / "index")

    def __init__(self, release: Release, config: Song2VecConfig = Song2VecConfig()) -> None:
        self._config = config
        self._vectors = SongVectors.load(release, "song2vec")
        self._index = VectorIndex.of(release, "recall/song2vec/index", self._vectors.unit)

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        songs, weights = query.listener.loves(query.at, self._config.loves)
        return near(self._index, weights @ self._vectors.unit[songs], query, k)
