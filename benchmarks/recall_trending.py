"""How soon a song that has just risen is among the 50 that lead: trending against plain counts, on the world.

Worlds of 2,000 songs, 2,000 listeners and 300,000 events in which 30 songs are suddenly sought and 30 others merely
shown more (`bursts`, see docs/world.md). The log is replayed, two hours at a time, into the live state of a release of
the first third; each time the channel is asked by somebody of whom nothing is known, and so are the counts of plays
that were not skipped: over all time, the last 7 days and the last day. A song is found when it stands in the 50 for the
first time after its rise began; one that never does counts as found at the end of the log. Lead: hours from the
channel's find to the count's, median over all rises. Below it, in shares of all 50s: songs that are risen (their rate
at least twice the usual one), and songs that are shown at least twice as often as usual and not liked more. Settings
were chosen on seeds 20 and 21. +- is the standard deviation over the seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks._plots import needed, plotted
from benchmarks.channels import world_snapshot
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.histories import STRENGTH_BY_CODE
from graph.snapshot.snapshot import Snapshot
from recall.base import Query
from recall.channels.trending import Trending, TrendingConfig
from recall.listeners.listener import UNHEARD, Listener
from recall.live.counters import Counters
from recall.live.live import EventBatch, Overlay

SEEDS: Final = (10, 11, 12)
WORLD: Final = {"users": 2000, "songs": 2000, "days": 60, "events": 300_000, "bursts": 30}
DAY_MS: Final = 86_400_000
STEP_MS: Final = 2 * 3_600_000
K: Final = 50
COUNTS: Final[Mapping[str, int | None]] = {"all plays": None, "plays of 7 days": 7, "plays of 1 day": 1}


@dataclass(frozen=True)
class Replay:
    """A world's log and its lists: `at` (T,) the moments asked; `lists` (T, 50) songs by name, -1 where there are
    fewer; `truth` a row a burst, with the position of its `song`."""

    at: Array
    lists: Mapping[str, Array]
    truth: pl.DataFrame

    def found(self, name: str) -> Array:
        """(rises,) hours from each rise to the first list with the song, to the end of the log where there is none."""
        hours = []
        for burst in self._of("rise").iter_rows(named=True):
            later = np.flatnonzero(self.at >= burst["onset"])
            listed = later[(self.lists[name][later] == burst["song"]).any(axis=1)]
            moment = self.at[listed[0]] if len(listed) else self.at[-1]
            hours.append((moment - burst["onset"]) / 3_600_000)
        return np.array(hours)

    def ever(self, name: str) -> float:
        """Share of the rises that are ever listed."""
        ended = [(self.at[-1] - onset) / 3_600_000 for onset in self._of("rise")["onset"]]
        return float((self.found(name) < np.array(ended)).mean())

    def share(self, name: str, kind: str) -> float:
        """Share of all places on the lists that hold a song which is at least twice as high as usual right then."""
        right = 0
        for burst in self._of(kind).iter_rows(named=True):
            until = burst["onset"] + DAY_MS * burst["half_life_days"] * np.log2(burst["factor"] - 1)
            during = (self.at >= burst["onset"]) & (self.at <= until)
            right += int((self.lists[name][during] == burst["song"]).sum())
        return right / self.lists[name].size

    def _of(self, kind: str) -> pl.DataFrame:
        return self.truth.filter(pl.col("kind") == kind)


def run(seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot.

    Raises: InvalidInput if matplotlib is missing.
    """
    needed()
    replays = [replayed(seed) for seed in seeds]
    _plot(replays)
    rows = []
    for peer in COUNTS:
        leads = [np.median(r.found(peer) - r.found("trending")) / 24 for r in replays]
        rows.append(_row("median lead", "days", peer, [(lead, 0.0) for lead in leads]))
    measures: Sequence[tuple[str, str, Callable[[Replay, str], float]]] = (
        ("median time to find a rise", "hours", lambda r, name: float(np.median(r.found(name)))),
        ("rises found at all", "share", Replay.ever),
        ("places held by risen songs", "share", lambda r, name: r.share(name, "rise")),
        ("places held by songs only shown more", "share, lower is better", lambda r, name: r.share(name, "shown")),
    )
    for what, unit, measure in measures:
        rows += [_row(what, unit, p, [(measure(r, "trending"), measure(r, p)) for r in replays]) for p in COUNTS]
    return rows


