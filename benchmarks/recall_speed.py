"""The whole recall at 10^4, 10^5 and 10^6 songs and as many listeners: milliseconds a request on one core.

A seeded catalogue of N songs in sqrt(N) styles and N listeners with some 20 events each (a few have hundreds), their
homes and follows; a release of it on disk, prepared by the channels themselves; 10,000 events and 100 new songs since.
A process of its own, tied to one core and with one thread for each library, then answers requests of listeners drawn at
random, nobody twice, for 500 candidates from 10 channels: the listener's history, the channels within their budget, the
merge. New plays are folded in between, as a worker does five times a second. No peer does the same, so there is no
ratio; growth is told beside that of a logarithm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from benchmarks._plots import needed, plotted
from embeddings.vectors.model_vectors import ModelVectors
from graph.release import Release
from graph.schema import LABELS, RELATIONSHIPS
from graph.snapshot.arrays import Array
from graph.snapshot.exposures import Exposures
from graph.snapshot.histories import CODE, Histories
from graph.snapshot.ids import Ids, Strings
from graph.snapshot.relations import Relation
from graph.snapshot.snapshot import CELL_RESOLUTION, UNKNOWN_INTEGER, VERSION, Snapshot
from ranking.scene import FUSED, ChannelUse, SceneConfig
from recall.base import Candidates, Channel, Query
from recall.discovery import channel_type
from recall.listeners.listener import Listener
from recall.live.live import EventBatch

SIZES: Final = (10**4, 10**5, 10**6)
CHANNELS: Final = (
    "song2vec", "recent", "again", "item_knn", "attributes", "social", "lbs", "trending", "fresh", "popularity",
)  # fmt: skip
QUOTA, POOL = 100, 500
REQUESTS, WARM_UP = 3000, 1000
WARM_MS: Final = 600_000.0
SINCE, NEW = 10_000, 100
EVERY: Final = 16  # requests from one fold to the next: a worker that answers 80 a second folds five times in it
DIM: Final = 64
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
AS_OF: Final = 1_750_000_000_000


def scene() -> SceneConfig:
    """500 songs from 10 channels, 100 of each at most; heard songs may come back after a fortnight."""
    uses = {name: ChannelUse(quota=QUOTA) for name in CHANNELS}
    return SceneConfig(heard="after 14d", ranker=FUSED, pool=POOL, quotas="fixed", channels=uses)


def run(sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and the plot.

    Raises: InvalidInput if matplotlib is missing.
    """
    needed()
    found = {}
    for size in sorted(sizes, reverse=True):  # what needs the most memory and disk first
        with tempfile.TemporaryDirectory() as folder:
            prepared = build(Path(folder), size)
            found[size] = _asked(Path(folder)) | {"prepared": prepared}
    _plot(found)
    rows = [row for size in sizes for row in _rows(size, found[size])]
    return rows + [_growth(small, large, found) for small, large in pairwise(sizes)]


def build(folder: Path, size: int, seed: int = 0) -> dict[str, float]:
    """A release of `size` songs and listeners in `folder`; the seconds that each channel's `prepare` took."""
    town = Town(size, np.random.default_rng([seed, size]))
    town.snapshot().write(folder / "snapshot")
    town.vectors().save(folder / "vectors" / "song2vec", {"config": {}})
    del town
    release, took = Release.open(folder), {}
    vectors = {"song2vec": ModelVectors.load(release, "song2vec")}
    for number, name in enumerate(CHANNELS):
        kind = channel_type(name)
        if not hasattr(kind.channel, "prepare"):
            continue
        began, rng = time.perf_counter(), np.random.default_rng([seed, number])
        mine = folder / "recall" / name
        mine.mkdir(parents=True)
        kind.channel.prepare(release.snapshot, vectors, kind.configure(), mine, rng=rng)
        took[name] = time.perf_counter() - began
    return took


