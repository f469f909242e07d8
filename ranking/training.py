"""How the log is split, the lists that train a ranker, and the measurement of a candidate release.

Channels are trained on the events before a first cut and the ranker on those before a second. The candidate is
measured on the rest. An event without a time is assigned by a hash of its listener and song, so all events of a pair
are in the same subset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import CODE, STRENGTH, Histories
from graph.snapshot.snapshot import Snapshot
from graph.splitmix import GOLDEN, mix
from ranking.base import Ranker
from ranking.breadth import ScoredList
from ranking.cascade import Cascade
from ranking.metrics import Scoreboard
from ranking.reserve import MOST, SLATE, Reserve, answering, next_loved
from ranking.scene import LATEST, SceneConfig
from recall.base import Candidates, Query, Reacts
from recall.blend.fusion import Fusion
from recall.blend.outcome import Outcome
from recall.discovery import channel_type
from recall.listeners.listener import UNHEARD, Listener
from recall.listeners.preferences import listeners

CHANNEL_TRAIN, RANKER_TRAIN, TEST = 0, 1, 2
"""The three subsets of the events: what channels learn from, what the ranker learns from, what is measured."""
_LOVED: Final = tuple(CODE[action] for action, strength in STRENGTH.items() if strength >= 1)
_LIKED: Final = tuple(CODE[action] for action, strength in STRENGTH.items() if strength > 0)
COLD_START: Final = 1 / 4
"""Share of the training listeners whose histories are hidden to learn the cold-start fusion."""
MOMENTS: Final = 200
"""Moments within sessions that say how much of a slate is reserved, at most."""
SESSION_MS: Final = 3_600_000
"""A pause of more than an hour ends a session."""
STRANGERS: Final = 1 / 3
"""Share of these whose home and follows are hidden too."""


@dataclass(frozen=True)
class Split:
    """`subset` (events,) is CHANNEL_TRAIN, RANKER_TRAIN or TEST for each event. `rank_at` and `measure_at` are the
    times (epoch milliseconds) at which the last two begin, the newest event's time for a log without times."""

    subset: Array
    rank_at: int
    measure_at: int

    def learning(self, snapshot: Snapshot, without: Array | None = None) -> Snapshot:
        """The view that channels and vectors learn from: CHANNEL_TRAIN events, without those of the listeners for whom
        `without` (users,) is true."""
        keep = self.subset == CHANNEL_TRAIN
        if without is not None:
            keep &= ~without[snapshot.histories.user]
        return snapshot.view(keep, self.rank_at or None)

    def known(self, snapshot: Snapshot) -> Snapshot:
        """What is known when the measurement begins."""
        return snapshot.view(self.subset < TEST, self.measure_at or None)


def cut(snapshot: Snapshot, *, rank_share: float, measure_share: float, seed: int) -> Split:
    """Split the log: the newest `measure_share` of the events is TEST, the `rank_share` before it RANKER_TRAIN.

    Events without a time are split by their ids, so new songs and listeners never move a pair to another subset.
    """
    histories = snapshot.histories
    subset = np.zeros(len(histories), dtype=np.int8)
    timed = histories.at >= 0
    rank_at = measure_at = max(histories.newest, 0)
    if timed.any():
        times = np.sort(histories.at[timed])
        rank_at = int(times[min(int(len(times) * (1 - rank_share - measure_share)), len(times) - 1)])
        measure_at = int(times[min(int(len(times) * (1 - measure_share)), len(times) - 1)])
        subset[timed & (histories.at >= rank_at)] = RANKER_TRAIN
        if measure_share:
            subset[timed & (histories.at >= measure_at)] = TEST
    users, songs = (snapshot.ids[label].keys() for label in ("User", "Song"))
    chance = _chance(users[histories.user], songs[histories.song], seed)
    subset[~timed & (chance >= 1 - rank_share - measure_share)] = RANKER_TRAIN
    subset[~timed & (chance >= 1 - measure_share)] = TEST
    return Split(subset, rank_at, measure_at)


def _chance(user: Array, song: Array, seed: int) -> Array:
    """A number in [0, 1) for each pair of keys (E,), the same whenever the pair comes up."""
    with np.errstate(over="ignore"):
        bits = mix(((user * np.uint64(0xD1342543DE82EF95)) ^ song) + GOLDEN * np.uint64(seed + 1))
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) / 2.0**53)


def loved(histories: Histories, keep: Array) -> Iterator[tuple[int, Array]]:
    """(user, songs) for everybody who loved something among the events of `keep` (events,).

    Loved means a full play or more; in a log that knows plays only, a play.
    """
    codes = _LOVED if np.isin(histories.action, _LOVED).any() else _LIKED
    chosen = np.flatnonzero(keep & np.isin(histories.action, codes))
    if not len(chosen):
        return
    users, starts = np.unique(histories.user[chosen], return_index=True)
    for user, songs in zip(users.tolist(), np.split(histories.song[chosen], starts[1:]), strict=True):
        yield user, np.unique(songs)


