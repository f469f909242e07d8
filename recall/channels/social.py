"""What people loved whom a listener follows, whom those are close to, and who have the listener's taste; new works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from embeddings.vectors.model_vectors import ModelVectors
from graph.configure import check_positive
from graph.durations import DAY_MS, HOUR_MS
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import UNKNOWN_INTEGER, Snapshot
from recall.base import Candidates, Query
from recall.causes import ALIKE, ARTIST, CIRCLE, CREATOR, FOLLOWEE, Cause
from recall.grouped import csr_entries, isin_sorted, rank_within_group, sum_by_key
from recall.kernels.people import loves_of, peers_of
from recall.listeners.listener import Listener
from recall.listeners.preferences import listeners
from recall.live.counters import Counters
from recall.live.loves import PeopleLoves
from recall.pagerank.circles import Circles, nearest
from recall.release_times import release_times, songs_out

FOLLOWEES: Final = 300
"""People a listener follows who are asked, those who listened last."""
TOLERANCE: Final = 1e-4
"""Of the mass of PageRank: some 0.3 milliseconds for each listener, however large the graph."""
WORKS: Final = 200
"""Songs of a followed artist or creator that are looked at, the newest ones."""
CROWD: Final = 300
"""Listeners of a song who are looked at for those of the same taste, spread evenly over all of them."""


@dataclass(frozen=True)
class SocialConfig:
    """What each kind of person weighs beside a followee with the listener's own taste, who weighs 1.

    Raises: ValueError for a number out of range.
    """

    trust: float = 0.05
    """Weight of a followee without a common song, 0 or more."""
    circle: float = 0.3
    """Weight of the person nearest to the followees on the follow graph, 0 or more; others weigh by their mass."""
    restart: float = 0.15
    """Chance that a walk on the follow graph stops, between 0 and 1."""
    around: int = 50
    """People nearest to the followees that are asked, 0 or more."""
    kept: int = 50
    """Of these people, how many are stored for everybody, 1 or more."""
    alike: float = 0.5
    """Weight of a stranger with the listener's own taste, 0 or more."""
    peers: int = 50
    """Strangers with the most in common that are asked, 0 or more."""
    loves: int = 30
    """The listener's favourite songs that find these strangers, 0 or more."""
    works: float = 0.7
    """Weight of a new song of somebody whom the listener follows, 0 or more."""
    fresh_days: float = 14.0
    """Days after which a new song weighs half of that, above 0."""
    catalogue: float = 0.6
    """Weight of an old, well-known song of somebody followed, as a share of a new one's, 0 or more."""
    fame: float = 0.0
    """A song of L listeners counts L^-fame times, 0 or more."""

    def __post_init__(self) -> None:
        check_positive(self, "fresh_days", "kept")
        if not 0 < self.restart < 1:
            raise ValueError(f"restart must be between 0 and 1 (got {self.restart})")
        for name in ("trust", "circle", "around", "alike", "peers", "loves", "works", "catalogue", "fame"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 (got {getattr(self, name)})")


@dataclass(frozen=True)
class Shares:
    """What each cause adds to a song: songs, worth, kind and who (N,); who is a position, -1 where nobody is named."""

    songs: Array
    worth: Array
    kind: Array
    who: Array


@dataclass(frozen=True)
class Works:
    """Songs by their makers, as a CSR, each row with the newest last: songs and released (E,)."""

    indptr: Array
    songs: Array
    released: Array

    @classmethod
    def of(cls, indptr: Array, songs: Array, released: Array) -> Works:
        """From a CSR in any order within its rows."""
        maker = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        order = np.lexsort((-songs, released, maker))
        return cls(indptr, songs[order], released[order])

    def newest(self, makers: Array) -> tuple[Array, Array, Array]:
        """The newest `WORKS` of each maker: songs, makers and release times (n,)."""
        which, at = csr_entries(self.indptr, makers, WORKS)
        return self.songs[at], makers[which], self.released[at]


class Social:
    """Songs that the people around a listener have loved lately, and new works of those whom the listener follows.

    score = sum over people p of weight of p x p's decayed preference for the song, the highest of p's being 1. A
    followee weighs trust + the cosine of tastes, one of their circle that x the share of the mass of personalised
    PageRank x circle, one of the same taste the cosine x alike. Follows and events are those of this moment.
    Source: Andersen et al. 2006 (PageRank, see `recall.pagerank.circles`); Herlocker et al. 1999 (people of the same
    taste).
    """

    audience: ClassVar[str] = "listeners with at least 3 followees"
    in_memory: ClassVar[bool] = True
    lasts_ms: ClassVar[float] = HOUR_MS
    prepared_by: ClassVar[tuple[str, ...]] = ("kept", "restart")

    @classmethod
    def prepare(
        cls,
        snapshot: Snapshot,
        vectors: Mapping[str, ModelVectors],  # noqa: ARG003
        config: SocialConfig,
        folder: Path,
        *,
        rng: np.random.Generator,  # noqa: ARG003
    ) -> None:
        everybody = np.arange(snapshot.users, dtype=np.int32)
        circles = nearest(
            snapshot.relation("FOLLOWS"), everybody, config.kept, restart=config.restart, tolerance=TOLERANCE
        )
        circles.save(folder / "circles")

    def __init__(self, release: Release, config: SocialConfig = SocialConfig()) -> None:
        self._config, self._snapshot = config, release.snapshot
        self._circles = Circles.load(release, "recall/social/circles")
        self._released = release_times(release.snapshot)
        # (songs + 1,) the last one is for songs that have come since
        self._listeners = np.append(listeners(release.snapshot), 0)
        self._famous = float(np.log1p(self._listeners.max(initial=1)))
        performed, uploaded = (release.snapshot.relation(name) for name in ("PERFORMED_BY", "UPLOADED"))
        songs = performed.reverse_indices
        self._by_artist = Works.of(performed.reverse_indptr, songs, self._released[songs])
        self._by_creator = Works.of(uploaded.indptr, uploaded.indices, self._uploaded(uploaded))

    def count(self, counters: Counters) -> None:
        """What everybody loves."""
        PeopleLoves.of(counters, self._snapshot)

    def serves(self, listener: Listener) -> bool:
        return listener.user >= 0 and len(self._snapshot.relation("FOLLOWS").of(listener.user)) >= 3

    def recall(self, query: Query, k: int) -> Candidates:
        parts = self._parts(query)
        songs, scores = sum_by_key(*(np.concatenate(column) for column in zip(*(p[:2] for p in parts), strict=True)))
        if self._config.fame:
            scores = scores * np.maximum(self._known(songs), 1.0) ** -self._config.fame
        kept = scores > 0
        return Candidates.permitted(songs[kept], scores[kept], query, k)

    def version(self, query: Query) -> object:
        """Of what people love by now, whom the listener follows, and which works are out."""
        live, me = query.live, query.listener.user_id or ""
        keys = ((me, "User"), (me, "Artist"))
        follows = [(live.edits.followed.get(key), live.edits.unfollowed.get(key)) for key in keys], live.edits.gone
        out = songs_out(self._snapshot, query.at), live.songs.out_by(query.at)
        return PeopleLoves.of(live.counters, self._snapshot).version, follows, out

    def because(self, query: Query, songs: Array) -> list[Cause | None]:
        """What weighs most for each of these songs, None where nothing does."""
        shares = self._shares(query)
        causes: list[Cause | None] = []
        for song in songs.tolist():
            mine = np.flatnonzero(shares.songs == song)
            if not len(mine):
                causes.append(None)
                continue
            best = mine[np.argmax(shares.worth[mine])]
            kind, who = int(shares.kind[best]), int(shares.who[best])
            label = None if who < 0 else "Artist" if kind == ARTIST else "User"
            # each person adds to a song once
            same = (shares.kind[mine] == kind) & (shares.who[mine] == who)
            causes.append(Cause(kind, label, who, people=int(same.sum()) if kind in {CIRCLE, ALIKE} else 0))
        return causes

    def _shares(self, query: Query) -> Shares:
        parts = [(songs, worth, kind[who], name[who]) for songs, worth, who, kind, name in self._parts(query)]
        shares = Shares(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        kept = shares.worth > 0
        return Shares(shares.songs[kept], shares.worth[kept], shares.kind[kept], shares.who[kept])

    def _parts(self, query: Query) -> list[tuple[Array, Array, Array, Array, Array]]:
        """Songs (n,), what each is worth (n,) and by whom (n,) of P causes, with the kind (P,) of each and the position
        that it is named by (P,)."""
        listener, edits = query.listener, query.live.edits
        followees = edits.follows(listener.user_id, listener.user, "User")
        artists = edits.follows(listener.user_id, listener.user, "Artist")
        return [self._loves(query, followees), *self._works(query, artists, followees)]

    def _loves(self, query: Query, followees: Array) -> tuple[Array, Array, Array, Array, Array]:
        """What people have loved, by what they weigh."""
        people, weight, kind, via = self._people(query, self._latest(followees))
        loves = PeopleLoves.of(query.live.counters, self._snapshot)
        large, middle, small = loves.since
        parts = loves.release.columns, large.columns, middle.columns, small.columns
        trust = np.where(kind == ALIKE, 0.0, self._config.trust)
        mine, likes = query.listener.preferences(query.at)
        mine = mine.astype(np.int64)
        # what was folded in since this request began may be on a song that is newer still
        who, songs, worth = loves_of(
            people, weight, trust, *parts, loves.decay.since(query.hour), mine, likes, query.live.size
        )
        return songs, worth, who, kind, via

    def _people(self, query: Query, followees: Array) -> tuple[Array, Array, Array, Array]:
        """Whom to ask, each once: people, their weights, the kind of each, and the followee to name (all (P,))."""
        config, user = self._config, query.listener.user
        near, mass, via = self._circles.around(followees, user, config.around)
        peers = self._peers(query)
        others = np.sort(np.concatenate([followees, near]))
        peers = peers[~isin_sorted(peers, others)] if config.alike else peers[:0]
        sizes = (len(followees), len(near), len(peers))
        weight, named = np.ones(sum(sizes)), np.full(sum(sizes), -1, dtype=np.int64)
        close = slice(sizes[0], sizes[0] + sizes[1])
        weight[close] = config.circle * mass / max(float(mass.max(initial=0.0)), 1e-12)
        weight[close.stop :] = config.alike
        named[: close.start], named[close] = followees, via
        kinds = np.repeat((FOLLOWEE, CIRCLE, ALIKE), sizes)
        return np.concatenate([followees, near, peers]).astype(np.int64), weight, kinds, named

    def _peers(self, query: Query) -> Array:
        """Listeners of what the listener loves, those first who share the most and the rarest of it."""
        listened = self._snapshot.relation("LISTENED")
        songs, weights = query.listener.top_songs(query.at, self._config.loves)
        known = songs < listened.targets
        return np.asarray(
            peers_of(
                listened.reverse_indptr,
                listened.reverse_indices,
                songs[known].astype(np.int64),
                weights[known],
                CROWD,
                query.listener.user,
                self._config.peers,
            )
        )

    def _latest(self, followees: Array) -> Array:
        """Those of the followees who listened last, all if they are few."""
        if len(followees) <= FOLLOWEES:
            return followees
        histories = self._snapshot.histories
        if not len(histories):
            return followees[:FOLLOWEES]
        last = histories.indptr[followees + 1]
        when = np.where(last > histories.indptr[followees], histories.at[np.maximum(last - 1, 0)], UNKNOWN_TIME)
        return np.sort(followees[np.argsort(-when, kind="stable")[:FOLLOWEES]])

    def _works(
        self, query: Query, artists: Array, creators: Array
    ) -> Iterator[tuple[Array, Array, Array, Array, Array]]:
        """Works of followed artists and creators that are out, by how new and how well known they are."""
        config, new = self._config, query.live.songs
        late, which = np.nonzero(new.artist[:, None] == artists[None, :])
        newer = new.first + late, artists[which], new.released[late]
        groups = (
            (
                ARTIST,
                with_newer(self._by_artist.newest(artists), newer) if len(late) else self._by_artist.newest(artists),
            ),
            (CREATOR, self._by_creator.newest(creators)),
        )
        for kind, (works, by, released) in groups:
            out = released <= query.at
            songs, makers = works[out].astype(np.int64), by[out]
            if not len(songs):
                continue
            age = (query.hour - released[out].astype(np.float64)) / DAY_MS
            fresh = np.exp2(-np.minimum(age / config.fresh_days, 1e3))
            known = np.log1p(self._known(songs)) / self._famous
            worth = config.works * np.maximum(fresh, config.catalogue * known)
            yield songs, worth, np.arange(len(songs)), np.full(len(songs), kind), makers

    def _known(self, songs: Array) -> Array:
        """(n,) how many listeners songs have, new ones included."""
        return np.asarray(self._listeners[np.minimum(songs, len(self._listeners) - 1)])

    def _uploaded(self, uploaded: Relation) -> Array:
        """(E,) when each upload was made, when its song came out where that is not known."""
        unknown = np.full(len(uploaded), UNKNOWN_INTEGER)
        at = uploaded.properties.get("at", unknown)
        return np.where(at == UNKNOWN_INTEGER, self._released[uploaded.indices], at)


def with_newer(known: tuple[Array, ...], newer: tuple[Array, ...]) -> tuple[Array, ...]:
    """The newest `WORKS` of each maker out of both: songs, makers, release times."""
    songs, who, released = (np.concatenate(pair) for pair in zip(known, newer, strict=True))
    newest = np.lexsort((songs, -released.astype(np.float64), who))
    kept = newest[rank_within_group(who[newest]) < WORKS]
    return songs[kept], who[kept], released[kept]
