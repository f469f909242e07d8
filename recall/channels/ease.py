"""Songs that follow from what a listener likes by a ridge regression of every song on all others: EASE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from embeddings.vectors.attributes import popularity
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.item_lists.neighbours import Neighbours
from recall.linear import matrices
from recall.linear.ease import exact, sparse_form
from recall.listeners.listener import Listener


@dataclass(frozen=True)
class EaseConfig:
    """How songs are regressed on songs.

    Raises: ValueError for a number out of range.
    """

    gamma: Mapping[str, float] = field(default_factory=lambda: {"HAS_TAG": 10.0})
    """Weight of each relation of the side graph, by its name, 0 or more; 0 where a relation is not named."""
    ridge: float = 130.0
    """The ridge, above 0: the higher, the less noise is fitted."""
    beta: float = 0.2
    """Power of a song's number of listeners by which it says less, 0 to 1."""
    tilt: float = 0.1
    """Power of a song's number of listeners by which it is proposed less, 0 to 1."""
    by_strength: float = 0.8
    """From 0, every liked song counts alike, to 1, by its strength over the listener's mean."""
    neighbours: int = 500
    """Neighbours of each song that are kept, 1 or more."""
    dense: int = 20_000
    """Songs up to which the solution is exact. Beyond, a song's regression sees the `neighbours` most similar to it."""
    loves: int = 200
    """The listener's favourite songs that are asked, 1 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "ridge", "neighbours", "dense", "loves")
        matrices.check_between(self, 0, 1, "beta", "tilt", "by_strength")
        matrices.check_gamma(self.gamma)


def regression(snapshot: Snapshot, config: EaseConfig, songs: Array) -> Neighbours:
    """What each of `songs` (S,), ascending, says of the others, as `Neighbours` by index in `songs`.

    Raises: FitError.
    """
    likes = matrices.interaction_matrix(snapshot, config.by_strength)
    popular = popularity(likes)[songs]
    matrix, scale = matrices.degree_normalised(likes, config.beta)
    rows = sparse.csr_array(matrices.stacked(snapshot, matrix, config.gamma)[:, songs])
    # weights between damped columns, told in plain ones, and more listeners proposed less
    of, to = scale[songs], 1 / (scale[songs] * np.maximum(popular, 1) ** config.tilt)
    solved = (
        exact(rows, config.ridge)
        if len(songs) <= config.dense
        else sparse_form(rows, config.ridge, config.neighbours).__getitem__
    )

    def weights(block: slice) -> Any:
        found = solved(block)
        if isinstance(found, np.ndarray):
            return found * of[block, None] * to
        return sparse.csr_array(sparse.diags_array(of[block]) @ found @ sparse.diags_array(to))

    return matrices.nearest(len(songs), config.neighbours, weights, signed=True)


class Ease:
    """What a linear sum of the other songs says, the best that there is; the sum over what the listener likes.

    Source: Steck 2019, Embarrassingly shallow autoencoders for sparse data, arXiv 1905.03375.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: EaseConfig,
        folder: Path,
        *,
        rng: np.random.Generator,  # noqa: ARG003
    ) -> None:
        regression(snapshot, config, np.arange(snapshot.songs)).save(folder / "neighbours")

    def __init__(self, release: Release, config: EaseConfig = EaseConfig()) -> None:
        self._config = config
        self._neighbours = Neighbours.load(release, "recall/ease/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        songs, weights = matrices.interaction_row(
            query.listener, query.at, self._config.loves, self._config.by_strength
        )
        return matrices.answer(self._neighbours, query, songs, weights, k)
