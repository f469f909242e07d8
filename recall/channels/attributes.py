"""Songs by the artists, genres, tags and languages that a listener prefers, and by those that are like them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from scipy import sparse

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.durations import DAY_MS, HOUR_MS
from graph.release import Release
from graph.snapshot.arrays import Array, write_arrays
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot
from recall.base import Candidates, Query
from recall.causes import ATTRIBUTE, RELATION_OF, Cause
from recall.decay import Decay
from recall.grouped import (
    index_in_sorted,
    isin_sorted,
    rank_within_group,
    sorted_unique,
    sum_by_key,
    worth_of_targets,
)
from recall.item_lists.neighbours import Neighbours
from recall.kernels.edges import best_by_share
from recall.kernels.sums import table_of
from recall.linear.matrices import interaction_matrix
from recall.listeners.listener import Listener
from recall.listeners.preferences import decayed, listeners
from recall.listeners.profile import Dimensions, Profile, offered_shares
from recall.live.edits import NewSongs
from recall.release_times import release_times

ACCOMPANIMENT: Final = "COVER_OF"
WIDEN_BY: Final = ("song2vec", "relation_gamma_gcn")


def _default_weights() -> dict[str, float]:
    return {"PERFORMED_BY": 3.0, "HAS_GENRE": 1.0, "HAS_TAG": 1.0, "ON_ALBUM": 0.5, "LANGUAGE": 0.3, ACCOMPANIMENT: 0.5}


def _default_half_lives() -> dict[str, float]:
    return {"PERFORMED_BY": 21.0, "HAS_GENRE": 21.0, "HAS_TAG": 21.0}


@dataclass(frozen=True)
class AttributesConfig:
    """What a listener's attributes are worth, and which songs are looked at.

    Raises: ValueError for a number out of range or other vectors.
    """

    weights: Mapping[str, float] = field(default_factory=_default_weights)
    """Weight of each dimension, by relation name (`COVER_OF`: songs to the same accompaniment)."""
    popularity: float = 0.35
    """Exponent of how much a song is liked; 0 leaves it out."""
    popular_days: float = 14.0
    """Days after which a sign of liking counts half in how much a song is liked. Infinite: the number of its listeners,
    which also stands where no event has a time."""
    half_life_days: Mapping[str, float] = field(default_factory=_default_half_lives)
    """Days after which a preference counts half, by relation name; 21 where none is named. Infinite, or in settings
    1e6, for one that stays (`ranking/half_lives.py` fits them)."""
    correction: float = 0.1
    """How far a preference is divided by its share of what was offered, from 0, not at all, to 1, wholly (see
    `recall/listeners/profile.py`)."""
    prior: float = 10.0
    """Playbacks of the common offer added to the listener's own before that division, above 0."""
    strongest: int = 20
    """Attributes of each dimension that are looked at, the most preferred ones, 1 or more."""
    songs: int = 300
    """Songs of each dimension's attributes that are looked at, shared out by preference, the most liked ones."""
    freshness: float = 1.0
    """A song that came out at the release's newest event counts 1 + this times."""
    fresh_days: float = 14.0
    """Days after which half of that is left, above 0."""
    widen: float = 0.15
    """Share of a preference, times the cosine, that a strong attribute lends to similar ones; 0 for none."""
    similar: int = 5
    """Similar attributes that each strong one lends to, 1 or more."""
    widen_by: str = "song2vec"
    """Vectors that say which attributes are similar: "song2vec", or "relation_gamma_gcn", where an attribute is the
    mean of its songs."""

    def __post_init__(self) -> None:
        if self.widen_by not in WIDEN_BY:
            raise ValueError(f"widen_by must be {' or '.join(WIDEN_BY)} (got {self.widen_by})")
        check_positive(self, "prior", "strongest", "songs", "fresh_days", "similar", "popular_days")
        for name, days in self.half_life_days.items():
            if not days > 0:
                raise ValueError(f"half_life_days of {name} must be above 0 (got {days})")