class Town:
    """N songs and N listeners, all drawn from one generator.

    A style has its songs side by side, the best known first; a listener has three styles, hears the songs of one by
    their fame, and every second time one of those already heard. Artists and albums have songs of one style; a
    listener's follows are of the same town every second time, else of who is widely followed.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.styles = round(size**0.5)
        self.style = np.sort(_zipf(rng, self.styles, size, 0.8, 10))  # (N,) of each song
        self.first = np.searchsorted(self.style, np.arange(self.styles + 1))
        turn = np.arange(size) - self.first[self.style]
        self.fame = (turn + 3.0) ** -0.9  # (N,)
        self.taste = _zipf(rng, self.styles, (size, 3), 0.8, 10)
        self.places = min(400, size // 50)
        self.place = _zipf(rng, self.places, size, 1.0, 5)
        self.points = np.stack([rng.uniform(-40, 60, self.places), rng.uniform(-170, 170, self.places)], axis=1)

    def vectors(self) -> ModelVectors:
        """Unit vectors: a style lies as far from its group's centre as a song from its style's."""
        rng = self.rng
        groups = rng.standard_normal((max(2, self.styles // 10), DIM), dtype=np.float32)
        centres = groups[rng.integers(0, len(groups), self.styles)]
        centres = centres + 0.7 * rng.standard_normal((self.styles, DIM), dtype=np.float32)
        unit = centres[self.style] + 0.7 * rng.standard_normal((self.size, DIM), dtype=np.float32)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        entities = {}
        for name in ("PERFORMED_BY", "HAS_GENRE", "HAS_TAG"):
            shares = self._relations[f"{name}:Song:{_TARGETS[name]}"].matrix()
            entities[name] = np.asarray(shares.T @ unit, dtype=np.float32)
        gamma = dict.fromkeys(entities, 0.5)
        return ModelVectors(unit, np.ones(self.size, np.float32), np.ones(self.size, bool), entities, gamma)

    def snapshot(self) -> Snapshot:
        """Everything but the vectors."""
        histories = self._histories()
        counts = {label.name: 0 for label in LABELS} | {"User": self.size, "Song": self.size, "Language": 20}
        counts |= {"Artist": self.size // 10, "Album": self.size // 8, "Genre": 50, "Tag": 1000, "Place": self.places}
        self._relations = self._drawn_relations(counts)
        arrays: dict[str, Array] = {}
        for name, count in counts.items():
            ids = Ids.sorted_from([f"{name[0].lower()}{i:08d}" for i in range(count)])
            arrays |= ids.arrays(f"nodes/{name}/ids")
        arrays |= self._columns(counts)
        relations = {r.key: r for r in (histories.listened(), *histories.states().values())} | self._relations
        for rel in RELATIONSHIPS:
            if not rel.derived and rel.type != "RELATED" and rel.key not in relations:
                nothing = np.empty(0, dtype=np.int64)
                relations[rel.key] = Relation.of_edges(
                    rel.key, nothing, nothing, {}, counts[rel.source], counts[rel.target]
                )
        for relation in relations.values():
            arrays |= relation.arrays(f"relations/{relation.key}")
        shown = self._exposures()
        arrays |= histories.arrays("histories") | shown.arrays("exposures")
        meta = {"version": VERSION, "labels": list(counts), "relations": sorted(relations), "as_of": AS_OF, "bare": {}}
        return Snapshot(arrays, meta | {"exposure_channels": []})

    def songs(self, listeners: Array) -> Array:
        """(E,) a song for each of these listeners (E,), by their styles and the songs' fame."""
        rng, total = self.rng, len(listeners)
        style = self.taste[listeners, rng.choice(3, total, p=(0.6, 0.25, 0.15))]
        wander = rng.random(total) < 0.1
        style[wander] = _zipf(rng, self.styles, int(wander.sum()), 0.8, 10)
        ends = np.concatenate([[0.0], np.cumsum(self.fame)])
        low, high = ends[self.first[style]], ends[self.first[style + 1]]
        drawn = np.searchsorted(ends, low + rng.random(total) * (high - low), side="right") - 1
        # a style without songs lends the nearest
        found: Array = np.clip(drawn, 0, self.size - 1).astype(np.int32)
        return found

    def _histories(self) -> Histories:
        rng, size = self.rng, self.size
        each = np.clip(np.round(rng.lognormal(np.log(9.7), 1.2, size)), 1, 2000).astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(each)])
        user = np.repeat(np.arange(size, dtype=np.int32), each)
        total = len(user)
        song = self.songs(user)
        back = indptr[user] + (rng.random(total) * (np.arange(total) - indptr[user])).astype(np.int64)
        again = rng.random(total) < 0.5
        song[again] = song[back[again]]
        age = (rng.random(total) * 90 * DAY_MS).astype(np.int64)
        at = AS_OF - np.sort(age + user.astype(np.int64) * 100 * DAY_MS)[::-1] % (100 * DAY_MS)
        at = np.sort(user.astype(np.int64) * 2**42 + at) - user.astype(np.int64) * 2**42
        names = ("full_play", "play", "skip", "like", "collect", "share", "block")
        shares = (0.55, 0.22, 0.15, 0.05, 0.02, 0.007, 0.003)
        action = np.array([CODE[name] for name in names], dtype=np.uint8)[rng.choice(7, total, p=shares)]
        offset = np.empty(total, dtype=np.int64)
        offset[np.argsort(at, kind="stable")] = np.arange(1, total + 1)
        one, unknown = np.ones(total, dtype=np.int64), np.full(total, -1, dtype=np.int64)
        rating = np.full(total, np.nan, dtype=np.float32)
        cell = np.where(rng.random(total) < 0.7, self._homes()[0][user], 0)
        return Histories(size, indptr, song, action, at, one, unknown, rating, offset, cell)

    def _homes(self) -> tuple[Array, Array]:
        """(N,) the cell where each listener mostly is, (N, 2) its middle: some 6 kilometres around a place's middle."""
        import h3

        if not hasattr(self, "_home"):
            near = np.round(self.rng.standard_normal((self.size, 2)) * 4) * 0.015
            points, which = np.unique(self.points[self.place] + near, axis=0, return_inverse=True)
            cells = [h3.str_to_int(h3.latlng_to_cell(*point, CELL_RESOLUTION)) for point in points.tolist()]
            self._home = np.array(cells, dtype=np.int64)[which.reshape(-1)], points[which.reshape(-1)]
        return self._home

    def _columns(self, counts: Mapping[str, int]) -> dict[str, Array]:
        """Every property of the schema, unknown but for a few."""
        rng, size = self.rng, self.size
        age = 3650 * rng.random(size) ** 1.3
        known: dict[tuple[str, str], Array] = {
            ("Song", "released_at"): (AS_OF - age * DAY_MS).astype(np.int64),
            ("Song", "quality"): rng.random(size),
            ("Song", "tier"): np.where(rng.random(size) < 0.01, 0, 2).astype(np.int64),
            ("Place", "latitude"): self.points[:, 0],
            ("Place", "longitude"): self.points[:, 1],
        }
        told = rng.random(size) < 0.5
        for column, name in enumerate(("latitude", "longitude")):
            known["User", name] = np.where(told, self._homes()[1][:, column], np.nan)
        arrays: dict[str, Array] = {}
        for label in LABELS:
            for property_ in (p for p in label.properties if not p.derived):
                prefix, count = f"nodes/{label.name}/{property_.name}", counts[label.name]
                if property_.kind == "string":
                    arrays[f"{prefix}/offsets"] = np.zeros(count + 1, dtype=np.int64)
                    arrays[f"{prefix}/buffer"] = Strings.of([]).buffer
                else:
                    whole = property_.kind == "integer"
                    nothing = np.full(count, UNKNOWN_INTEGER if whole else np.nan)
                    nothing = nothing.astype(np.int64) if whole else nothing
                    arrays[prefix] = known.get((label.name, property_.name), nothing)
        return arrays

    def _drawn_relations(self, counts: Mapping[str, int]) -> dict[str, Relation]:
        rng, size, songs = self.rng, self.size, np.arange(self.size)
        artist = np.minimum(np.sort(_zipf(rng, counts["Artist"], size, 0.7, 20)), counts["Artist"] - 1)
        covers = rng.choice(size, size // 50, replace=False)
        works = rng.choice(size, size // 20, replace=False)
        language = (self.style * 7 % 20 + (rng.random(size) < 0.1)) % 20
        tags = np.concatenate([(self.style * 13 + t * 101) % 1000 for t in range(3)])
        more = _zipf(rng, 1000, 2 * size, 1.0, 5)
        tagged = np.unique(np.tile(songs, 5) * 1000 + np.concatenate([tags, more]))
        at = AS_OF - (rng.random(len(works)) * 700 * DAY_MS).astype(np.int64)
        follower, followed = self._follows()
        fans = np.repeat(songs, rng.poisson(4, size))
        chosen = np.unique(fans * np.int64(counts["Artist"]) + artist[self.songs(fans)])
        since = {"since": np.full(len(follower), AS_OF - 100 * DAY_MS)}
        lives = np.flatnonzero(rng.random(size) < 0.95)
        given: list[tuple[str, Array, Array, dict[str, Array]]] = [
            ("PERFORMED_BY:Song:Artist", songs, artist, {}),
            ("ON_ALBUM:Song:Album", songs, songs * counts["Album"] // size, {}),
            ("HAS_GENRE:Song:Genre", songs, self.style * 31 % 50, {}),
            ("HAS_TAG:Song:Tag", tagged // 1000, tagged % 1000, {"weight": np.ones(len(tagged))}),
            ("LANGUAGE:Song:Language", songs, language, {}),
            ("COVER_OF:Song:Song", covers, np.maximum(covers - 1, 0), {}),
            ("UPLOADED:User:Song", rng.integers(0, size, len(works)), works, {"at": at}),
            ("FOLLOWS:User:User", follower, followed, since),
            ("FOLLOWS_ARTIST:User:Artist", chosen // counts["Artist"], chosen % counts["Artist"],
             {"since": np.full(len(chosen), AS_OF - 100 * DAY_MS)}),
            ("LIVES_IN:User:Place", lives, self.place[lives], {}),
        ]  # fmt: skip
        return {
            key: Relation.of_edges(key, source, target, more, counts[key.split(":")[1]], counts[key.split(":")[2]])
            for key, source, target, more in given
        }

    def _follows(self) -> tuple[Array, Array]:
        """(F,) who follows whom: some 12 of each, up to thousands; half of the same town, half the widely followed."""
        rng, size = self.rng, self.size
        each = np.clip(np.round(rng.lognormal(np.log(6), 1.2, size)), 0, min(3000, size // 10)).astype(np.int64)
        follower = np.repeat(np.arange(size), each)
        stars = rng.permutation(size)[_zipf(rng, size, len(follower), 0.75, 30)]
        order = np.argsort(self.place, kind="stable")
        first = np.searchsorted(self.place[order], np.arange(self.places + 1))
        mine = self.place[follower]
        near = order[first[mine] + (rng.random(len(follower)) * (first[mine + 1] - first[mine])).astype(np.int64)]
        followed = np.where(rng.random(len(follower)) < 0.5, near, stars)
        pairs = np.unique(follower * np.int64(size) + followed)
        pairs = pairs[pairs // size != pairs % size]
        return pairs // size, pairs % size

    def _exposures(self) -> Exposures:
        rng, count = self.rng, 5 * self.size
        user = rng.integers(0, self.size, count).astype(np.int32)
        at = np.sort(AS_OF - (rng.random(count) * 30 * DAY_MS).astype(np.int64))
        zero = np.zeros(count, dtype=np.int32)
        score, offset = np.full(count, np.nan, dtype=np.float32), np.arange(1, count + 1)
        return Exposures(user, self.songs(user), at, zero, zero - 1, score, offset)


_TARGETS: Final = {"PERFORMED_BY": "Artist", "HAS_GENRE": "Genre", "HAS_TAG": "Tag"}


def _zipf(rng: np.random.Generator, n: int, shape: Any, power: float, flat: float) -> Array:
    """Places from 0 to n - 1, each with a chance in proportion to (place + flat)^-power."""
    ends = np.cumsum((np.arange(n) + flat) ** -power)
    drawn: Array = np.minimum(np.searchsorted(ends, rng.random(shape) * ends[-1], side="right"), n - 1)
    return drawn


def _asked(folder: Path) -> dict[str, Any]:
    """What a process of its own measures on one core."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [sys.executable, __file__, str(folder)]
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[1]), *sys.path])}
    done = subprocess.run(command, env=os.environ | one | path, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # before it, what the log says
    return found


def _rows(size: int, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    ms, cpu = np.array(found["whole"]), float(np.percentile(found["cpu"], 99))
    told = (
        f"p50 {np.median(ms):.2f}, of CPU p99 {cpu:.2f}; {len(ms)} requests, {found['candidates']:.0f} candidates on "
        f"average, least {found['least']}; {found['dropped']} channels left out; ready in {found['ready_s']:.0f} s, "
        f"{found['memory_mb']:.0f} MB of its own"
    )
    rows = [_row(f"{size:,} songs: p99 of a recall", float(np.percentile(ms, 99)), told)]
    for name, values in found["channels"].items():
        took = found["prepared"].get(name)
        told = f"p50 {np.median(values):.2f}" + (f", prepared in {took:.0f} s" if took is not None else "")
        rows.append(_row(f"{size:,} songs: p99 of {name}", float(np.percentile(values, 99)), told))
    return rows


def _growth(small: int, large: int, found: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """How many times as long the larger takes, beside what a cost in proportion to the logarithm would."""
    p99, p50 = ([float(np.percentile(found[n]["whole"], q)) for n in (small, large)] for q in (99, 50))
    told = f"p50 {p50[1] / p50[0]:.2f}; a logarithm: {np.log(large) / np.log(small):.2f}"
    return _row(f"{large:,} songs over {small:,}: p99", p99[1] / p99[0], told, "times")


def _row(what: str, ours: float, told: str, unit: str = "ms") -> dict[str, Any]:
    row = {"what": what, "ours": round(ours, 2), "peer": None, "peer_name": "", "ratio": None, "unit": unit}
    return row | {"ours_quality": told, "peer_quality": ""}


def _plot(found: Mapping[int, Mapping[str, Any]]) -> None:
    sizes = sorted(found)
    with plotted("recall-speed", 2, size=(11, 3.6)) as panels:
        for q, line in ((50, "--"), (99, "-")):
            values = [np.percentile(found[n]["whole"], q) for n in sizes]
            panels[0].plot(sizes, values, f"o{line}", color="C0", label=f"p{q}")
        first = float(np.percentile(found[sizes[0]]["whole"], 99))
        panels[0].plot(
            sizes, [first * np.log(n) / np.log(sizes[0]) for n in sizes], ":", color="grey", label="logarithm"
        )
        panels[0].axhline(15, color="C3", linewidth=0.8, label="15 ms")
        panels[0].set_title("the whole recall")
        for place, name in enumerate(CHANNELS):
            values = [np.percentile(found[n]["channels"][name], 99) for n in sizes]
            panels[1].plot(sizes, values, "o-", color=f"C{place}", label=name)
        panels[1].set_title("p99 of each channel")
        for panel in panels:
            panel.set_xscale("log")
            panel.set_xlabel("songs, and as many listeners")
            panel.set_ylabel("ms")
            panel.set_ylim(bottom=0)
            panel.legend(fontsize=7)


# ---- the process that answers


@dataclass
class Timed:
    """A channel that notes how long each answer takes."""

    channel: Channel
    ms: list[float]
    audience: ClassVar[str] = "whom the channel is for"

    def serves(self, listener: Listener) -> bool:
        return self.channel.serves(listener)

    def recall(self, query: Query, k: int) -> Candidates:
        began = time.perf_counter()
        found = self.channel.recall(query, k)
        self.ms.append((time.perf_counter() - began) * 1e3)
        return found


def _main(folder: Path) -> dict[str, Any]:
    from ranking.cascade import Cascade

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began = time.perf_counter()
    release = Release.open(folder)
    cascade = Cascade(release, scene())
    overlay = _overlay(release)
    ids, rng = release.snapshot.ids["User"], np.random.default_rng(1)
    # as a worker does before its first request
    release.touch()
    cascade.warm(cascade.query(ids[0], AS_OF, overlay=overlay), WARM_MS)
    timed = {name: Timed(channel, []) for name, channel in cascade.channels.items()}
    cascade.channels = {**timed}
    users = release.snapshot.users
    asked = rng.permutation(users)[: WARM_UP + min(REQUESTS, users - WARM_UP)]
    whole, cpu, counts, dropped, ready = [], [], [], 0, 0.0
    for number, user in enumerate(asked.tolist()):
        if number < WARM_UP:
            cascade.pool(cascade.query(ids[user], AS_OF + HOUR_MS, overlay=overlay))
            continue
        if number == WARM_UP:
            ready = time.perf_counter() - began
            for one in timed.values():
                one.ms.clear()
        if number % EVERY == 0:
            overlay.counters.fold(events=_events(release.snapshot, EVERY, rng))
        user_id, start, spent = ids[user], time.perf_counter(), time.process_time()
        pool, trace = cascade.pool(cascade.query(user_id, AS_OF + HOUR_MS, overlay=overlay))
        whole.append((time.perf_counter() - start) * 1e3)
        cpu.append((time.process_time() - spent) * 1e3)
        counts.append(len(pool))
        dropped += len(trace[0].dropped)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    return {
        "whole": [round(ms, 4) for ms in whole],
        "cpu": [round(ms, 4) for ms in cpu],
        "channels": {name: [round(ms, 4) for ms in one.ms] for name, one in timed.items()},
        "candidates": float(np.mean(counts)),
        "least": min(counts),
        "dropped": dropped,
        "ready_s": ready,
        "memory_mb": own / 1e3,
    }


def _overlay(release: Release) -> Any:
    """What has happened since the release: events of listeners drawn at random, and new songs by known artists."""
    from recall.live.counters import Counters
    from recall.live.edits import Edits, NewSong, NewSongs
    from recall.live.live import Overlay

    snapshot, rng = release.snapshot, np.random.default_rng(2)
    artists = rng.integers(0, len(snapshot.ids["Artist"]), NEW).tolist()
    names = [f"new{i}" for i in range(NEW)]
    songs = {n: NewSong(n, {}, {"artists": [snapshot.ids["Artist"][a]]}) for n, a in zip(names, artists, strict=True)}
    places = {name: snapshot.songs + i for i, name in enumerate(names)}
    edits = Edits(snapshot, 0, songs, places=places)
    counters = Counters(snapshot)
    counters.fold(events=_events(snapshot, SINCE, rng))
    return Overlay(counters, edits, NewSongs(edits, ModelVectors.load(release, "song2vec")))


def _events(snapshot: Snapshot, count: int, rng: np.random.Generator) -> EventBatch:
    """So many plays within an hour after the release, of songs as they were played before."""
    return EventBatch(
        rng.integers(0, snapshot.users, count),
        snapshot.histories.song[rng.integers(0, len(snapshot.histories), count)].astype(np.int64),
        np.full(count, CODE["full_play"], dtype=np.uint8),
        AS_OF + rng.integers(0, HOUR_MS, count),
        np.ones(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(Path(sys.argv[1]))))
