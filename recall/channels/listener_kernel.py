"""Songs that listeners like this one like, over every path of the graph at once: a ridge on a listener kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from scipy import sparse

from embeddings.vectors.attributes import popularity, propagate, song_matrices
from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.snapshot import Snapshot
from recall.base import UNTIL_CHANGED, Candidates, Query
from recall.by_interest import for_each
from recall.channels.ease import EaseConfig, regression
from recall.grouped import isin_sorted, sorted_unique, sum_by_key
from recall.item_lists.neighbours import Neighbours
from recall.linear import matrices
from recall.linear.listener_kernel import ListenerRidge, paths
from recall.listeners.listener import Listener

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
    """How similar listeners are, and how their songs are scored.

    Raises: ValueError for a number out of range.
    """

    gamma: Mapping[str, float] = field(default_factory=_default_gamma)
    """Weight of each path (relations joined by "/"), 0 or more; 0 where a path is not named."""
    sharp: float = 2.0
    """How much more the most similar listeners say, 0 to 100; 0 for no more."""
    ridge: float = 1.4
    """The ridge, in units of a listener's similarity to himself, above 0."""
    beta: float = 0.15
    """Power of the degree of a song or an attribute by which it says less, 0 to 1."""
    by_strength: float = 1.0
    """From 0, every liked song counts alike, to 1, by its strength over the listener's mean."""
    tilt: float = 0.1
    """Power of a song's number of listeners by which it is proposed less, 0 to 1."""
    smooth: float = 0.3
    """How much of what a song's attributes explain of its scores counts again, 0 to 100."""
    smooth_ridge: float = 0.3
    """The ridge of that explanation, above 0."""
    items: float = 0.4
    """How much is added of what the regression of songs on songs says (the channel `ease`), 0 to 100."""
    hubs: float = 0.1
    """A song's scores are divided by its mean score over all listeners to this power, 0 to 1, so that songs which come
    up for everybody take fewer places."""
    kept: int = 300
    """Songs stored for each listener, and for each song for what happens after the refresh, 1 or more."""
    landmarks: int = 4096
    """Listeners beyond which as many, drawn at random, stand for all, 1 or more."""
    songs: int = 50_000
    """Songs that are proposed at most, the most heard ones, 1 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "ridge", "smooth_ridge", "kept", "landmarks", "songs")
        matrices.check_between(self, 0, 1, "beta", "by_strength", "tilt", "hubs")
        matrices.check_between(self, 0, 100, "sharp", "smooth", "items")
        matrices.check_gamma(self.gamma)


class ListenerKernel:
    """Scores of a kernel ridge regression on all other listeners, plus a regression on the listener's own songs.

    A song liked since the refresh adds what the linear kernel (`sharp` 0) predicts for one more song of a listener of
    mean history. A listener whom the release does not know is scored by these sums alone.

    Source: see `recall.linear.listener_kernel` and `recall.linear.ease`.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = UNTIL_CHANGED

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: ListenerKernelConfig,
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        popular = popularity(matrices.interaction_matrix(snapshot))
        songs = _most_heard(popular, config.songs)
        to = (1 / np.maximum(popular[songs], 1) ** config.tilt).astype(np.float32)
        said = _said(snapshot, config, songs)
        found = paths(snapshot, config.gamma, beta=config.beta, by_strength=config.by_strength)
        landmarks = np.arange(snapshot.users)
        if snapshot.users > config.landmarks:
            landmarks = np.sort(rng.choice(snapshot.users, config.landmarks, replace=False))

        def solved(sharp: float) -> ListenerRidge:
            targets = sparse.csr_array(matrices.interaction_matrix(snapshot, config.by_strength)[:, songs])
            ridge = ListenerRidge(found, landmarks, targets, config.ridge, sharp)
            ridge.weights = _propagated(snapshot, ridge.weights, config, songs) * to
            return ridge

        kept, scores = _unheard(snapshot, solved(config.sharp), config, songs, said)
        write_arrays(folder / "lists", {"songs": np.where(kept >= 0, songs[kept], -1), "scores": scores})
        linear_in_songs = solved(0.0)

        def adds(block: slice) -> Array:
            whole = np.zeros((block.stop - block.start, snapshot.songs), dtype=np.float32)
            whole[:, songs] = linear_in_songs.by_song(snapshot, block) + said[block].toarray()
            return whole

        matrices.nearest(snapshot.songs, config.kept, adds).save(folder / "neighbours")

    def __init__(self, release: Release, config: ListenerKernelConfig = ListenerKernelConfig()) -> None:
        self._config = config
        lists, _ = release.arrays("recall/listener_kernel/lists")
        self._songs, self._scores = lists["songs"], lists["scores"]
        self._neighbours = Neighbours.load(release, "recall/listener_kernel/neighbours")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        listener = query.listener
        songs, weights = matrices.interaction_row(listener, query.at, _NEW, self._config.by_strength)
        known = listener.user >= 0 and listener.user < len(self._songs)
        if known:
            histories = listener.snapshot.histories
            before = listener.once("heard_before", lambda: sorted_unique(histories.song[histories.of(listener.user)]))
            new = ~isin_sorted(songs, before)
            songs, weights = songs[new], weights[new]
        found, scores = matrices.sums(self._neighbours, songs, weights)
        if known:
            kept = self._songs[listener.user] >= 0
            mine = self._songs[listener.user][kept], self._scores[listener.user][kept]
            found, scores = sum_by_key(np.concatenate([mine[0], found]), np.concatenate([mine[1], scores]))
        if len(query.interests) > 1:
            found, scores = found[scores > 0], scores[scores > 0]
            first_seen = query.listener.snapshot.histories.first_seen
            return for_each(found, scores, query.interest_of(found), query, k, first_seen)
        return Candidates.of_songs(found, scores, query, k)


