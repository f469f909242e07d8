"""What a listener prefers in one dimension (genre, tag, artist, language, …): a small state that events are added to.

For each entity of the dimension two decayed sums are kept, as they were worth at a landmark (see `recall/counters.py`):
what the listener's actions said for it, skips and blocks counting against, and how much of it they played at all. A
song's event is shared out over its entities by the relation's weights.

    preference = (liked / all that was said) / (its share of what was offered) ^ correction

where its share of what was offered is (offered + m common) / (all offered + m), common its share of what all listeners
are offered: m keeps an entity that was offered once from looking like the greatest love. With correction 0 a preference
is a share of what was said, with 1 how much greater that is than its share of what was offered.

Source: the Quanmin K-Song recall talk (preferences in real time from all behaviours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from graph.arrays import Array
from graph.histories import PLAYBACK_CODES, strengths
from graph.relations import Relation
from recall.counters import Decay
from recall.since import spread


@dataclass(frozen=True)
class Told:
    """What E events say, before any decay: the S songs (S,) that they are on, rising, the `place` (E,) of each event's
    song among them, when (E,) it was, -1 where unknown, and what it says for the song (E,) and offers of it (E,)."""

    songs: Array
    place: Array
    at: Array
    liked: Array
    offered: Array

    @classmethod
    def of(cls, events: Any) -> Self:
        """From events as in `Histories`, in whatever order."""
        songs, place = np.unique(events.song, return_inverse=True)
        offered = np.isin(events.action, PLAYBACK_CODES) * (1.0 + np.log(np.maximum(events.count, 1)))
        return cls(songs, place, events.at, strengths(events.action, events.count), offered)


@dataclass(frozen=True)
class Profile:
    """Shapes: N entities that an event has touched; entities (N,) positions, rising; liked, offered (N,) their sums at
    the landmark of `decay`, `said` the sum over all events on described songs, for or against."""

    decay: Decay
    entities: Array
    liked: Array
    offered: Array
    said: float

    @classmethod
    def of(cls, relation: Relation, decay: Decay, events: Any) -> Self:
        """From events (as in `Histories`, or `Told`) in any order; those without a time count as the landmark's."""
        told = events if isinstance(events, Told) else Told.of(events)
        worth = decay.weights(np.where(told.at < 0, decay.landmark, told.at))
        liked, songs = told.liked * worth, len(told.songs)
        sums = [np.bincount(told.place, weights, songs) for weights in (liked, told.offered * worth)]
        shares = relation.shares
        rows, at = spread(shares.indptr, told.songs)
        described = np.bincount(rows, minlength=songs) > 0
        entities, where = np.unique(shares.indices[at], return_inverse=True)
        found = [np.bincount(where, row[rows] * shares.data[at], len(entities)) for row in sums]
        return cls(decay, entities, found[0], found[1], float(np.abs(liked[described[told.place]]).sum()))

    def merged(self, other: Profile) -> Profile:
        """That of both sets of events, which must have none in common."""
        entities = np.union1d(self.entities, other.entities)
        sums = np.zeros((2, len(entities)))
        for one in (self, other):
            at = np.searchsorted(entities, one.entities)
            sums[0, at] += one.liked
            sums[1, at] += one.offered
        return Profile(self.decay, entities, sums[0], sums[1], self.said + other.said)

    def preferences(self, now: int, common: Array, prior: float, correction: float) -> Array:
        """(N,) how much each entity is preferred at `now`; common (targets,) is the share of what all listeners are
        offered that is of each entity of the dimension, `prior` the m above, in playbacks."""
        liked = self.liked / max(self.said, 1e-300)
        if not correction:
            return np.asarray(liked)
        worth = self.decay.since(now)
        offered = self.offered * worth + prior * common[self.entities]
        share = offered / (float(self.offered.sum()) * worth + prior)
        return np.asarray(liked / np.maximum(share, 1e-9) ** correction)


def offered_shares(relation: Relation, songs: Array) -> Array:
    """(targets,) the share of each entity in what songs (S,) were offered or played; even where nothing was."""
    sums = np.asarray(relation.shares.T @ songs, dtype=np.float64)
    total = float(sums.sum())
    return sums / total if total > 0 else np.full(relation.targets, 1.0 / max(relation.targets, 1))