def sampled(pairs: Iterator[tuple[int, Array]], most: int, rng: np.random.Generator) -> list[tuple[int, Array]]:
    """At most `most` of the pairs, drawn evenly and kept in order."""
    everything = list(pairs)
    if len(everything) <= most:
        return everything
    return [everything[i] for i in np.sort(rng.choice(len(everything), most, replace=False))]


def fit_fusion(
    cascade: Cascade, truth: list[tuple[int, Array]], at: int, *, budget_ms: float = float("inf")
) -> Fusion | None:
    """The contribution of each channel's candidates and the quotas, learned from the songs liked after time `at`.

    Every channel is asked for a whole pool. None if no channel found anything that was loved afterwards. Quotas are
    those of the scene, or learned, and then keep within `budget_ms` by the milliseconds that each channel took here;
    without a budget they depend on no clock. A listener of -1 is somebody unknown.
    """
    outcomes, spent = [], dict.fromkeys(cascade.usual, 0.0)
    for user, songs in truth:
        query = cascade.ask(_listener(cascade.snapshot, user), at)
        found, ms = cascade.alone(query, cascade.scene.pool)
        outcomes.append(Outcome(found, songs[query.allowed[songs]]))
        for name in found:
            spent[name] += ms[name]
    cost = {name: total / max(len(outcomes), 1) for name, total in spent.items()}
    quotas = None if cascade.scene.quotas == "learned" else cascade.quotas
    return Fusion.fit([o for o in outcomes if len(o.loved)], cascade.scene.pool, cost, budget_ms, quotas=quotas)


def cold_start(
    release: Release, split: Split, truth: list[tuple[int, Array]], rng: np.random.Generator
) -> tuple[Release, list[tuple[int, Array]]]:
    """The release without the histories of `COLD_START` of the listeners, and what its cold-start listeners liked.

    Hidden events count for nobody else either. The second value is (listener, songs liked after the first cut) of every
    listener without a history in that release: those hidden, and those who really came after the cut. Homes and
    follows stay known, except for `STRANGERS` of these listeners, who become listener -1.
    Source: Volkovs et al. 2017, DropoutNet: addressing cold start in recommender systems.
    """
    hidden = np.zeros(release.snapshot.users, dtype=bool)
    hidden[[user for user, _ in truth if rng.random() < COLD_START]] = True
    seen = split.learning(release.snapshot, without=hidden)
    unheard = np.diff(seen.histories.indptr) == 0
    new = [(-1 if rng.random() < STRANGERS else user, songs) for user, songs in truth if unheard[user]]
    return release.seeing(seen), new


def without_memory(scene: SceneConfig) -> SceneConfig | None:
    """The scene without channels that answer from what they stored of a listener's history, which cannot be hidden from
    them; None if it has no others."""
    kept = {name: use for name, use in scene.channels.items() if not channel_type(name, use.use).remembers}
    return replace(scene, channels=kept) if kept else None


@dataclass(frozen=True)
class RankerLists:
    """The pools of G listeners, which train a ranker, one after the other.

    Shapes: N songs in all; songs (N,), features (N, F), labels (N,) 1.0 for a song that was loved afterwards, groups
    (G + 1,) where the lists begin and end.
    """

    songs: Array
    features: Array
    labels: Array
    groups: Array

    @classmethod
    def of(
        cls,
        cascade: Cascade,
        truth: list[tuple[int, Array]],
        at: int,
        tick: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
    ) -> RankerLists:
        """The cascade's own pools at time `at`, of the listeners of `truth`, labelled by what they loved afterwards."""
        songs, features, labels = [UNHEARD], [np.empty((0, len(cascade.features)))], [np.empty(0)]
        for done, (user, loved_) in enumerate(truth):
            query = cascade.ask(_listener(cascade.snapshot, user), at)
            pool, _ = cascade.pool(query)
            tick(done + 1, len(truth))
            songs.append(pool.songs)
            features.append(cascade.features.matrix(query, pool))
            labels.append(np.isin(pool.songs, loved_).astype(np.float64))
        groups = np.cumsum([len(one) for one in songs]).astype(np.int64)
        return cls(np.concatenate(songs), np.concatenate(features), np.concatenate(labels), groups)

    def with_hits(self) -> RankerLists:
        """Only those that hold a song that was loved."""
        sizes = np.diff(self.groups)
        of = np.repeat(np.arange(len(sizes)), sizes)
        hit = np.bincount(of, self.labels, len(sizes)) > 0
        rows = hit[of]
        groups = np.concatenate([[0], np.cumsum(sizes[hit])]).astype(np.int64)
        return RankerLists(self.songs[rows], self.features[rows], self.labels[rows], groups)

    def scored(self, ranker: Ranker) -> list[ScoredList]:
        """Each list as the ranker scores it."""
        slices = [slice(start, end) for start, end in pairwise(self.groups.tolist())]
        return [ScoredList(self.songs[s], ranker.score(self.features[s]), self.labels[s] > 0) for s in slices]


