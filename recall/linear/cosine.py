"""Songs by the cosine of their listeners."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recall.item_lists.neighbours import Neighbours
from recall.linear.matrices import nearest


def nearest_by_listeners(matrix: sparse.csr_array, count: int, shrink: float) -> Neighbours:
    """The `count` nearest of each song, by cosine of the columns of a sparse (users, N) matrix.

    `shrink` pulls the cosine towards 0 where listeners are few.
    """
    norms = np.sqrt(matrix.power(2).sum(axis=0)) + 1e-12
    by_song = matrix.T.tocsr()

    def scores(rows: slice) -> sparse.csr_array:
        common = sparse.csr_array(by_song[rows] @ matrix)
        mine = np.repeat(norms[rows], np.diff(common.indptr))
        common.data = np.asarray(common.data / (mine * norms[common.indices] + shrink), dtype=np.float32)
        return common

    return nearest(matrix.shape[1], max(1, min(count, matrix.shape[1] - 1)), scores)
