"""100,000 events folded in live: whether what a worker knows equals a rebuild from the log, and how late it knows it.

A writer appends events of a world's listeners and songs to a real log, in batches of 100, as fast as the log takes
them, while two workers fold it five times a second as `segue serve` does. Equality: the greatest relative difference of
any song's decayed plays, and of any song's in any place, between a worker and a snapshot that is built anew from the
log. Lag: from the moment a batch is durable until a worker has folded it in.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._plots import needed, plotted
from graph.importers.base import open_importer
from graph.log.events import EventLog
from graph.release import Release
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import Snapshot
from recall.decay import Decay
from recall.live.counters import Counters, GroupSums, SongSums, plays
from recall.live.live import Live

EVENTS: Final = 100_000
BATCH: Final = 100
FOLD_S: Final = 0.2
HALF_LIFE_MS: Final = 3 * 86_400_000
WORLD: Final = {"users": 500, "songs": 2000, "days": 30, "events": 20_000, "seed": 10}


def run() -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and `docs/recall-live.svg`.

    Raises: InvalidInput if matplotlib is missing.
    """
    needed()
    with tempfile.TemporaryDirectory() as folder:
        batch = open_importer("world", Path(folder) / "world", WORLD).read(lambda *_: None)
        with EventLog(f"sqlite:///{folder}/events.db") as log:
            batch.name_events("world")
            log.append_frame(batch.events)
            before = Snapshot.of_frames(batch.nodes, batch.relationships, log.frame())
            before.write(Path(folder) / "release" / "snapshot")
            opened = Release.open(Path(folder) / "release")
            manifest = {"events": {"log_id": log.log_id, "offset": log.last_offset()}}
            workers = [Live(Release(opened.path, manifest, opened.snapshot), log) for _ in range(2)]
            for worker in workers:
                _counted(worker.overlay.counters)  # asked for now, folded into from here on
            lags, seconds = _followed(log, workers, before)
            after = Snapshot.of_frames(batch.nodes, batch.relationships, log.frame())
            differences = [_difference(worker, after) for worker in workers]
    _plot(np.sort(lags))
    p50, p99 = np.percentile(lags, (50, 99))
    quality = f"{EVENTS:,} events in {seconds:.0f} s, {len(lags):,} batches"
    return [
        _row("greatest relative difference to a rebuild", max(differences), "", quality),
        _row("lag of a worker, median", p50, "s", quality),
        _row("lag of a worker, p99", p99, "s", quality),
        _row("events appended and folded by two workers", EVENTS / seconds, "1/s", quality),
    ]


def _plot(lags: Array) -> None:
    """Of what share of the batches the lag was at most so long."""
    with plotted("recall-live", size=(6, 3)) as (panel,):
        panel.plot(lags, np.arange(1, len(lags) + 1) / len(lags))
        panel.axvline(1, linestyle=":")
        panel.set_xlabel("lag of a worker, s")
        panel.set_ylabel("share of the batches")
        panel.set_ylim(0, 1)


def _row(what: str, value: float, unit: str, quality: str) -> dict[str, Any]:
    row = {"what": what, "ours": float(f"{value:.3g}"), "peer": None, "peer_name": "", "ratio": None, "unit": unit}
    return row | {"ours_quality": quality, "peer_quality": ""}


def _counted(counters: Counters) -> tuple[SongSums, GroupSums]:
    snapshot = counters.snapshot
    decay = Decay.of(snapshot, HALF_LIFE_MS)
    lives = snapshot.relation("LIVES_IN")
    home = np.full(snapshot.users + 1, -1, dtype=np.int64)  # the last one is of listeners that are not known
    home[lives.edge_sources] = lives.indices
    songs = counters.events("songs", lambda: SongSums(snapshot.songs, decay, plays))
    places = counters.events("places", lambda: GroupSums(decay, plays, lambda events: home[events.user]))
    return songs, places


def _followed(log: EventLog, workers: list[Live], snapshot: Snapshot) -> tuple[list[float], float]:
    """(seconds from durable to folded of every batch and worker, seconds in all)."""
    durable: list[tuple[int, float]] = []
    lags: list[float] = []
    done = threading.Event()

    def follow(worker: Live) -> None:
        seen = 0
        while True:
            over = done.is_set()
            status = worker.check()
            now, folded = time.perf_counter(), log.last_offset() - (status.behind or 0)
            while seen < len(durable) and durable[seen][0] <= folded:
                lags.append(now - durable[seen][1])
                seen += 1
            if over:
                return
            time.sleep(FOLD_S)

    threads = [threading.Thread(target=follow, args=(worker,)) for worker in workers]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for batch in np.split(_drawn(snapshot), EVENTS // BATCH):
        log.append([_event(snapshot, row) for row in batch.tolist()])
        durable.append((log.last_offset(), time.perf_counter()))
    done.set()
    for thread in threads:
        thread.join()
    return lags, time.perf_counter() - began


def _drawn(snapshot: Snapshot) -> Array:
    """(EVENTS, 4) listener, song, action and time of day, the same every time."""
    rng = np.random.default_rng(0)
    most = (snapshot.users, snapshot.songs, 4, 86_400_000)
    return np.stack([rng.integers(0, n, EVENTS) for n in most], axis=1)


def _event(snapshot: Snapshot, row: list[int]) -> dict[str, Any]:
    user, song, action, at = row
    name = ("full_play", "play", "skip", "like")[action]
    ids = snapshot.ids
    return {"user_id": ids["User"][user], "song_id": ids["Song"][song], "action": name, "at": snapshot.as_of + at}


def _difference(worker: Live, after: Snapshot) -> float:
    """The greatest relative difference between a worker's sums and those of a snapshot of the whole log."""
    live, rebuilt = (_counted(counters) for counters in (worker.overlay.counters, Counters(after)))
    now, found = after.as_of, [0.0]
    mine, theirs = (sums.at(now, after.songs) for sums, _ in (live, rebuilt))
    found.append(_relative(mine, theirs))
    for place in rebuilt[1].groups():
        pairs = [groups.of(place, now) for _, groups in (live, rebuilt)]
        if not np.array_equal(pairs[0][0], pairs[1][0]):
            return float("inf")
        found.append(_relative(pairs[0][1], pairs[1][1]))
    return max(found)


def _relative(mine: Array, theirs: Array) -> float:
    return float((np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1e-300)).max(initial=0.0))
