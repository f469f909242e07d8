"""Random walks of three steps from song to song: where somebody ends who walks back to a listener and on to a song.

A step follows an edge with the probability that its weight has among those of its node, to the power alpha. The side
graph gives other middles with their gamma: over a tag or an artist, or over a listener and on to somebody whom that
listener follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import sparse

from embeddings.vectors.attributes import popularity, song_matrices
from graph.snapshot.snapshot import Snapshot
from recall.item_lists.neighbours import Neighbours
from recall.linear import matrices


def arrivals(snapshot: Snapshot, alpha: float, gamma: Mapping[str, float]) -> Callable[[slice], sparse.csr_array]:
    """Blocks of rows (B, songs) of how likely a walk from each song ends at each."""
    likes = matrices.interaction_matrix(snapshot)
    back, on = _steps(sparse.csr_array(likes.T), alpha), _steps(likes, alpha)
    out, home = [back], [on]
    for name, matrix in song_matrices(snapshot, gamma).items():
        out.append(_steps(matrix, alpha) * np.float32(gamma[name]))
        home.append(_steps(sparse.csr_array(matrix.T), alpha))
    follows = matrices.follow_shares(snapshot) if gamma.get(matrices.FOLLOWS, 0.0) > 0 else None
    if follows is not None:
        out.append(back * np.float32(gamma[matrices.FOLLOWS]))
        home.append(sparse.csr_array(follows @ on))
    outward = sparse.csr_array(sparse.hstack(out, format="csr"))
    homeward = sparse.csr_array(sparse.vstack(home, format="csr"))
    return lambda rows: sparse.csr_array(outward[rows] @ homeward)


def walked(snapshot: Snapshot, alpha: float, beta: float, gamma: Mapping[str, float], count: int) -> Neighbours:
    """The `count` songs where walks from each song end most often, over their number of listeners^beta."""
    ends = arrivals(snapshot, alpha, gamma)
    tilt = np.maximum(popularity(matrices.interaction_matrix(snapshot)), 1) ** -beta
    return matrices.nearest(snapshot.songs, count, lambda rows: matrices.scaled(ends(rows), tilt))


def _steps(matrix: sparse.csr_array, alpha: float) -> sparse.csr_array:
    steps = matrices.shares(matrix)
    steps.data = np.asarray(steps.data**alpha, dtype=np.float32)
    return steps