@dataclass(frozen=True)
class _Dimension:
    """One relation: its best songs by entity (entities, M), -1 where there are fewer, and its nearest entities; its
    entities are those from `first` to `last` in all dimensions together."""

    relation: Relation
    first: int
    last: int
    half_life_ms: float
    best: Array
    near: Neighbours | None

    def of(self, entities: Array) -> slice:
        """The positions of its own entities in those of all dimensions, ascending."""
        return slice(*np.searchsorted(entities, (self.first, self.last)).tolist())


class Attributes:
    """score = sum over dimensions of weight x sum over the song's entities of share x preference, x (1 + liked) ^
    popularity x freshness.

    What is preferred is computed from all of the listener's events up to now. Widening: an artist (tag, genre, …) whose
    vector lies near that of a strongly preferred one is preferred a little too.
    Source: the Quanmin K-Song recall talk, attribute-based recall and attribute vectorisation.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    in_memory: ClassVar[bool] = True
    vectors: ClassVar[tuple[str, ...]] = ("song2vec",)
    lasts_ms: ClassVar[float] = HOUR_MS

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],
        config: AttributesConfig,
        folder: Path,
        *,
        rng: np.random.Generator,
    ) -> None:
        learned, quality = _learned(snapshot, vectors, config, rng), _quality(snapshot, config)
        for relation in _relations(snapshot, config):
            arrays = {"best": _best_songs(relation, quality, config.songs)}
            known = None if learned is None else learned.entities.get(relation.name)
            if learned is not None and relation.name == ACCOMPANIMENT:
                known = np.where(np.isin(np.arange(snapshot.songs), relation.indices)[:, None], learned.unit, 0)
            if known is not None and len(known) > 1:
                unit = known / np.maximum(np.linalg.norm(known, axis=1), 1e-12)[:, None]
                near = Neighbours.of_vectors(unit.astype(np.float32), config.similar)
                arrays |= {"songs": near.songs, "weights": near.weights}
            write_arrays(folder / _file(relation), arrays)

    def __init__(self, release: Release, config: AttributesConfig = AttributesConfig()) -> None:
        snapshot = release.snapshot
        self._config, self._quality = config, _quality(snapshot, config)
        self._as_of, self._first_seen = snapshot.as_of, snapshot.histories.first_seen
        shown = np.bincount(snapshot.exposures.song, minlength=snapshot.songs)
        shown = shown if shown.any() else np.bincount(snapshot.histories.song, minlength=snapshot.songs)
        # those with few entities come first: what is worth how much can be read from a short table
        relations = sorted(_relations(snapshot, config), key=lambda relation: relation.targets)
        self._all = Dimensions.of(relations) if relations else None
        self._weights = np.array([config.weights[relation.name] for relation in relations])
        self._common = np.concatenate([[], *(offered_shares(relation, shown) for relation in relations)])
        self._dimensions = []
        for relation, first in zip(relations, self._all.first.tolist() if self._all else (), strict=False):
            arrays, _ = release.arrays(f"recall/attributes/{_file(relation)}")
            half_life = config.half_life_days.get(relation.name, 21.0) * DAY_MS
            near = Neighbours(arrays["songs"], arrays["weights"]) if "songs" in arrays else None
            last = first + relation.targets
            self._dimensions.append(_Dimension(relation, first, last, half_life, arrays["best"], near))
        self._late: tuple[NewSongs, sparse.csr_array] | None = None

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        listener, new = query.listener, query.live.songs
        if not len(listener) or self._all is None:
            return Candidates.none()
        entities, values = self._preferences(query, self._all)
        mine = [d.of(entities) for d in self._dimensions]
        best = [
            # the more of an entity, the larger its share of the preferences
            best_by_share(d.best, entities[of] - d.first, values[of], self._config.songs)
            for d, of in zip(self._dimensions, mine, strict=True)
        ]
        known, late = sorted_unique(np.concatenate(best)), np.arange(len(new))
        worth = table_of(entities, values * self._weights[self._all.which(entities)])
        scores = worth_of_targets(self._all.shares, known, worth) * self._quality[known]
        # nobody has heard new songs, and they have just come
        newest = worth_of_targets(self._shares(new), late, worth) * (1 + self._config.freshness)
        songs, scores = np.concatenate([known, new.first + late]), np.concatenate([scores, newest])
        kept = scores > 0
        return Candidates.permitted(songs[kept], scores[kept], query, k, self._first_seen)

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """The attribute of each of these songs that adds most to its score, and the one that it was widened by."""
        if not len(query.listener) or self._all is None:
            return [None] * len(songs)
        strong, liked = self._strong(query, self._all)
        entities, values = self._preferences(query, self._all)
        worth = values * self._weights[self._all.which(entities)]
        new, first = self._shares(query.live.songs), query.live.songs.first
        causes: list[Cause | None] = []
        for song in songs.tolist():
            shares, row = (self._all.shares, song) if song < first else (new, song - first)
            at = slice(*shares.indptr[row : row + 2].tolist())
            adds = np.append(worth, 0.0)[index_in_sorted(entities, shares.indices[at])] * shares.data[at]
            best = int(shares.indices[at][adds.argmax()]) if adds.max(initial=0.0) > 0 else -1
            causes.append(None if best < 0 else self._cause(best, strong, liked))
        return causes

    def _cause(self, entity: int, strong: Array, liked: Array) -> Cause | None:
        """What is said of an entity: it is preferred itself, or by the strongest one that it is near to."""
        dimension = next(d for d in self._dimensions if d.first <= entity < d.last)
        if (label := dimension.relation.target) not in RELATION_OF:
            return None
        mine = dimension.of(strong)
        own, values, place = strong[mine] - dimension.first, liked[mine], entity - dimension.first
        if dimension.near is None or (values[own == place] > 0).any():
            return Cause(ATTRIBUTE, label, place)
        lends = (np.where(dimension.near.songs[own] == place, dimension.near.weights[own], 0)).sum(axis=1) * values
        return Cause(ATTRIBUTE, label, place, by=int(own[lends.argmax()])) if lends.max(initial=0.0) > 0 else None

    def _preferences(self, query: Query, dimensions: Dimensions) -> tuple[Array, Array]:
        """Entities (n,) of all dimensions, ascending, and the preference for each (n,), widened ones included."""
        entities, values = self._strong(query, dimensions)
        return self._widened(entities, values) if self._config.widen else (entities, values)

    def _strong(self, query: Query, dimensions: Dimensions) -> tuple[Array, Array]:
        """Entities (n,), ascending, and how much each is preferred (n,), as the listener's events say."""
        config, listener = self._config, query.listener

        def profiled() -> Profile:
            newest = int(listener.at.max())
            # from the listener's own newest event on, so that short half-lives do not fade before it
            landmark = newest if newest >= 0 else max(self._as_of, 0)
            return Profile.of(dimensions, [Decay(d.half_life_ms, landmark) for d in self._dimensions], listener)

        profile = listener.once(self, profiled)
        values = profile.preferences(query.hour, self._common, config.prior, config.correction)
        dimension = dimensions.which(profile.entities)
        order = np.lexsort((-values, dimension))
        # what is weakly liked is not looked up, but what is disliked counts against a song
        keep = values < 0
        keep[order[(rank_within_group(dimension[order]) < config.strongest) & (values[order] > 0)]] = True
        return profile.entities[keep], values[keep]

    def _widened(self, entities: Array, values: Array) -> tuple[Array, Array]:
        together, worth = [entities], [values]
        for dimension in self._dimensions:
            if (near := dimension.near) is None:
                continue
            mine = dimension.of(entities)
            liked = values[mine] > 0
            lending = entities[mine][liked] - dimension.first
            others, sums = near.sums(lending, self._config.widen * values[mine][liked])
            together.append(others + dimension.first)
            worth.append(sums)
        found, sums = sum_by_key(np.concatenate(together), np.concatenate(worth))
        disliked = isin_sorted(found, entities[values < 0])
        # nearness to something loved does not turn a dislike
        sums[disliked] = np.minimum(sums[disliked], 0)
        return found, sums

    def _shares(self, new: NewSongs) -> sparse.csr_array:
        """(M, entities) those of new songs."""
        late = self._late
        if late is None or late[0] is not new:
            shares = [new.shares(dimension.relation) for dimension in self._dimensions]
            late = self._late = new, sparse.csr_array(sparse.hstack(shares, format="csr"))
        return late[1]