def _most_heard(popular: Array, most: int) -> Array:
    """Positions of the songs with the most listeners, ascending; all of them where there are no more than `most`."""
    return np.sort(np.argsort(-popular, kind="stable")[:most]).astype(np.int32)


def _unheard(
    snapshot: Snapshot, solved: ListenerRidge, config: ListenerKernelConfig, songs: Array, said: sparse.csr_array
) -> tuple[Array, Array]:
    """The best of the proposed songs for each listener, but for those heard: their places in `songs` and scores."""
    likes, strong = (
        matrices.interaction_matrix(snapshot)[:, songs],
        matrices.interaction_matrix(snapshot, _items(config).by_strength),
    )

    def plain(block: slice) -> Array:
        scores: Array = solved.likeness(block) @ solved.weights + (strong[block] @ said).toarray()
        return scores

    rarer = _against_hubs(plain, snapshot.users, len(songs), config.hubs)

    def scored(block: slice) -> Array:
        scores = plain(block) * rarer
        heard = sparse.csr_array(likes[block])
        scores[np.repeat(np.arange(len(scores)), np.diff(heard.indptr)), heard.indices] = 0
        return scores

    return matrices.best_of_rows(snapshot.users, len(songs), config.kept, scored)


def _against_hubs(scored: Callable[[slice], Array], users: int, songs: int, power: float) -> Array:
    """(S,) what each song's scores are multiplied by: its mean positive score, over that of all, to the power -`power`.

    A song that is scored low for everybody is not raised above twice its score.
    Source: hubs among nearest neighbours, Radovanović et al. 2010, JMLR 11.
    """
    if not power or not users or not songs:
        return np.ones(songs, dtype=np.float32)
    means = np.zeros(songs)
    for block in matrices.blocks(users):
        means += np.maximum(scored(block), 0).sum(axis=0)
    share = means / max(float(means.mean()), 1e-12)
    return np.minimum(np.maximum(share, 1e-12) ** -power, 2.0).astype(np.float32)


def _propagated(snapshot: Snapshot, weights: Array, config: ListenerKernelConfig, songs: Array) -> Array:
    """Weights (M, S), smoothed over the attributes in which paths end."""
    told = list(song_matrices(snapshot, dict.fromkeys(_lasts(config), 1.0)).values())
    if not told:
        return weights
    attributes = sparse.csr_array(sparse.hstack(told, format="csr"))[songs]
    return propagate(weights, sparse.csr_array(attributes), config.smooth, config.smooth_ridge)


def _lasts(config: ListenerKernelConfig) -> set[str]:
    """The relations in which paths end."""
    return {name.rsplit("/", 1)[-1] for name, value in config.gamma.items() if value > 0}


def _items(config: ListenerKernelConfig) -> EaseConfig:
    """The regression of songs on songs, by no relation or play count that the paths do without."""
    usual = EaseConfig()
    gamma = {name: value for name, value in usual.gamma.items() if name in _lasts(config)}
    strength = usual.by_strength * config.by_strength
    return replace(usual, gamma=gamma, by_strength=strength, tilt=config.tilt, neighbours=config.kept)


def _said(snapshot: Snapshot, config: ListenerKernelConfig, songs: Array) -> sparse.csr_array:
    """Sparse (songs, S): what each song says of the S that are proposed, times `items`."""
    nothing = Neighbours(np.full((len(songs), 1), -1), np.zeros((len(songs), 1), dtype=np.float32))
    near = regression(snapshot, _items(config), songs) if config.items else nothing
    known = near.songs >= 0
    of = songs[np.repeat(np.arange(len(songs)), known.sum(axis=1))]
    weights = near.weights[known] * np.float32(config.items)
    return sparse.csr_array((weights, (of, near.songs[known])), shape=(snapshot.songs, len(songs)))