def replayed(seed: int, world: Mapping[str, int] = WORLD) -> Replay:
    """The world of a seed, asked every two hours from the end of its first third on."""
    with tempfile.TemporaryDirectory() as folder:
        whole = world_snapshot(Path(folder) / "world", {**world, "seed": seed})
        truth = pl.read_parquet(Path(folder) / "world" / "truth" / "bursts.parquet")
        truth = truth.with_columns(song=whole.ids["Song"].indices(truth["song_id"]))
        whole.write(Path(folder) / "build" / "snapshot")
        begin = int(truth["onset"].min()) - STEP_MS  # type: ignore[arg-type]
        view = whole.view(whole.histories.at < begin, begin)
        return followed(whole, Release.open(Path(folder) / "build").seeing(view), truth, TrendingConfig())


def followed(whole: Snapshot, release: Release, truth: pl.DataFrame, config: TrendingConfig) -> Replay:
    """What is asked of a release of the log's first part while the rest of the whole log is folded in."""
    view, h, x = release.snapshot, whole.histories, whole.exposures
    begin = int(view.as_of)
    at = np.arange(begin + STEP_MS, whole.as_of, STEP_MS)
    channel, still = Trending(release, config), Overlay.of(view)
    live = Overlay(Counters(view), still.edits, still.songs)
    nobody = Listener.of(view, None)
    plays = h.playbacks & (STRENGTH_BY_CODE[h.action] > 0)
    lists: dict[str, list[Array]] = {name: [] for name in ("trending", *COUNTS)}
    seen = begin
    for now in at.tolist():
        events, shown = ((t > seen) & (t <= now) for t in (h.at, x.at))
        columns = (getattr(h, name)[events] for name in ("user", "song", "action", "at", "count", "cell"))
        live.counters.fold(EventBatch(*columns), x.where(shown))
        lists["trending"].append(_padded(channel.recall(Query(nobody, now, UNHEARD, overlay=live), K).songs))
        for name, days in COUNTS.items():
            within = plays & (h.at <= now) & (h.at > (now - days * DAY_MS if days else 0))
            lists[name].append(_most(np.bincount(h.song[within], minlength=whole.songs)))
        seen = now
    return Replay(at, {name: np.stack(found) for name, found in lists.items()}, truth)


def _most(counts: Array) -> Array:
    return np.argsort(-counts, kind="stable")[:K]


def _padded(songs: Array) -> Array:
    return np.concatenate([songs, np.full(K - len(songs), -1)])


def _row(what: str, unit: str, peer: str, pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    values = np.array(pairs, dtype=float)
    (ours, theirs), (spread, other) = values.mean(axis=0), values.std(axis=0)
    lead = what == "median lead"
    return {
        "what": what,
        "ours": round(float(ours), 3),
        "peer": None if lead else round(float(theirs), 3),
        "peer_name": peer,
        "ratio": None if lead else round(float(ours / max(theirs, 1e-9)), 2),
        "unit": unit,
        "ours_quality": f"+- {spread:.3f}",
        "peer_quality": "" if lead else f"+- {other:.3f}",
    }


def _plot(replays: Sequence[Replay]) -> None:
    with plotted("recall-trending", 2, size=(11, 3.4)) as (left, right):
        for name in COUNTS:
            leads = np.sort(np.concatenate([r.found(name) - r.found("trending") for r in replays])) / 24
            left.step(leads, np.arange(1, len(leads) + 1) / len(leads), where="post", label=f"before {name}")
        left.axvline(1, color="grey", linewidth=0.8)
        left.set_xlabel("lead of trending in days")
        left.set_ylabel("share of rises")
        for name in ("trending", *COUNTS):
            hours = np.sort(np.concatenate([r.found(name) for r in replays])) / 24
            right.step(hours, np.arange(1, len(hours) + 1) / len(hours), where="post", label=name)
        right.set_xlabel("days from the rise to the first list")
        right.set_xlim(0, 14)
        left.legend()
        right.legend()
