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

from embeddings.vectors import SongVectors
from graph.arrays import Array, write_arrays
from graph.configure import check_positive
from graph.histories import UNKNOWN_TIME
from graph.relations import Relation
from graph.release import Release
from graph.snapshot import UNKNOWN_INTEGER, Snapshot
from recall.base import Candidates, Query
from recall.counters import Decay
from recall.grouped import distinct, highest
from recall.linear import tastes
from recall.listener import Listener
from recall.neighbours import Neighbours
from recall.preferences import decayed, listeners
from recall.profile import Profile, Told, offered_shares
from recall.since import spread

DAY_MS: Final = 86_400_000
ACCOMPANIMENT: Final = "COVER_OF"
WIDEN_BY: Final = ("song2vec", "relation_gamma_gcn")


def _default_weights() -> dict[str, float]:
    return {"PERFORMED_BY": 3.0, "HAS_GENRE": 1.0, "HAS_TAG": 1.0, "ON_ALBUM": 0.5, "LANGUAGE": 0.3, ACCOMPANIMENT: 0.5}


def _default_half_lives() -> dict[str, float]:
    return {"PERFORMED_BY": 21.0, "HAS_GENRE": 21.0, "HAS_TAG": 21.0}


@dataclass(frozen=True)
class AttributesConfig:
    """`weights` by relation name (`COVER_OF`: songs to the same accompaniment); `half_life_days` of a preference, 21
    where none is said, infinite for one that stays, or in settings, which know no infinity, 1e6
    (`ranking/half_lives.py` fits them).

    `correction` and `prior` normalise by what was offered (see `recall/profile.py`). Of each dimension the `strongest`
    attributes are looked at, with some `songs` between them by how much each is preferred: those that are liked most,
    times 1 + `freshness` for one that came out at the release's newest event, halved every `fresh_days`. `popularity`
    is the exponent of how much a song is liked: its plays and other signs of liking, halved every `popular_days`, or
    the number of its listeners where that is infinite or no event has a time. Each strong attribute lends `widen` x its
    cosine of its preference to the `similar` nearest others, by the vectors of `widen_by`: "song2vec", or
    "relation_gamma_gcn", where an attribute is the mean of its songs.
    """

    weights: Mapping[str, float] = field(default_factory=_default_weights)
    popularity: float = 0.35
    popular_days: float = 14.0
    half_life_days: Mapping[str, float] = field(default_factory=_default_half_lives)
    correction: float = 0.1
    prior: float = 10.0
    strongest: int = 20
    songs: int = 300
    freshness: float = 1.0
    fresh_days: float = 14.0
    widen: float = 0.15
    similar: int = 5
    widen_by: str = "song2vec"

    def __post_init__(self) -> None:
        if self.widen_by not in WIDEN_BY:
            raise ValueError(f"widen_by must be {' or '.join(WIDEN_BY)} (got {self.widen_by})")
        check_positive(self, "prior", "strongest", "songs", "fresh_days", "similar", "popular_days")
        for name, days in self.half_life_days.items():
            if not days > 0:
                raise ValueError(f"half_life_days of {name} must be above 0 (got {days})")


@dataclass(frozen=True)
class _Dimension:
    """One relation: its best songs by entity (entities, M), -1 where there are fewer, and its nearest entities."""

    relation: Relation
    weight: float
    decay: Decay
    common: Array
    best: Array
    near: Neighbours | None


