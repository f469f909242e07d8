"""What a listener prefers in each dimension (genre, tag, artist, language, …): a small state that events are added to.

For each entity of a dimension two decayed sums are kept, as they were worth at a landmark (see
`recall/live/counters.py`):
what the listener's actions said for it, skips and blocks counting against, and how much of it they played at all. A
song's event is shared out over its entities by the relation's weights.

    preference = (liked / all that was said) / (its share of what was offered) ^ correction

where its share of what was offered is (offered + m common) / (all offered + m), common its share of what all listeners
are offered: m keeps an entity that was offered once from looking like the greatest love. With correction 0 a preference
is a share of what was said, with 1 how much greater that is than its share of what was offered.

Source: the Quanmin K-Song recall talk (preferences in real time from all behaviours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse

from graph.snapshot.arrays import Array
from graph.snapshot.histories import PLAYBACK_CODES, strengths
from graph.snapshot.relations import Relation
from recall.decay import Decay
from recall.grouped import csr_entries, sorted_unique


@dataclass(frozen=True)
class EventSignals:
    """The signals of E events, before any decay: their unique songs (S,), ascending; `place` (E,) the index of each
    event's song in them; `at` (E,) its time, -1 where unknown; `liked` (E,) the strength of liking that it shows, and
    `offered` (E,) how much of the song it played."""

    songs: Array
    place: Array
    at: Array
    liked: Array
    offered: Array

    @classmethod
    def of(cls, events: Any) -> Self:
        """From events as in `Histories`, in whatever order."""
        songs = sorted_unique(events.song)
        place = np.searchsorted(songs, events.song)
        offered = np.isin(events.action, PLAYBACK_CODES) * (1.0 + np.log(np.maximum(events.count, 1)))
        return cls(songs, place, events.at, strengths(events.action, events.count), offered)


@dataclass(frozen=True)
class Dimensions:
    """D relations of songs side by side, so that one look at a song finds all that is known of it.

    Shapes: shares (songs, N) sparse, what each song has of each of N entities; those of the relation d are the entities
    from first[d] to first[d + 1].
    """

    shares: sparse.csr_array
    first: Array

    @classmethod
    def of(cls, relations: Sequence[Relation]) -> Self:
        shares = sparse.csr_array(sparse.hstack([relation.shares for relation in relations], format="csr"))
        return cls(shares, np.cumsum([0, *(relation.targets for relation in relations)]))

    def __len__(self) -> int:
        return len(self.first) - 1

    def which(self, entities: Array) -> Array:
        """(n,) the dimension of each entity."""
        return np.searchsorted(self.first, entities, side="right") - 1


@dataclass(frozen=True)
class Profile:
    """Shapes: D dimensions, n entities that an event has touched; entities (n,) positions, ascending; liked and offered
    (n,) their sums at the landmarks of `decays` (D); said (D,) the absolute sum over events on described songs."""

    dimensions: Dimensions
    decays: Sequence[Decay]
    entities: Array
    liked: Array
    offered: Array
    said: Array

    @classmethod
    def of(cls, dimensions: Dimensions, decays: Sequence[Decay], events: Any) -> Self:
        """From events as in `Histories`, in any order; those without a time count as the landmark's."""
        signals = EventSignals.of(events)
        # (3, kinds of decay, songs): what was said, what was offered, and what was said for or against
        kinds = {(decay.half_life_ms, decay.landmark): decay for decay in decays}
        sums = np.stack([_sums(signals, decay) for decay in kinds.values()], axis=1)
        kind = np.array([list(kinds).index((decay.half_life_ms, decay.landmark)) for decay in decays])
        shares = dimensions.shares
        song, at = csr_entries(shares.indptr, signals.songs)
        theirs, share = shares.indices[at], shares.data[at]
        dimension = dimensions.which(theirs)
        entities = sorted_unique(theirs)
        where = np.searchsorted(entities, theirs)
        liked, offered = (np.bincount(where, row[kind[dimension], song] * share, len(entities)) for row in sums[:2])
        described = np.zeros((len(decays), len(signals.songs)), dtype=bool)
        described[dimension, song] = True
        return cls(dimensions, decays, entities, liked, offered, (sums[2][kind] * described).sum(axis=1))

    def merged(self, other: Profile) -> Profile:
        """That of both sets of events, which must have none in common."""
        entities = np.union1d(self.entities, other.entities)
        sums = np.zeros((2, len(entities)))
        for one in (self, other):
            at = np.searchsorted(entities, one.entities)
            sums[0, at] += one.liked
            sums[1, at] += one.offered
        return Profile(self.dimensions, self.decays, entities, sums[0], sums[1], self.said + other.said)

    def preferences(self, now: int, common: Array, prior: float, correction: float) -> Array:
        """(n,) how much each entity is preferred at `now`; common (N,) is the share of what all listeners are offered
        that is of each entity of its dimension, `prior` the m above, in playbacks."""
        dimension = self.dimensions.which(self.entities)
        liked = self.liked / np.maximum(self.said, 1e-300)[dimension]
        if not correction:
            return np.asarray(liked)
        worth = np.array([decay.since(now) for decay in self.decays])
        all_offered = np.bincount(dimension, self.offered, len(worth)) * worth
        offered = self.offered * worth[dimension] + prior * common[self.entities]
        share = offered / (all_offered + prior)[dimension]
        return np.asarray(liked / np.maximum(share, 1e-9) ** correction)


def _sums(signals: EventSignals, decay: Decay) -> Array:
    """(3, S) of each song at the landmark: what was said, what was offered, and what was said for or against."""
    worth = decay.weights(np.where(signals.at < 0, decay.landmark, signals.at))
    liked = signals.liked * worth
    return np.stack(
        [np.bincount(signals.place, row, len(signals.songs)) for row in (liked, signals.offered * worth, np.abs(liked))]
    )


def offered_shares(relation: Relation, songs: Array) -> Array:
    """(targets,) the share of each entity in what songs (S,) were offered or played; even where nothing was."""
    sums = np.asarray(relation.shares.T @ songs, dtype=np.float64)
    total = float(sums.sum())
    return sums / total if total > 0 else np.full(relation.targets, 1.0 / max(relation.targets, 1))
