"""The whole line from a query to a slate: recall, merge, rank, re-rank, each with its trace.

Serving, evaluation and the world's closed loop all call this one class, so what is measured is what is served.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, TypeGuard

import numpy as np
import structlog

from embeddings.vectors.model_vectors import models_in, song_space
from graph.log.events import Event
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from ranking.base import Ranker
from ranking.breadth import Breadth, last_places
from ranking.features import Features
from ranking.reserve import ANSWERING, Reserve, answering, loved_here, places_at_most, places_kept, without_refused
from ranking.scene import ALWAYS, LATEST, NEARBY, ChannelUse, SceneConfig
from recall.base import Candidates, Channel, Query, Reacts
from recall.blend.fusion import Fusion
from recall.blend.merge import UNFITTED, Pool, merge
from recall.blend.places import allocate
from recall.blend.runner import Runner
from recall.blocked import refused_songs
from recall.discovery import channel_type
from recall.grouped import rank_within_group, sorted_unique
from recall.listeners.interests import Leaders
from recall.listeners.listener import BLOCKING, UNHEARD, Listener
from recall.listeners.preferences import artist_of
from recall.live.edits import NOT_ADMITTED, Edits, NewSongs
from recall.live.live import Overlay
from recall.recordings import Recordings
from recall.standing import StandingList

KNOWN: Final = 5
"""Songs heard from which on a listener is answered like all others."""
NOTHING: Final = "nothing"
"""What stands in the folder of a channel that had nothing to learn from."""
RANKED_ALONE: Final = 10
"""First places of a slate that no interest takes: kept there, they cost more than they gave."""
STANDING: Final = "standing"
"""What brings songs where channels did not answer: see `recall.standing`."""
LATE: Final = "some of these songs are popular ones: not every channel answered in time"
_ENOUGH: Final = 3
"""Candidates for each place of a slate below which the list that stands ready fills up: several may be one recording,
or by one artist."""
_LAST: Final = 1e-6
"""Weight of that list beside channels: what they found comes first."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stage:
    """One line of a trace: how many songs went in and came out, how long it took, and what was dropped and why."""

    stage: str
    entered: int
    left: int
    ms: float
    dropped: Sequence[Mapping[str, Any]] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "in": self.entered,
            "out": self.left,
            "ms": round(self.ms, 3),
            "dropped": list(self.dropped),
        }


@dataclass(frozen=True)
class _Excluded:
    """Songs (n,), ascending, that may not come back to a listener from a time on until another (epoch milliseconds),
    as long as those are `closed` that nobody may hear, and those are `new` that came since the release."""

    closed: Array
    new: NewSongs | None
    since: int
    until: float
    songs: Array


@dataclass(frozen=True)
class Slate:
    """Songs in the order they are shown.

    Shapes: n songs; songs (n,) positions, scores (n,) of the ranker, rows (n,) where each stands in `pool`.
    """

    songs: Array
    scores: Array
    rows: Array
    pool: Pool
    trace: list[Stage] = field(default_factory=list)
    note: str = ""
    """What the listener should know of the slate, such as that it was filled by other channels."""
    reserved: Mapping[int, str] = field(default_factory=dict)
    """The channel for which a place was kept, by row of the pool."""

    def channel(self, i: int) -> str:
        """The channel that brought song `i`: the one that its place was kept for, else where it stands highest."""
        row = int(self.rows[i])
        return self.reserved.get(row) or self.pool.first_channel(row)


