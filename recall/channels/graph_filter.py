"""Songs that remain when the noise in what a listener likes is filtered out over the graph: GF-CF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from embeddings.vectors.attributes import popularity
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.item_lists.neighbours import Neighbours
from recall.linear import matrices
from recall.listeners.listener import Listener


@dataclass(frozen=True)
class GraphFilterConfig:
    """How likes are filtered on the graph of songs.

    Raises: ValueError for a number out of range.
    """

    rank: int = 128
    """Singular vectors of the ideal low pass, 1 or more."""
    direct: float = 0.0
    """Weight of the plain filter, one step over common listeners, beside the low pass, 0 to 100."""
    gamma: Mapping[str, float] = field(default_factory=lambda: {"HAS_TAG": 0.0})
    """Weight of each relation of the side graph, by its name, 0 or more; 0 where a relation is not named."""
    beta: float = 0.3
    """Power of a song's number of listeners by which it says less, 0 to 1."""
    tilt: float = 0.1
    """Power of a song's number of listeners by which it is proposed less, 0 to 1."""
    neighbours: int = 300
    """Neighbours of each song that are kept, 1 or more."""
    dense: int = 20_000
    """Songs beyond which only pairs with a common listener or attribute are looked at."""
    loves: int = 200
    """The listener's favourite songs that are asked, 1 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "rank", "neighbours", "dense", "loves")
        matrices.check_between(self, 0, 1, "beta", "tilt")
        matrices.check_between(self, 0, 100, "direct")
        matrices.check_gamma(self.gamma)


class GraphFilter:
    """score = r D^-beta (V V' + direct R'R) D^beta, with R the rows of listeners and of the side graph, of degree 1,
    and V its leading right singular vectors: what varies slowly over the graph passes, the rest does not.

    Source: Shen et al. 2021, How powerful is graph convolution for recommendation?, arXiv 2108.07567.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: GraphFilterConfig,
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        likes = matrices.interaction_matrix(snapshot)
        popular = np.maximum(popularity(likes), 1)
        lengths = np.maximum(np.diff(likes.indptr), 1) ** -0.5
        normal = sparse.csr_array(sparse.diags_array(lengths.astype(np.float32)) @ likes)
        rows = matrices.stacked(snapshot, matrices.scaled(normal, popular**-config.beta), config.gamma)
        filtered = low_pass(rows, config.rank, config.direct, dense=snapshot.songs <= config.dense, rng=rng)
        of, to = popular**-config.beta, popular ** (config.beta - config.tilt)

        def weights(block: slice) -> Any:
            found = filtered(block)
            if isinstance(found, np.ndarray):
                return found * of[block, None] * to
            return sparse.csr_array(sparse.diags_array(of[block]) @ found @ sparse.diags_array(to))

        matrices.nearest(snapshot.songs, config.neighbours, weights).save(folder / "neighbours")

    def __init__(self, release: Release, config: GraphFilterConfig = GraphFilterConfig()) -> None:
        self._config = config
        self._neighbours = Neighbours.load(release, "recall/graph_filter/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        songs, weights = matrices.interaction_row(query.listener, query.at, self._config.loves)
        return matrices.answer(self._neighbours, query, songs, weights, k)


def low_pass(
    rows: sparse.csr_array, rank: int, direct: float, *, dense: bool, rng: np.random.Generator
) -> Callable[[slice], Any]:
    """Blocks of V V' + direct R'R, (B, songs): whole, or sparse at the pairs of songs with a common row."""
    vectors, by_song = leading(rows, rank, rng), sparse.csr_array(rows.T)

    def whole(block: slice) -> Array:
        return np.asarray(vectors[block] @ vectors.T + direct * (by_song[block] @ rows).toarray())

    def at_pairs(block: slice) -> sparse.csr_array:
        common = sparse.csr_array(by_song[block] @ rows)
        of = np.repeat(np.arange(block.start, block.stop), np.diff(common.indptr))
        for part in matrices.blocks(common.nnz, 1 << 20):
            passed = np.einsum("pd,pd->p", vectors[of[part]], vectors[common.indices[part]])
            common.data[part] = passed + direct * common.data[part]
        return common

    return whole if dense else at_pairs


def leading(rows: sparse.csr_array, rank: int, rng: np.random.Generator) -> Array:
    """(songs, rank) the leading right singular vectors of sparse (rows, songs), fewer where it has fewer."""
    most = min(rows.shape)
    if rank >= most - 1 or most < 64:
        _, values, right = np.linalg.svd(rows.toarray(), full_matrices=False)
        kept = values[:rank] > 1e-6 * max(float(values[0]), 1e-12)
        return np.ascontiguousarray(right[:rank][kept].T, dtype=np.float32)
    start = rng.standard_normal(most).astype(np.float32)
    _, _, right = svds(rows, k=rank, v0=start)
    return np.ascontiguousarray(right.T, dtype=np.float32)