def _learned(
    snapshot: Snapshot, vectors: Mapping[str, ModelVectors], config: AttributesConfig, rng: np.random.Generator
) -> ModelVectors | None:
    """What tells which attributes are alike; None where nothing is widened, or nobody has liked anything yet."""
    if not config.widen:
        return None
    if config.widen_by == "song2vec":
        return vectors["song2vec"]
    from embeddings.gnn.relation_gamma_gcn import RelationGammaGCN, RelationGammaGCNConfig  # imports torch

    if not interaction_matrix(snapshot).nnz:
        return None
    return RelationGammaGCN.fit(snapshot, RelationGammaGCNConfig(), rng=rng)


def _file(relation: Relation) -> str:
    """A file name of the relation's key, which may hold any character."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", relation.key)


def _relations(snapshot: Snapshot, config: AttributesConfig) -> list[Relation]:
    """Those of the config's dimensions that the snapshot has."""
    known = {r.name: r for r in snapshot.song_relations()}
    if len(snapshot.relation(ACCOMPANIMENT)):
        known[ACCOMPANIMENT] = accompaniments(snapshot)
    return [known[name] for name, weight in config.weights.items() if name in known and weight]


def accompaniments(snapshot: Snapshot) -> Relation:
    """Songs to the original that they are covers of, and originals to themselves: what karaoke songs share."""
    covers = snapshot.relation(ACCOMPANIMENT)
    graph = sparse.csr_array((np.ones(len(covers)), (covers.edge_sources, covers.indices)), shape=(snapshot.songs,) * 2)
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    inside = np.unique(np.concatenate([covers.edge_sources, covers.indices]))
    # a group goes by its first song: an original of originals is not always known
    _, first, place = np.unique(group[inside], return_index=True, return_inverse=True)
    return Relation.of_edges(covers.key, inside, inside[first][place], {}, snapshot.songs, snapshot.songs)