class Cascade:
    """One scene over one release.

    Raises (when made): SettingsError for an unknown channel or option; CorruptRelease if the release lacks
    what a channel looks up.
    """

    def __init__(self, release: Release, scene: SceneConfig, name: str = "radio") -> None:
        self.release, self.scene, self.name = release, scene, name
        self.snapshot: Snapshot = release.snapshot
        held = set(models_in(release))
        kinds = {key: channel_type(key, use.use) for key, use in scene.channels.items()}
        self.without_model = sorted(
            key
            for key, kind in kinds.items()
            if not held >= set(kind.vectors) or release.has(f"recall/{key}/{NOTHING}")
        )
        """Channels of the scene that, or whose models, had nothing to learn from when the release was made."""
        self.channels: dict[str, Channel] = {
            key: kind.build(release, scene.channels[key].options)
            for key, kind in kinds.items()
            if key not in self.without_model
        }
        self.features = Features(release, self.usual)
        self._of_fusion: tuple[Fusion, SceneConfig, dict[str, int], dict[str, float]] | None = None
        fusion = f"ranking/{name}/fusion"
        self.fusion = Fusion.load(release, fusion) if release.has(fusion) else UNFITTED
        cold_start = f"ranking/{name}/cold_start"
        self.cold_start = Fusion.load(release, cold_start) if release.has(cold_start) else None
        """The fusion for listeners without a history; None where the release has none, and `fusion` serves them."""
        reserve = f"ranking/{name}/reserve"
        self.reserve = Reserve.load(release, reserve) if release.has(reserve) else Reserve()
        """How large a part of a slate answers to what was just done, where the scene does not set it."""
        self.ranker = self._stored_ranker()
        breadth = f"ranking/{name}/breadth"
        self.breadth = Breadth.load(release, breadth) if scene.breadth and release.has(breadth) else None
        reranker, config = scene.reranker_of()
        self._reranker, self._runner = reranker(config), Runner()
        self._not_admitted = np.flatnonzero(self.snapshot.column("Song", "tier") == NOT_ADMITTED).astype(np.int32)
        self._closed_after: tuple[Edits | None, Array] = None, self._not_admitted
        self._standing = StandingList.of(self.snapshot)
        self._artist, self._recordings = artist_of(self.snapshot), Recordings(self.snapshot)
        space = song_space(release)
        self._unit = None if space is None else space.unit
        self.leaders = Leaders.load(release, space.unit) if space is not None and scene.interests else None
        """What the release knows of listeners' interests; None where the scene does not keep them."""

    def _stored_ranker(self) -> Ranker | None:
        """The scene's ranker as the release has it; None if it has none, or one of other channels than the scene's.

        Such a ranker cannot score: fused scores order until the next refresh.
        """
        stored, found = f"ranking/{self.name}/{self.scene.ranker}", self.scene.ranker_of()
        if found is None or not self.release.has(stored):
            return None
        ranker = found[0].load(self.release, stored)
        if tuple(ranker.names) == self.features.names:
            return ranker
        _log.warning("ranker not used: the scene's channels have changed since the release", scene=self.name)
        return None

    def with_fusion(self, fusion: Fusion) -> Cascade:
        """The same cascade with another fusion; this one keeps its own, and both share everything else."""
        other = copy(self)
        other.fusion = fusion
        return other

    def with_ranker(self, ranker: Ranker, breadth: Breadth | None) -> Cascade:
        """The same cascade with another ranker, and another breadth of its slates."""
        other = copy(self)
        other.ranker, other.breadth = ranker, breadth
        return other

    @property
    def usual(self) -> tuple[str, ...]:
        """Channels that are asked for every request: those that fusion and ranker learn of."""
        uses = self.scene.channels
        return tuple(key for key in self.channels if key not in uses or uses[key].asked == ALWAYS)

    @property
    def _uses(self) -> dict[str, ChannelUse]:
        return {key: use for key, use in self.scene.channels.items() if key not in self.without_model}

    @property
    def quotas(self) -> dict[str, int]:
        """How many candidates of each channel the pool takes at most, as the scene says."""
        return self._usually()[0]

    def _usually(self) -> tuple[dict[str, int], dict[str, float]]:
        """Quotas and weights of the usual fusion; they are the same from one request to the next."""
        known = self._of_fusion
        if known is None or known[0] is not self.fusion or known[1] is not self.scene:
            quotas, weights = self._quotas(self.fusion, self._uses), self._weights(self.fusion)
            known = self._of_fusion = self.fusion, self.scene, quotas, weights
        return known[2], known[3]

    def weights(self, fusion: Fusion) -> dict[str, float]:
        """The factor of each channel's contributions: the scene's weight until weights are learned, then 1, or 0 where
        the scene says 0; 0 for a channel that answers to a place, as its worth beside the others was not learned."""
        return self._usually()[1] if fusion is self.fusion else self._weights(fusion)

    def _weights(self, fusion: Fusion) -> dict[str, float]:
        usual = {name: use for name, use in self._uses.items() if use.asked == ALWAYS}
        found = {name: float(use.weight > 0) if fusion.weights else use.weight for name, use in usual.items()}
        return dict.fromkeys(self._uses, 0.0) | found

    def fusion_for(self, listener: Listener) -> tuple[Fusion, dict[str, int]]:
        """The fusion that serves a listener, and the quotas of its channels.

        A listener who has heard nothing gets the cold-start fusion, one who has heard `KNOWN` songs the usual one, and
        one in between a mixture of both by the number of songs heard.
        """
        heard = _songs_heard(listener)
        if self.cold_start is None or heard >= KNOWN:
            return self.fusion, self.quotas
        fusion = self.cold_start.interpolate(self.fusion, heard / (heard + 1))
        uses = {name: use for name, use in self._uses.items() if name in fusion.quotas or use.asked != ALWAYS}
        return fusion, self._quotas(fusion, uses)

    def _fusion_and_quotas(self, query: Query, n: int) -> tuple[Fusion, dict[str, int]]:
        """Those that serve the listener; a slate of `n` that is larger than the scene's pool takes as many more of each
        channel."""
        fusion, quotas = self.fusion_for(query.listener)
        if n <= self.scene.pool:
            return fusion, quotas
        return fusion, {name: math.ceil(quota * n / self.scene.pool) for name, quota in quotas.items()}

    def _quotas(self, fusion: Fusion, all_uses: Mapping[str, ChannelUse]) -> dict[str, int]:
        """The quota of each channel; those that are not always asked keep theirs and take none of the others'."""
        uses = {name: use for name, use in all_uses.items() if use.asked == ALWAYS}
        return self._usual_quotas(fusion, uses) | {n: use.quota for n, use in all_uses.items() if n not in uses}

    def _usual_quotas(self, fusion: Fusion, uses: Mapping[str, ChannelUse]) -> dict[str, int]:
        if self.scene.quotas == "importance":
            weights = np.array([use.weight for use in uses.values()])
            return dict(zip(uses, allocate(self.scene.pool, weights).tolist(), strict=True))
        if self.scene.quotas == "learned" and fusion.quotas:
            return {name: fusion.quotas.get(name, 0) for name in uses}
        return {name: use.quota for name, use in uses.items()}

    def query(
        self,
        user_id: str | None,
        at: int,
        *,
        latest: Sequence[Event] = (),
        session: Sequence[str] = (),
        exclude: Sequence[str] = (),
        latitude: float | None = None,
        longitude: float | None = None,
        overlay: Overlay | None = None,
    ) -> Query:
        """The question of a listener (or of an unnamed `session` of song ids) at a moment in epoch milliseconds.

        `latest` are the listener's events since the release, `overlay` all that has happened since then.
        """
        if user_id is None:
            listener = Listener.of_session(self.snapshot, self.snapshot.ids["Song"].indices(session), at)
        else:
            places, forgotten = ({}, None) if overlay is None else overlay.edits.of_listener(user_id)
            listener = Listener.of(self.snapshot, user_id, latest, places, forgotten)
        extra = self.positions(exclude, overlay)
        return self.ask(listener, at, extra=extra, latitude=latitude, longitude=longitude, overlay=overlay)

    def positions(self, songs: Sequence[str], overlay: Overlay | None = None) -> Array:
        """(n,) the positions of those of some ids that are known, new ones included."""
        if not songs:
            return UNHEARD
        new = {} if overlay is None else overlay.edits.places
        known = self.snapshot.ids["Song"].indices(songs)
        return np.append(known, [new[song] for song in songs if song in new]).astype(np.int32)

    def ask(
        self,
        listener: Listener,
        at: int,
        *,
        extra: Array = UNHEARD,
        latitude: float | None = None,
        longitude: float | None = None,
        overlay: Overlay | None = None,
    ) -> Query:
        """As `query`, for a listener at hand; excludes what the scene's policy, blocks and admission forbid."""
        closed = self._not_admitted if overlay is None else self._closed(overlay.edits)
        exclude = self._excluded(listener, at, closed, None if overlay is None else overlay.songs)
        if len(extra):
            exclude = sorted_unique(np.concatenate([exclude, extra])).astype(np.int32)
        return Query(listener, at, exclude, latitude, longitude, self.name, overlay)

    def _excluded(self, listener: Listener, at: int, closed: Array, new: NewSongs | None) -> Array:
        """(n,) what may not come back to a listener, ascending: the same array until something of it changes."""
        key = (self.name, self.scene.heard, "excluded")
        kept: dict[str, _Excluded] = listener.once(key, dict)
        last = kept.get("last")
        same = last is not None and last.closed is closed and last.new is new
        if last is None or not same or not last.since <= at < last.until:
            last = kept["last"] = self._exclude(listener, at, closed, new)
        return last.songs

    def _exclude(self, listener: Listener, at: int, closed: Array, new_songs: NewSongs | None) -> _Excluded:
        kept_back, until = self.scene.heard_after_ms(), float("inf")
        new = [event for event in listener.new_events if event[1] not in BLOCKING] if kept_back > 0 else []
        late = np.array([s for s, _, when in new if when < 0 or at - when < kept_back], dtype=np.int32)
        if kept_back == float("inf"):
            heard = listener.heard[~listener.unmet]
        else:
            # without a time nobody can tell how long ago it was: it stays out unless the policy is "always"
            # (in a log without any times everything may)
            unknown = (listener.last_heard < 0) & (kept_back > 0) & (self.snapshot.as_of >= 0)
            lately = (listener.last_heard >= 0) & (at - listener.last_heard < kept_back)
            heard = listener.heard[(lately | unknown) & ~listener.unmet]
            # the next one that may come back
            times = [when for _, _, when in new if when >= 0 and at - when < kept_back]
            until = min([*times, *listener.last_heard[lately].tolist()], default=until) + kept_back
        refused = refused_songs(listener, new_songs)
        songs = sorted_unique(np.concatenate([heard, late, refused, closed])).astype(np.int32)
        return _Excluded(closed, new_songs, at, until, songs)

    def _closed(self, edits: Edits) -> Array:
        """Songs that are not admitted, after some edits: the same array until others are."""
        known, closed = self._closed_after
        if known is not edits:
            now = np.append(np.setdiff1d(self._not_admitted, edits.readmitted, assume_unique=True), edits.withheld)
            closed = closed if np.array_equal(now, closed) else now
            self._closed_after = edits, closed
        return closed

    def propose(self, query: Query, n: int = 0) -> tuple[dict[str, Candidates], Stage]:
        """Each channel's candidates within the scene's budget; channels that fail or time out are listed as dropped.
        Where some did and the others have few songs for a slate of `n`, or where that is larger than the scene's pool,
        the list that stands ready fills up."""
        started = time.perf_counter()
        counts = {name: quota for name, quota in self._fusion_and_quotas(query, n)[1].items() if quota > 0}
        asked = {name: channel for name, channel in self._asked(query).items() if name in counts}
        answers = self._runner.ask(asked, query, counts, self.scene.budget_ms)
        ms = (time.perf_counter() - started) * 1000
        found = dict(answers.found)
        few = answers.dropped and sum(len(one) for one in found.values()) < _ENOUGH * n
        if few or n > self.scene.pool:
            found[STANDING] = self._standing.recall(query, _ENOUGH * n)
        total = sum(len(one) for one in found.values())
        dropped = [{"channel": name, "reason": reason} for name, reason in answers.dropped.items()]
        return found, Stage("recall", self.snapshot.songs - len(query.exclude), total, ms, dropped)

    def _asked(self, query: Query) -> dict[str, Channel]:
        """The channels that are there for such a query."""
        if query.placed:
            return self.channels
        return {name: self.channels[name] for name in self.usual}

    def alone(self, query: Query, k: int) -> tuple[dict[str, Candidates], dict[str, float]]:
        """Each channel's `k` candidates without any budget, and its milliseconds; one that fails is not there."""
        counts = dict.fromkeys(self.channels, k)
        answers = self._runner.ask(self._asked(query), query, counts, float("inf"), anew=True)
        return dict(answers.found), dict(answers.ms)

    def warm(self, query: Query, budget_ms: float) -> None:
        """Have each channel count what it counts from the first, and answer `query`; one that takes longer than the
        budget is named in the log."""
        self._runner.warm(self.channels, query, budget_ms)

    def pool(self, query: Query, n: int | None = None) -> tuple[Pool, list[Stage]]:
        """The merged candidates, at most the scene's pool, and what answers to a moment, a place or an interest beyond
        it; a recording that has several ids once. Where the scene has channels to fill with, they only do so behind all
        others, up to `n` songs in all. Interests have songs of their own in it where a slate of `n` has places for
        them."""
        n = self.scene.n if n is None else n
        query = self._by_interest(query, n)
        proposals, recalled = self.propose(query, n)
        started = time.perf_counter()
        fusion, quotas = self._fusion_and_quotas(query, n)
        merged = merge(proposals, quotas | {STANDING: _ENOUGH * n}, self.weights(fusion) | {STANDING: _LAST}, fusion)
        # what stands beyond the pool fills the places of what is taken out
        merged = merged.only(self._recordings.firsts(merged.songs, query.live.songs))
        pool = merged.only(self._kept(query, merged.songs))
        pool = self._filled(query, pool, n)
        pool = pool.only(self._inside(pool, n))
        ms = (time.perf_counter() - started) * 1000
        return pool, [recalled, Stage("merge", recalled.left, len(pool), ms)]

    def _by_interest(self, query: Query, n: int) -> Query:
        """The query with what this release knows of interests, where a slate of `n` has places for them."""
        leaders = self.leaders if n > RANKED_ALONE else None
        return query if query.leaders is leaders else replace(query, leaders=leaders)

    def _filled(self, query: Query, pool: Pool, n: int) -> Pool:
        """What the scene is made of first, and behind it the best of what fills, while there are fewer than `n`."""
        if not self.scene.otherwise or not len(pool):
            return pool
        own = np.asarray((pool.ranks >= 0)[:, self._main(query, pool)].any(axis=1))
        behind = np.flatnonzero(~own)[: max(n - int(own.sum()), 0)]
        rows = np.concatenate([np.flatnonzero(own), behind])
        return replace(pool.of(rows), fused=np.where(own[rows], 1.0, 0.0) + _falling(pool.fused[rows]))

    def _inside(self, pool: Pool, n: int) -> Array:
        """Rows within the scene's pool, or the `n` of a larger slate, and those that answer to what was done a moment
        ago or serve an interest."""
        size = max(self.scene.pool, n)
        if len(pool) <= size:
            return np.arange(len(pool))
        late = np.arange(size, len(pool))
        kept = [pool.channels.index(name) for name in (LATEST, NEARBY) if name in pool.channels]
        ranks = pool.ranks[late][:, kept]
        late = late[((ranks >= 0) & (ranks < ANSWERING)).any(axis=1) | pool.besides[late]]
        return np.concatenate([np.arange(min(len(pool), size)), late])

    def _kept(self, query: Query, songs: Array) -> Array:
        """Places of the songs, the best first, that are not beyond the scene's count of one artist."""
        most = self.scene.per_artist
        if not most:
            return np.arange(len(songs))
        new = query.live.songs
        artist = new.take(self._artist, new.artist, songs)
        return np.flatnonzero((rank_within_group(artist) < most) | (artist < 0))

    def slate(self, query: Query, n: int | None = None) -> Slate:
        """The songs to show, `n` or as many as the scene says."""
        n = self.scene.n if n is None else n
        pool, scores, rows, trace = self.ordered(query, n)
        started = time.perf_counter()
        before = rows
        rows, needed = self._reacting(query, pool, scores, rows)
        reserved = dict.fromkeys(_without(needed, before), LATEST)
        if NEARBY in pool.channels:
            ranks, reacted = pool.ranks[:, pool.channels.index(NEARBY)], rows
            rows = loved_here(rows, ranks, scores, round(self.scene.here * len(rows)), needed)
            reserved |= dict.fromkeys(_without(rows, reacted), NEARBY)
        ms = trace[-1].ms + (time.perf_counter() - started) * 1000
        trace[-1] = replace(trace[-1], left=len(rows), ms=ms)
        own = np.asarray((pool.ranks[rows] >= 0)[:, self._main(query, pool)].any(axis=1))
        short = not own.all() or len(rows) < n
        note = self.scene.note if self.scene.otherwise and short else ""
        note = LATE if STANDING in pool.channels and trace[0].dropped else note
        return Slate(pool.songs[rows], scores[rows], rows, pool, trace, note, reserved)

    def ordered(self, query: Query, n: int) -> tuple[Pool, Array, Array, list[Stage]]:
        """The pool, its scores (P,), and the rows (n,) of a slate of which nothing is reserved yet."""
        query = self._by_interest(query, n)
        pool, trace = self.pool(query, n)
        started = time.perf_counter()
        scores = self.rank(query, pool)
        trace.append(Stage("rank", len(pool), len(pool), (time.perf_counter() - started) * 1000))
        started = time.perf_counter()
        new = query.live.songs
        unit = np.zeros((len(pool), 1)) if self._unit is None else new.take(self._unit, new.unit, pool.songs)
        artist = new.take(self._artist, new.artist, pool.songs)
        main, besides = np.flatnonzero(~pool.besides), np.flatnonzero(pool.besides)
        unit_of_main, artist_of_main = (unit[main], artist[main]) if len(besides) else (unit, artist)

        def order(scores: Array) -> Array:
            rows = main[self._reranker.order(scores[main], unit_of_main, artist_of_main, n)]
            if len(rows) == n:
                return rows
            return np.append(rows, besides[np.argsort(-scores[besides], kind="stable")])[:n]

        rows = order(scores)
        if self.breadth is not None and self._ranks(query):
            rows = last_places(rows, order(self.breadth.lowered(pool.songs, scores)))
        if len(query.interests):
            rows = keeping(rows, query.interests.nearest(unit), scores)
        trace.append(Stage("rerank", len(pool), len(rows), (time.perf_counter() - started) * 1000))
        return pool, scores, rows, trace

    def _reacting(self, query: Query, pool: Pool, scores: Array, rows: Array) -> tuple[Array, Array]:
        """Rows (n,) of the slate with the part of it that what was done a moment ago decides, and those (m,) of them
        that answer to it, as many as are wanted and the last ones."""
        channel = self.channels.get(LATEST)
        reserve = None if isinstance(self.scene.reserve, str) else float(self.scene.reserve)
        if reserve == 0 or not _reacts(channel) or not channel.anything(query):
            return rows, rows[:0]
        answers, ranks = self.answers(query, pool)
        count = places_kept(reserve, self.reserve.share, len(rows), len(np.unique(answers[answers >= 0])))
        refused = channel.refused(query, pool.songs)
        rows = without_refused(rows, refused, scores, places_at_most(reserve, len(rows)))
        rows = answering(rows, answers, ranks, count)
        return rows, rows[answers[rows] >= 0][-count:] if count else rows[:0]

    def answers(self, query: Query, pool: Pool) -> tuple[Array, Array]:
        """(P,) which recent action each song of the pool answers to, 0 the newest, -1 none; (P,) in which order."""
        channel, answers = self.channels.get(LATEST), np.full(len(pool), -1, dtype=np.int64)
        if not _reacts(channel) or LATEST not in pool.channels:
            return answers, answers
        ranks = pool.ranks[:, pool.channels.index(LATEST)]
        answers[ranks >= 0] = channel.answers(query, pool.songs[ranks >= 0])
        return answers, ranks

    def _main(self, query: Query, pool: Pool) -> Array:
        """(C,) True for channels that the scene is made of, and not filled by.

        A scene that is filled where nothing is loved near by is made of that alone for a request that names a place,
        and for a listener near whom nothing is known.
        """
        fills = {STANDING, *self.scene.otherwise}
        found = np.array([name not in fills for name in pool.channels], dtype=bool)
        use = self.scene.channels.get(NEARBY)
        if not self.scene.otherwise or use is None or use.asked != ALWAYS:
            return found
        near = np.array([name == NEARBY for name in pool.channels], dtype=bool)
        return near if query.placed or not (pool.ranks[:, near] >= 0).any() else found

    def rank(self, query: Query, pool: Pool) -> Array:
        """(P,) the ranker's score of every song of the pool; the fused score where the release has no ranker, and for
        cold-start listeners, whom the ranker was not trained on."""
        if self.ranker is None or not len(pool) or not self._ranks(query):
            return pool.fused
        return self.ranker.score(self.features.matrix(query, pool))

    def _ranks(self, query: Query) -> bool:
        """Whether the ranker orders the listener's pool: the release has one, and it learned from listeners like
        this."""
        few = self.cold_start is not None and _songs_heard(query.listener) < KNOWN
        return self.ranker is not None and not few