def fit_ranker(cascade: Cascade, lists: RankerLists, *, rng: np.random.Generator) -> Ranker | None:
    """Train the scene's ranker, as the scene sets it, on lists of its own: what was loved afterwards against the rest.

    None if no list holds a song that was loved afterwards: the log is too young to learn an order from. None too if the
    scene keeps the order of the merged pool.
    Raises: FitError if the weights are not finite.
    """
    chosen, lists = cascade.scene.ranker_of(), lists.with_hits()
    if chosen is None or not len(lists.songs):
        return None
    ranker, config = chosen
    return ranker.fit(cascade.features.names, lists.features, lists.labels, lists.groups, config, rng=rng)


def fit_reserve(cascade: Cascade, split: Split, everything: Snapshot, rng: np.random.Generator) -> Reserve:
    """How large a part of a slate answers to what was just done, from sessions between the cuts.

    At `MOMENTS` moments at most at which a listener had just loved a song, with all that was done before, the scene's
    slates with 0 to 3 of ten places kept are compared by how much they hold of what was loved next in the session.
    `everything` is the whole log, of which the cascade knows what came before the first cut.
    """
    histories, channel = everything.histories, cascade.channels.get(LATEST)
    if not isinstance(channel, Reacts):
        return Reserve(reason="no channel answers to what was just done")
    codes = _LOVED if np.isin(histories.action, _LOVED).any() else _LIKED
    loved_then = (split.subset == RANKER_TRAIN) & (histories.at >= 0) & np.isin(histories.action, codes)
    moments = []
    for user in np.unique(histories.user[loved_then]).tolist():
        rows = np.flatnonzero(loved_then[histories.of(user)]) + histories.of(user).start
        in_time = rows[np.argsort(histories.at[rows], kind="stable")]
        pairs = next_loved(histories.song[in_time].tolist(), histories.at[in_time].tolist(), SESSION_MS)
        moments += [(user, int(in_time[i]), songs) for i, songs in pairs]
    kept = np.sort(rng.choice(len(moments), min(MOMENTS, len(moments)), replace=False)) if moments else ()
    found = []
    for user, row, songs in (moments[i] for i in kept):
        query = cascade.ask(_until(cascade.snapshot, histories, split, user, row), int(histories.at[row]) + 1)
        wanted = songs[query.permits(songs)]
        if len(wanted):
            pool, _, slate, _ = cascade.ordered(query, SLATE)
            answers, ranks = cascade.answers(query, pool)
            slates = (answering(slate, answers, ranks, places) for places in range(int(MOST * SLATE) + 1))
            found.append([float(np.isin(wanted, pool.songs[rows]).mean()) for rows in slates])
    none = "no session with a time between the cuts"
    return Reserve.fit(np.array(found, dtype=np.float64).reshape(len(found), int(MOST * SLATE) + 1), none)


def _until(snapshot: Snapshot, histories: Histories, split: Split, user: int, row: int) -> Listener:
    """A listener just after the event at `row` of `histories`, without what is measured."""
    rows = np.arange(histories.of(user).start, row + 1)
    rows = rows[split.subset[rows] < TEST]
    song, action, at, count = (getattr(histories, name)[rows] for name in ("song", "action", "at", "count"))
    return Listener(snapshot, user, song, action, at, count, snapshot.ids["User"][user])


def measure(
    snapshot: Snapshot,
    truth: list[tuple[int, Array]],
    at: int,
    rankings: dict[str, Callable[[Query], Array]],
    ask: Callable[[Listener, int], Query],
    *,
    ks: tuple[int, ...] = (10,),
    tick: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> dict[str, Scoreboard]:
    """Rank for every listener of `truth` at time `at` with each of `rankings` and score what comes out.

    Songs that the query excludes (heard ones, mostly) are no truth; listeners without any truth left do not count.
    """
    boards = {name: Scoreboard(snapshot.songs, listeners(snapshot), snapshot.users, ks) for name in rankings}
    for done, (user, songs) in enumerate(truth):
        query = ask(_listener(snapshot, user), at)
        relevant = songs[query.allowed[songs]]
        tick(done + 1, len(truth))
        if len(relevant):
            for name, rank in rankings.items():
                boards[name].add(rank(query), relevant)
    return boards


def best_first(found: Candidates, snapshot: Snapshot) -> Array:
    """Songs of the candidates, but for those that are there for an interest alone, by descending score, equal scores by
    the song's first appearance in the log."""
    found = found.main
    order = np.lexsort((snapshot.histories.first_seen[found.songs], -found.scores))
    return found.songs[order]


def _listener(snapshot: Snapshot, user: int) -> Listener:
    return Listener.of(snapshot, snapshot.ids["User"][user] if user >= 0 else None)