def _quality(snapshot: Snapshot, config: AttributesConfig) -> Array:
    """(songs,) what a song is worth beside its attributes: how much it is liked, and how new it is."""
    # a log without any time, of play counts say, knows nothing of lately
    lately = math.isfinite(config.popular_days) and bool((snapshot.histories.at != UNKNOWN_TIME).any())
    heard = decayed(snapshot, config.popular_days * DAY_MS) if lately else listeners(snapshot)
    known = (1.0 + heard) ** config.popularity
    if not config.freshness:
        return np.asarray(known)
    out = release_times(snapshot)
    age = np.maximum(snapshot.as_of - out, 0) / DAY_MS
    fresh = np.where(out == UNKNOWN_INTEGER, 0.0, np.exp2(-age / config.fresh_days))
    return np.asarray(known * (1 + config.freshness * fresh))


def _best_songs(relation: Relation, quality: Array, most: int) -> Array:
    """(targets, M) the songs of each entity with the highest quality, the best first, -1 where there are fewer."""
    sizes = np.diff(relation.reverse_indptr)
    entity = np.repeat(np.arange(relation.targets), sizes)
    order = np.lexsort((-quality[relation.reverse_indices], entity))
    songs, rank = relation.reverse_indices[order], rank_within_group(entity)
    width = int(min(most, sizes.max(initial=1)))
    best = np.full((relation.targets, width), -1, dtype=np.int32)
    kept = rank < width
    best[entity[kept], rank[kept]] = songs[kept]
    return best
