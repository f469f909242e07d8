"""What all listeners like, as matrices that several channels read; computed once for each view of a snapshot."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME, strengths
from graph.snapshot.snapshot import Snapshot
from recall.decay import HALF_LIFE_MS, decay
from recall.once import once


def event_weights(snapshot: Snapshot, half_life_ms: float) -> Array:
    """(E,) what each event says about liking its song, decayed to the newest event that the view sees."""
    histories = snapshot.histories
    return strengths(histories.action, histories.count) * decay(histories.at, snapshot.as_of, half_life_ms)


def liking_matrix(snapshot: Snapshot) -> sparse.csr_array:
    """Sparse (users, songs), a new one at each call: the decayed sum of what each listener's events say of a song,
    where it is above 0."""
    histories = snapshot.histories
    weights = event_weights(snapshot, HALF_LIFE_MS)
    shape = (histories.users, histories.songs)
    matrix = sparse.csr_array((weights, (histories.user, histories.song)), shape=shape)
    matrix.sum_duplicates()
    matrix.data = np.maximum(matrix.data, 0)
    matrix.eliminate_zeros()
    return matrix


def preference_matrix(snapshot: Snapshot) -> sparse.csr_array:
    """Sparse (users, songs): the positive decayed preferences of each listener, each row scaled to a maximum of 1."""

    def compute() -> sparse.csr_array:
        matrix = liking_matrix(snapshot)
        largest = np.maximum(matrix.max(axis=1).toarray().ravel(), 1e-12)
        matrix.data /= np.repeat(largest, np.diff(matrix.indptr))
        return matrix

    return once(snapshot, "preference_matrix", compute)


def listeners(snapshot: Snapshot) -> Array:
    """(songs,) how many listeners each song has had."""
    return once(snapshot, "listeners", lambda: np.diff(snapshot.relation("LISTENED").reverse_indptr))


def artist_of(snapshot: Snapshot) -> Array:
    """(songs,) position of an artist of each song, -1 where none is known; of several, the last."""

    def compute() -> Array:
        performed = snapshot.relation("PERFORMED_BY")
        artist = np.full(snapshot.songs, -1, dtype=np.int64)
        artist[performed.edge_sources] = performed.indices
        return artist

    return once(snapshot, "artist", compute)


def decayed(snapshot: Snapshot, half_life_ms: float) -> Array:
    """(songs,) plays and other signs of liking, halved every half-life; events without a time are left out."""

    def compute() -> Array:
        timed = snapshot.histories.at != UNKNOWN_TIME
        weights = np.maximum(event_weights(snapshot, half_life_ms), 0) * timed
        return np.bincount(snapshot.histories.song, weights=weights, minlength=snapshot.songs)

    return once(snapshot, f"decayed:{half_life_ms}", compute)
