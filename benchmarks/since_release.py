"""What came since the release costs no request more: a million events, 100,000 slates, 1,600 new songs.

One state folder is copied four times and the log of three copies is filled; a `segue serve` with one worker runs on
each, all at once, and one client asks each in turn for listeners of the release, ten songs each. The events are of the
release's own listeners, so that each of a demo's 500 has some 2,000 of them. `ours` is the CPU of the whole worker a
request, `peer` that of the worker behind which nothing came, in the same rounds. Memory is the resident size of the
worker after all requests beside its size when it was ready. Start: from the command until it is ready.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from api.settings import load
from benchmarks._service import Client, Service, State, made_state, serving
from graph.log.events import EventLog
from graph.release import Releases
from graph.snapshot.snapshot import Snapshot

EVENTS: Final = 1_000_000
SLATES: Final = 100_000
SONGS: Final = 1_600
ROUNDS: Final = 10
REQUESTS: Final = 200
"""Of each service in each round; the first round warms up."""
_DAY_MS: Final = 86_400_000


def run(events: int = EVENTS, slates: int = SLATES, songs: int = SONGS) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    kinds = {
        "nothing": lambda *_: None,
        f"{events:,} events": lambda log, known: add_events(log, known, events),
        f"{slates:,} slates": lambda log, known: add_slates(log, known, slates),
        f"{songs:,} new songs": lambda log, known: add_songs(log, known, songs),
    }
    with made_state() as first, ExitStack() as stack:
        snapshot = Releases(first.folder / "releases").open().snapshot
        users = snapshot.ids["User"].to_list()
        services, starts = [], []
        for number, fill in enumerate(kinds.values()):
            state = first.copy(first.folder.parent / f"{first.folder.name}-{number}")
            stack.callback(_removed, state)
            with EventLog(load(state.config).events.url) as log:
                fill(log, snapshot)
            began = time.perf_counter()
            services.append(stack.enter_context(serving(state)))
            starts.append(time.perf_counter() - began)
        before = [_resident_mb(service.process.pid) for service in services]
        cpu = _alternating(services, users)
        after = [_resident_mb(service.process.pid) for service in services]
    rows = []
    for i, name in enumerate(kinds):
        told = f"start {starts[i]:.1f} s, {before[i]:.0f} MiB when ready, {after[i]:.0f} MiB after"
        row = {"what": f"recommend after {name}: CPU a request", "ours": cpu[i], "peer": cpu[0], "unit": "ms"}
        row |= {"peer_name": "nothing since the release", "ratio": round(cpu[i] / cpu[0], 2), "ours_quality": told}
        rows.append(row)
    return rows


def _removed(state: State) -> None:
    import shutil

    shutil.rmtree(state.folder, ignore_errors=True)


def _alternating(services: list[Service], users: list[str]) -> list[float]:
    """The CPU of each service a request, in milliseconds: the least of the rounds."""
    clients = [Client(service.port) for service in services]
    least = [float("inf")] * len(services)
    for turn in range(ROUNDS):
        for i, (client, service) in enumerate(zip(clients, services, strict=True)):
            before = _cpu_s(service.process.pid)
            client.close()  # the service ends a connection that was still while the others were asked
            for n in range(REQUESTS):
                answer = client("POST", "/v1/recommend", {"user_id": users[(turn * 37 + n) % len(users)]})
                if answer.status != 200 or len(answer.body["items"]) != 10:
                    raise RuntimeError(f"no slate: {answer.status} {json.dumps(answer.body)[:300]}")
            if turn:
                least[i] = min(least[i], (_cpu_s(service.process.pid) - before) * 1000 / REQUESTS)
    for client in clients:
        client.close()
    return [round(one, 2) for one in least]


def add_events(log: EventLog, snapshot: Snapshot, count: int) -> None:
    """Events of the release's listeners on its songs, those at the front of the catalogue more often, over a day."""
    rng = np.random.default_rng(1)
    users, songs = (pl.Series(snapshot.ids[label].to_list()) for label in ("User", "Song"))
    actions = pl.Series(["play", "full_play", "skip", "like"])
    log.append_frame(
        pl.DataFrame({
            "event_id": [f"since-{i}" for i in range(count)],
            "user_id": users.gather(rng.integers(0, len(users), count)),
            "action": actions.gather(rng.integers(0, len(actions), count)),
            "song_id": songs.gather((rng.random(count) ** 2 * len(songs)).astype(np.int64)),
            "at": max(snapshot.as_of, 0) - _DAY_MS + np.sort(rng.integers(0, _DAY_MS, count)),
        })
    )  # fmt: skip


def add_slates(log: EventLog, snapshot: Snapshot, count: int, songs: int = 10) -> None:
    """Slates that were shown to the release's listeners."""
    rng, shown = np.random.default_rng(2), count * songs
    users, known = (pl.Series(snapshot.ids[label].to_list()) for label in ("User", "Song"))
    slate = np.arange(shown) // songs
    log.append_exposures_frame(
        pl.DataFrame({
            "request_id": pl.Series(slate).cast(pl.String),
            "user_id": users.gather(slate % len(users)),
            "song_id": known.gather((rng.random(shown) ** 2 * len(known)).astype(np.int64)),
            "position": np.arange(shown) % songs,
            "at": np.full(shown, max(snapshot.as_of, 0)),
            "scene": pl.repeat("radio", shown, eager=True),
        }),
        key="bench since-release",
    )  # fmt: skip


def add_songs(log: EventLog, snapshot: Snapshot, count: int) -> None:
    """New songs, each described as one of the release is."""
    released = max(snapshot.as_of, 0)
    names = {"artists": "PERFORMED_BY", "genres": "HAS_GENRE", "tags": "HAS_TAG"}
    relations = {name: snapshot.relation(key) for name, key in names.items()}
    for i in range(count):
        song, id_ = i % snapshot.songs, f"since-{i}"
        log.append_journal("upsert", "Song", id_, {"properties": {"title": f"New {i}", "released_at": released}})
        described = {
            name: [snapshot.ids[relation.target][int(target)] for target in relation.of(song)]
            for name, relation in relations.items()
        }
        log.append_journal("relations", "Song", id_, described)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