class Attributes:
    """score = sum over dimensions of weight x sum over the song's entities of share x preference, x (1 + liked) ^
    popularity x freshness.

    What is preferred is computed from all of the listener's events up to now. Widening: an artist (tag, genre, …) whose
    vector lies near that of a strongly preferred one is preferred a little too.
    Source: the Quanmin K-Song recall talk, attribute-based recall and attribute vectorisation.
    """

    audience: ClassVar[str] = "listeners with a history of at least 5 songs"
    vectors: ClassVar[tuple[str, ...]] = ("song2vec",)

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, SongVectors],
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
        self._first_seen = snapshot.histories.first_seen
        shown = np.bincount(snapshot.exposures.song, minlength=snapshot.songs)
        shown = shown if shown.any() else np.bincount(snapshot.histories.song, minlength=snapshot.songs)
        self._dimensions = []
        for relation in _relations(snapshot, config):
            arrays, _ = release.arrays(f"recall/attributes/{_file(relation)}")
            days = config.half_life_days.get(relation.name, 21.0)
            near = Neighbours(arrays["songs"], arrays["weights"]) if "songs" in arrays else None
            decay, common = Decay.of(snapshot, days * DAY_MS), offered_shares(relation, shown)
            weight = config.weights[relation.name]
            self._dimensions.append(_Dimension(relation, weight, decay, common, arrays["best"], near))

    def serves(self, listener: Listener) -> bool:
        return len(listener.heard) >= 5

    def recall(self, query: Query, k: int) -> Candidates:
        listener, new = query.listener, query.live.songs
        if not len(listener) or not self._dimensions:
            return Candidates.none()
        told, newest = Told.of(listener), int(listener.at.max())
        wanted = [self._preferences(query, told, newest, dimension) for dimension in self._dimensions]
        known = distinct(np.concatenate([self._best(d, *one) for d, one in zip(self._dimensions, wanted, strict=True)]))
        songs = np.concatenate([known, new.first + np.arange(len(new))])
        scores = np.zeros(len(songs))
        for dimension, (entities, values) in zip(self._dimensions, wanted, strict=True):
            scores[: len(known)] += dimension.weight * _score(dimension.relation.shares, known, entities, values)
            if len(new):
                shares = new.shares(dimension.relation)
                scores[len(known) :] += dimension.weight * _score(shares, np.arange(len(new)), entities, values)
        scores[: len(known)] *= self._quality[known]
        scores[len(known) :] *= 1 + self._config.freshness  # nobody has heard them, and they have just come
        near = np.flatnonzero(scores > 0)
        near = near[highest(scores[near], k + len(query.exclude))]
        songs, scores = songs[near], scores[near]
        order = np.argsort(new.take(self._first_seen, np.iinfo(np.int64).max, songs), kind="stable")
        return Candidates.permitted(songs[order], scores[order], query, k)

    def _preferences(self, query: Query, told: Told, newest: int, dimension: _Dimension) -> tuple[Array, Array]:
        """Entities (N,), rising, and how much each is preferred (N,), the widened ones among them."""
        config, relation = self._config, dimension.relation
        # from the listener's own newest event on, so that short half-lives do not fade before it
        decay = dimension.decay if newest < 0 else Decay(dimension.decay.half_life_ms, newest)
        profile = Profile.of(relation, decay, told)
        values = profile.preferences(query.at, dimension.common, config.prior, config.correction)
        strong = np.argsort(-values, kind="stable")[: config.strongest]
        strong = strong[values[strong] > 0]
        entities = profile.entities
        # what is weakly liked is not looked up, but what is disliked counts against a song
        keep = np.sort(np.concatenate([strong, np.flatnonzero(values < 0)]))
        entities, values = entities[keep], values[keep]
        if dimension.near is None or not config.widen or not len(strong):
            return entities, values
        return self._widened(dimension.near, entities, values)

    def _best(self, dimension: _Dimension, entities: Array, values: Array) -> Array:
        """The best songs of what is preferred: the more of an entity, the larger its share of the preferences."""
        entities, values = entities[values > 0], values[values > 0]
        width = dimension.best.shape[1]
        if not len(entities):
            return np.empty(0, dtype=np.int64)
        many = np.minimum(np.ceil(self._config.songs * values / values.sum()), width).astype(np.int64)
        rows = np.repeat(entities, many)
        turns = np.arange(len(rows)) - np.repeat(np.cumsum(many) - many, many)
        songs = dimension.best[rows, turns]
        return np.asarray(songs[songs >= 0], dtype=np.int64)

    def _widened(self, near: Neighbours, entities: Array, values: Array) -> tuple[Array, Array]:
        lending = entities[values > 0]
        others = near.songs[lending]
        lent = self._config.widen * near.weights[lending] * values[values > 0][:, None]
        others, lent = others[others >= 0], lent[others >= 0]
        together = np.concatenate([entities, others])
        worth = np.concatenate([values, lent])
        found, place = np.unique(together, return_inverse=True)
        sums = np.bincount(place, worth, len(found))
        disliked = np.isin(found, entities[values < 0])
        # nearness to something loved does not turn a dislike
        sums[disliked] = np.minimum(sums[disliked], 0)
        return found, sums


def _learned(
    snapshot: Snapshot, vectors: Mapping[str, SongVectors], config: AttributesConfig, rng: np.random.Generator
) -> SongVectors | None:
    """What tells which attributes are alike; None where nothing is widened, or nobody has liked anything yet."""
    if not config.widen:
        return None
    if config.widen_by == "song2vec":
        return vectors["song2vec"]
    from embeddings.gnn.relation_gamma_gcn import RelationGammaGCN, RelationGammaGCNConfig  # imports torch

    if not tastes(snapshot).nnz:
        return None
    return SongVectors.of_songs(snapshot, RelationGammaGCN.fit(snapshot, RelationGammaGCNConfig(), rng=rng).songs)


def _file(relation: Relation) -> str:
    """A file name of the relation's key, which may hold any character."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", relation.key)


def _score(shares: sparse.csr_array, songs: Array, entities: Array, values: Array) -> Array:
    """(n,) the preferences of the entities of some songs, by the songs' shares (S, targets) of them."""
    if not len(entities):
        return np.zeros(len(songs))
    rows, at = spread(shares.indptr, songs)
    theirs = shares.indices[at]
    place = np.minimum(np.searchsorted(entities, theirs), len(entities) - 1)
    worth = np.where(entities[place] == theirs, values[place], 0.0) * shares.data[at]
    return np.bincount(rows, worth, len(songs))


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
    released, uploaded = (snapshot.column("Song", name) for name in ("released_at", "uploaded_at"))
    out = np.where(released == UNKNOWN_INTEGER, uploaded, released)
    age = np.maximum(snapshot.as_of - out, 0) / DAY_MS
    fresh = np.where(out == UNKNOWN_INTEGER, 0.0, np.exp2(-age / config.fresh_days))
    return np.asarray(known * (1 + config.freshness * fresh))


def _best_songs(relation: Relation, quality: Array, most: int) -> Array:
    """(targets, M) the songs of each entity with the highest quality, the best first, -1 where there are fewer."""
    order = np.lexsort(
        (-quality[relation.reverse_indices], np.repeat(np.arange(relation.targets), np.diff(relation.reverse_indptr)))
    )
    songs, sizes = relation.reverse_indices[order], np.diff(relation.reverse_indptr)
    turn = np.arange(len(songs)) - np.repeat(relation.reverse_indptr[:-1], sizes)
    width = int(min(most, sizes.max(initial=1)))
    best = np.full((relation.targets, width), -1, dtype=np.int32)
    kept = turn < width
    best[np.repeat(np.arange(relation.targets), sizes)[kept], turn[kept]] = songs[kept]
    return best
