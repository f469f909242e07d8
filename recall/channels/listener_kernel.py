"""Songs that listeners like this one like, over every path of the graph at once: a ridge on a listener kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from scipy import sparse

from embeddings.vectors import SongVectors
from graph.arrays import Array, write_arrays
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot import Snapshot
from recall import linear
from recall.base import Candidates, Query
from recall.grouped import added
from recall.linear_kernel import ListenerRidge, paths, smoothed
from recall.listener import Listener
from recall.neighbours import Neighbours

_NEW: Final = 200
"""Songs since the refresh that are asked, the most loved."""


def _default_gamma() -> dict[str, float]:
    return {
        "LISTENED": 1.0,
        "LISTENED/LISTENED": 0.35,
        "LISTENED/HAS_TAG": 4.0,
        "LISTENED/PERFORMED_BY": 0.1,
        "FOLLOWS": 0.6,
        "FOLLOWS/FOLLOWS": 0.06,
        "FOLLOWS/LISTENED": 0.2,
        "FOLLOWS/FOLLOWS/LISTENED": 0.35,
        "FOLLOWS/LISTENED/HAS_TAG": 0.2,
    }


@dataclass(frozen=True)
class ListenerKernelConfig:
    """`gamma` of each path (relations joined by "/"); `ridge` in units of a listener's likeness to himself; `beta`: how
    much a song or an attribute of high degree says less; `by_strength`: from 0, every liked song counts alike, to 1, by
    its strength over the listener's mean; `tilt`: how much a song with many listeners is proposed less; `smooth`: how
    much of what a song's attributes explain counts again, and the ridge of that, `smooth_ridge`.

    `kept` songs of each listener are stored, and of each song, for what happens after the refresh. With more listeners
    than `landmarks` as many drawn at random stand for all; of more than `songs` songs the most heard are proposed.

    Raises: ValueError for a number out of range.
    """

    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    ridge: float = 1.5
    beta: float = 0.15
    by_strength: float = 1.0
    tilt: float = 0.1
    smooth: float = 0.3
    smooth_ridge: float = 0.3
    kept: int = 300
    landmarks: int = 4096
    songs: int = 50_000

    def __post_init__(self) -> None:
        check_positive(self, "ridge", "smooth_ridge", "kept", "landmarks", "songs")
        linear.check_between(self, 0, 1, "beta", "by_strength", "tilt")
        linear.check_between(self, 0, 100, "smooth")
        linear.check_gamma(self.gamma)


class ListenerKernel:
    """What a regression on likeness to all other listeners says; songs loved since the refresh add what one more song
    adds to a listener of mean history, and somebody unknown is the sum of that alone.

    Source: see `recall.linear_kernel`.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, SongVectors],  # noqa: ARG003
        config: ListenerKernelConfig,
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        solved, popular = _solved(snapshot, config, rng)
        songs = _most_heard(popular, config.songs)
        to = (1 / np.maximum(popular[songs], 1) ** config.tilt).astype(np.float32)
        solved.weights *= to
        likes = linear.tastes(snapshot)[:, songs]

        def unheard(block: slice) -> Array:
            scores = solved.likeness(block) @ solved.weights
            heard = sparse.csr_array(likes[block])
            scores[np.repeat(np.arange(len(scores)), np.diff(heard.indptr)), heard.indices] = 0
            return scores

        found, scores = linear.best_of_rows(snapshot.users, len(songs), config.kept, unheard)
        write_arrays(folder / "lists", {"songs": np.where(found >= 0, songs[found], -1), "scores": scores})

        def adds(block: slice) -> Array:
            whole = np.zeros((block.stop - block.start, snapshot.songs), dtype=np.float32)
            whole[:, songs] = solved.by_song(snapshot, block)
            return whole

        linear.nearest(snapshot.songs, config.kept, adds).save(folder / "neighbours")

    def __init__(self, release: Release, config: ListenerKernelConfig = ListenerKernelConfig()) -> None:
        self._config = config
        lists, _ = release.arrays("recall/listener_kernel/lists")
        self._songs, self._scores = lists["songs"], lists["scores"]
        self._neighbours = Neighbours.load(release, "recall/listener_kernel/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        listener = query.listener
        songs, weights = linear.taste(listener, query.at, _NEW, self._config.by_strength)
        known = listener.user >= 0 and listener.user < len(self._songs)
        if known:
            histories = listener.snapshot.histories
            new = ~np.isin(songs, histories.song[histories.of(listener.user)])
            songs, weights = songs[new], weights[new]
        found, scores = linear.sums(self._neighbours, songs, weights)
        if known:
            kept = self._songs[listener.user] >= 0
            mine = self._songs[listener.user][kept], self._scores[listener.user][kept]
            found, scores = added(np.concatenate([mine[0], found]), np.concatenate([mine[1], scores]))
        return Candidates.of_songs(found, scores, query, k)


def _most_heard(popular: Array, most: int) -> Array:
    """Positions of the songs with the most listeners, rising; all of them where there are no more than `most`."""
    return np.sort(np.argsort(-popular, kind="stable")[:most]).astype(np.int32)


def _solved(snapshot: Snapshot, config: ListenerKernelConfig, rng: np.random.Generator) -> tuple[ListenerRidge, Array]:
    """The regression on the songs that are proposed, smoothed, and how many listeners every song has."""
    targets = linear.tastes(snapshot, config.by_strength)
    popular = linear.popularity(targets)
    songs = _most_heard(popular, config.songs)
    found = paths(
        snapshot,
        config.gamma,
        beta=config.beta,
        by_strength=config.by_strength,
    )
    landmarks = np.arange(snapshot.users)
    if snapshot.users > config.landmarks:
        landmarks = np.sort(rng.choice(snapshot.users, config.landmarks, replace=False))
    solved = ListenerRidge(found, landmarks, sparse.csr_array(targets[:, songs]), config.ridge)
    lasts = {name.rsplit("/", 1)[-1]: 1.0 for name, value in config.gamma.items() if value > 0}
    if told := list(linear.song_matrices(snapshot, lasts).values()):
        attributes = sparse.csr_array(sparse.hstack(told, format="csr"))[songs]
        solved.weights = smoothed(solved.weights, sparse.csr_array(attributes), config.smooth, config.smooth_ridge)
    return solved, popular