def _reacts(channel: object) -> TypeGuard[Reacts]:
    return _of_a_kind_that_reacts(type(channel))  # type: ignore[arg-type]  # a type can be hashed


@cache
def _of_a_kind_that_reacts(kind: type) -> bool:
    return issubclass(kind, Reacts)  # looked up once: a protocol is compared member by member


def keeping(rows: Array, served: Array, scores: Array) -> Array:
    """Rows (n,) of a slate that serves each interest which the pool can serve, as far as there is room: the last
    quarter of the slate, but none of its first `RANKED_ALONE` places.

    `served` (P,) is the interest of each song of the pool, from 0, the most important one, or -1; scores (P,) are the
    ranker's. The best song of an interest that the slate lacks takes the place of the last one that nobody misses.
    """
    rows, first = rows.copy(), max(len(rows) - len(rows) // 4, RANKED_ALONE)
    for interest in range(int(served.max(initial=-1)) + 1):
        mine = served[rows]
        able = np.setdiff1d(np.flatnonzero(served == interest), rows)
        if (mine == interest).any() or not len(able):
            continue
        counts = np.bincount(mine[mine >= 0], minlength=len(served) + 1)
        spare = [i for i in range(len(rows) - 1, first - 1, -1) if mine[i] < 0 or counts[mine[i]] > 1]
        if not spare:
            break
        rows[spare[0]] = able[np.argmax(scores[able])]
    return rows


def _without(rows: Array, others: Array) -> list[int]:
    """Those of the rows that are none of the others."""
    held = set(others.tolist())
    return [row for row in rows.tolist() if row not in held]


def _falling(scores: Array) -> Array:
    """Scores (P,) from just below 1 to above 0, in their order."""
    order = np.argsort(-scores, kind="stable")
    found = np.empty(len(scores))
    found[order] = 1 - (np.arange(len(scores)) + 0.5) / max(len(scores), 1)
    return found


def _songs_heard(listener: Listener) -> int:
    return len(listener.heard) + len({song for song, _, _ in listener.new_events})
