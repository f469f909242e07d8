"""Songs that the listener comes back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.durations import DAY_MS, HOUR_MS
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.histories import CODE, STRENGTH_BY_CODE, UNKNOWN_TIME
from graph.snapshot.snapshot import Snapshot
from recall.base import Candidates, Query
from recall.blend.listwise import fit_listwise
from recall.listeners.listener import Listener

_TASTE: Final = 30
_SHARP: Final = 6.0
_KEPT: Final = tuple(CODE[action] for action in ("collect", "like", "playlist_add", "download"))
FEATURES: Final = ("activation", "frequency", "strength", "due", "since", "kept", "near", "taste")
"""What is looked at; see `features`."""


@dataclass(frozen=True)
class AgainConfig:
    """How coming back to a song is learned.

    Raises: ValueError for a number out of range.
    """

    forgetting: float = 0.5
    """How fast a play fades, above 0: it counts by its age in hours to the power of minus this."""
    days: int = 21
    """Newest days whose comebacks the weights of the features are fitted on, 1 or more."""
    listeners: int = 500
    """Listeners of each of these days at most, 1 or more."""
    l2: float = 1e-3
    """Weight of the squared coefficients, above 0, which keeps them small."""

    def __post_init__(self) -> None:
        check_positive(self, "forgetting", "days", "listeners", "l2")


class Again:
    """The listener's own songs, by how likely each is to be played next.

    A linear model over what a count and an interval say of each song: how often and how lately it was played
    (base-level activation: the logarithm of the sum over its plays of age^-forgetting), how much it was loved, whether
    the time since its last play has come near its usual interval, whether it was kept, and how near it lies to what was
    just heard. A scene that never plays a heard song again gets nothing from it.

    Source: Anderson et al. 2004 (ACT-R, base-level activation); Reiter-Haas et al. 2021, Predicting music relistening
    behavior using the ACT-R framework.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    vectors: ClassVar[tuple[str, ...]] = ("song2vec",)

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],
        config: AgainConfig,
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        rows, labels, groups = _examples(snapshot, vectors["song2vec"].unit, config, rng)
        if len(groups) > 1:
            mean, scale, weights = fit_listwise(rows, labels, groups, config.l2)
        else:  # nobody came back to anything yet: by activation
            mean, scale, weights = np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.eye(len(FEATURES))[0]
        write_arrays(folder / "weights", {"mean": mean, "scale": scale, "weights": weights})

    def __init__(self, release: Release, config: AgainConfig = AgainConfig()) -> None:
        self._config = config
        self._unit = ModelVectors.load(release, "song2vec").unit
        self._arrays, _ = release.arrays("recall/again/weights")

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        songs = query.listener.heard
        songs = songs[query.permits(songs)]
        if not len(songs):
            return Candidates.none()
        found = features(query.listener, songs, query.at, self._unit, self._config.forgetting)
        scores = ((found - self._arrays["mean"]) / self._arrays["scale"]) @ self._arrays["weights"]
        return Candidates.best(songs, scores, k)


def features(listener: Listener, songs: Array, now: int, unit: Array, forgetting: float) -> Array:
    """(S, F) of some of the listener's songs at `now`, sorted ones, in the order of `FEATURES`.

    An event without a time counts as the oldest that has one, or as an hour ago where none has.
    """
    place = np.searchsorted(songs, listener.song)
    inside = np.minimum(place, len(songs) - 1)
    mine = songs[inside] == listener.song
    place, action, at = inside[mine], listener.action[mine], listener.at[mine]
    count = np.log1p(listener.count[mine])
    known = at[at != UNKNOWN_TIME]
    oldest = int(known.min()) if len(known) else now - HOUR_MS
    age = np.maximum(now - np.where(at == UNKNOWN_TIME, oldest, at), 0) / HOUR_MS + 1.0
    strength = STRENGTH_BY_CODE[action]
    size = len(songs)
    liked = np.maximum(strength, 0) * count
    played = np.bincount(place, (strength > 0) * count, size)
    last = np.full(size, np.inf)
    np.minimum.at(last, place, age)
    first = np.zeros(size)
    np.maximum.at(first, place, age)
    interval = (first - last) / np.maximum(played, 1)
    kept = np.zeros(size)
    kept[place[np.isin(action, _KEPT)]] = 1.0
    latest, mine_unit = unit[listener.recent(_TASTE)], unit[songs]
    cosines = mine_unit @ latest.T if len(latest) else np.zeros((size, 1))
    return np.stack(
        [
            np.log(np.bincount(place, liked * age**-forgetting, size) + 1e-3),
            np.log1p(played),
            np.arcsinh(np.bincount(place, strength * count, size)),
            np.log1p(last) - np.log1p(interval),
            np.log1p(first),
            kept,
            cosines[:, :5].mean(axis=1),
            np.log(np.exp(_SHARP * cosines).mean(axis=1)),
        ],
        axis=1,
    )


def _examples(
    snapshot: Snapshot, unit: Array, config: AgainConfig, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """(N, F) features of listeners' own songs at the beginning of each of the last days, (N,) whether each was played
    again on that day, (G + 1,) where the lists begin and end: a day of a listener who played any again."""
    h, liked = snapshot.histories, STRENGTH_BY_CODE[snapshot.histories.action] > 0
    users = np.sort(rng.permutation(snapshot.users)[: config.listeners])
    rows, labels, ends = [np.empty((0, len(FEATURES)))], [np.empty(0, dtype=bool)], [0]
    for user in users.tolist():
        mine = h.of(user)
        for day in range(config.days):
            end = snapshot.as_of - day * DAY_MS
            before = h.at[mine] <= end - DAY_MS
            later = np.unique(h.song[mine][~before & (h.at[mine] <= end) & liked[mine]])
            history = [getattr(h, name)[mine][before] for name in ("song", "action", "at", "count")]
            songs = np.unique(history[0])
            hits = np.isin(songs, later)
            if hits.any() and not hits.all():
                listener = Listener(snapshot, user, *history)
                rows.append(features(listener, songs, end - DAY_MS, unit, config.forgetting))
                labels.append(hits)
                ends.append(ends[-1] + len(songs))
    return np.concatenate(rows), np.concatenate(labels).astype(np.float64), np.array(ends)
