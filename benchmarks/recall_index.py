"""The index against hnswlib and usearch on 10^6 clustered vectors: quality, time, filters, memory, growth.

N unit vectors of 64 numbers: 4,000 clusters in 100 groups, sizes falling as 1 / (rank + 10); a cluster's centre lies as
far from its group's as a song from its cluster's (0.7 of a group's length). Questions are drawn from the same mixture
and are none of the songs; 2,000 of them measure, 300 others set the peers' breadth, so that each reaches recall@100 of
.97 as our index does by itself when it is built. All have 16 links and breadth 100 while building, with 2 threads, and
answer one question at a time with one. They take turns question by question; a question's time is the least of 3.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._peers import peer
from benchmarks._plots import bars, needed
from graph.snapshot.arrays import Array
from graph.snapshot.snapshot import UNKNOWN_INTEGER
from recall.index.config import IndexConfig
from recall.index.filters import Columns, Filter
from recall.index.vector_index import VectorIndex

DIM: Final = 64
K: Final = 100
SIZES: Final = (10**4, 10**5, 10**6)
PERCENTS: Final = (1, 10, 50)
QUESTIONS, TUNING, FILTERED, SLOW = 2000, 300, 500, 40
THREADS, LINKS, BREADTH = 2, 16, 100
TARGET: Final = 0.97
Search = Callable[[Array], Array]


def run(sizes: tuple[int, ...] = SIZES, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them, and `docs/recall-index.svg`; the largest size is the one that is compared.

    Raises: InvalidInput if a peer or matplotlib is missing.
    """
    needed()
    modules = {"hnswlib": (HnswLib, peer("hnswlib")), "usearch": (USearch, peer("usearch.index"))}
    data = clustered(sizes[-1], seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "songs"
        ours, seconds = _ours(data, path, "hnsw")
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        made: dict[str, Any] = {}
        table = []
        for name, (kind, module) in modules.items():
            began = time.perf_counter()
            made[name] = kind(module, data.songs)
            took = time.perf_counter() - began
            table.append(_row(f"build with {THREADS} threads", seconds, took, name, unit="s"))
            table.append(_row("files", size, made[name].megabytes(Path(folder) / "peer"), name, unit="MB"))
        table += _compared(data, ours, made) + _filtered(data, ours, made["hnswlib"]) + _workers(path)
    del made, ours
    table += _codes(data) + _growth(sizes, seed)
    plot(table)
    return table


def plot(rows: list[dict[str, Any]]) -> None:
    """`docs/recall-index.svg` of the rows of `run`: milliseconds of the slowest search of a hundred."""
    panels: dict[str, dict[str, tuple[float, float]]] = {"p99 of a search, ms": {}, "of ours with filters, ms": {}}
    whole, filtered = panels.values()
    for row in rows:
        what, _, told = row["what"].partition(": ")
        if told:  # a size: its number of songs, and what is timed
            whole[f"ours, {what}"] = row["ours"], 0.0
            if row["peer"]:
                whole[f"{row['peer_name']}, {what}"] = row["peer"], 0.0
        elif "filter" in what or "heard" in what or "ivfpq" in what:
            filtered[what.removeprefix("p99 of a search").strip(", ")] = row["ours"], 0.0
    bars("recall-index", panels)


@dataclass(frozen=True)
class Data:
    """Shapes: songs (N, 64), questions (2000, 64), tuning (300, 64), float32 of length 1."""

    songs: Array
    questions: Array
    tuning: Array


def clustered(count: int, seed: int) -> Data:
    """The mixture that the head of this file describes."""
    rng = np.random.default_rng(seed)
    groups = rng.standard_normal((100, DIM), dtype=np.float32)
    centres = groups[rng.integers(0, 100, 4000)] + 0.7 * rng.standard_normal((4000, DIM), dtype=np.float32)
    sizes = 1 / (np.arange(4000) + 10.0)
    total = count + QUESTIONS + TUNING
    vectors = 0.7 * rng.standard_normal((total, DIM), dtype=np.float32)
    vectors += centres[rng.choice(4000, total, p=sizes / sizes.sum())]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Data(*np.split(vectors, [count, count + QUESTIONS]))


def nearest(songs: Array, questions: Array, k: int = K) -> Array:
    """(Q, k) positions of the nearest songs by brute force."""
    found = np.empty((len(questions), k), dtype=np.int64)
    for start in range(0, len(questions), 16):
        scores = questions[start : start + 16] @ songs.T
        found[start : start + 16] = np.argpartition(scores, len(songs) - k, axis=1)[:, len(songs) - k :]
    return found


def recall(found: list[Array], truth: Iterable[Array]) -> float:
    """Mean recall@k of lists of positions."""
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, truth, strict=True)]))


class HnswLib:
    """hnswlib's graph over 32-bit vectors."""

    breadths = tuple(round(BREADTH * 1.25**step) for step in range(16))

    def __init__(self, module: Any, songs: Array) -> None:
        self.index = module.Index(space="ip", dim=DIM)
        self.index.init_index(max_elements=len(songs), ef_construction=BREADTH, M=LINKS, random_seed=0)
        self.index.add_items(songs, num_threads=THREADS)
        self.index.set_num_threads(1)

    def widen(self, breadth: int) -> None:
        self.index.set_ef(breadth)

    def search(self, question: Array, passes: Callable[[int], bool] | None = None) -> Array:
        found: Array = self.index.knn_query(question[None, :], K, num_threads=1, filter=passes)[0][0]
        return found

    def megabytes(self, path: Path) -> float:
        self.index.save_index(str(path))
        return _gone(path)


class USearch:
    """usearch's graph over 32-bit vectors."""

    breadths = HnswLib.breadths

    def __init__(self, module: Any, songs: Array) -> None:
        self.index = module.Index(ndim=DIM, metric="ip", dtype="f32", connectivity=LINKS, expansion_add=BREADTH)
        self.index.add(np.arange(len(songs)), songs, threads=THREADS)

    def widen(self, breadth: int) -> None:
        self.index.expansion_search = breadth

    def search(self, question: Array) -> Array:
        found: Array = self.index.search(question, K, threads=1).keys
        return found

    def megabytes(self, path: Path) -> float:
        self.index.save(str(path))
        return _gone(path)


def _gone(path: Path) -> float:
    size = path.stat().st_size / 1e6
    path.unlink()
    return size


def _ours(data: Data, path: Path, kind: str) -> tuple[VectorIndex, float]:
    """An index as a worker serves it, read back from its files, and the seconds that building took."""
    config = IndexConfig(kind=kind, recall=TARGET, links=LINKS, ef_construction=BREADTH)
    began = time.perf_counter()
    index = VectorIndex.build(data.songs, config, seed=0, workers=THREADS)
    took = time.perf_counter() - began
    index.save(path)
    tier = np.random.default_rng(1).integers(0, 100, len(data.songs))
    unknown = np.full(len(tier), UNKNOWN_INTEGER)
    return VectorIndex.load(path, Columns(tier, np.full(len(tier), -1), unknown, ())), took


def _search(index: VectorIndex, question: Array, allowed: Filter | None = None) -> Array:
    return index.search(question, K, allowed).songs


def _tuned(made: HnswLib | USearch, data: Data) -> int:
    """The least breadth with which a peer reaches the target on the questions for tuning."""
    truth = nearest(data.songs, data.tuning)
    for breadth in made.breadths:
        made.widen(breadth)
        if recall([made.search(q) for q in data.tuning], truth) >= TARGET:
            break
    return breadth


def _timed(searches: dict[str, Search], questions: Array, repeats: int = 3) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each finds, and (Q,) the least milliseconds that each took for each question, in turns."""
    least = {name: np.full(len(questions), np.inf) for name in searches}
    found: dict[str, list[Array]] = {name: [] for name in searches}
    for again in range(repeats):
        for i, question in enumerate(questions):
            for name, search in searches.items():
                began = time.perf_counter()
                songs = search(question)
                least[name][i] = min(least[name][i], (time.perf_counter() - began) * 1e3)
                if not again:
                    found[name].append(songs)
    return found, least


def _told(found: list[Array], truth: Array, least: Array) -> str:
    return f"recall {recall(found, truth):.4f}, p50 {np.median(least):.2f}"


def _compared(data: Data, ours: VectorIndex, made: dict[str, Any]) -> list[dict[str, Any]]:
    breadths = {name: _tuned(found, data) for name, found in made.items()}
    truth = nearest(data.songs, data.questions)
    searches: dict[str, Search] = {name: found.search for name, found in made.items()}
    searches["ours"] = partial(_search, ours)
    found, least = _timed(searches, data.questions)
    p99 = {name: float(np.percentile(values, 99)) for name, values in least.items()}
    told = {name: _told(found[name], truth, least[name]) for name in searches}
    ours_told = f"{told['ours']}, breadth {ours.measured['breadth']}, measured {ours.measured['recall']:.3f}"
    what = f"{len(data.songs):,} songs: p99 of a search"
    return [
        _row(what, p99["ours"], p99[n], n, unit="ms", told=ours_told, peer_told=f"{told[n]}, breadth {breadths[n]}")
        for n in breadths
    ]


def _filtered(data: Data, ours: VectorIndex, other: HnswLib) -> list[dict[str, Any]]:
    """By filters of three selectivities, against hnswlib's, a Python function; usearch has none in Python."""
    assert ours.columns is not None
    rows, questions = [], data.questions[:FILTERED]
    for percent in PERCENTS:
        allowed = Filter(tiers=frozenset(range(percent)))
        songs = np.flatnonzero(allowed.mask(ours.columns))
        truth = songs[nearest(data.songs[songs], questions)]
        found, least = _timed({"ours": partial(_search, ours, allowed=allowed)}, questions)
        passes = allowed.mask(ours.columns).tolist().__getitem__
        other.widen(150 * K // percent)
        theirs, slow = _timed({"hnswlib": partial(other.search, passes=passes)}, questions[:SLOW], 1)
        rows.append(
            _row(
                f"p99 of a search, {percent} % pass the filter",
                float(np.percentile(least["ours"], 99)),
                float(np.percentile(slow["hnswlib"], 99)),
                "hnswlib",
                unit="ms",
                told=_told(found["ours"], truth, least["ours"]),
                peer_told=f"{_told(theirs['hnswlib'], truth[:SLOW], slow['hnswlib'])}, breadth {150 * K // percent}",
            )
        )
    return [*rows, _excluding(data, ours, questions)]


def _excluding(data: Data, ours: VectorIndex, questions: Array) -> dict[str, Any]:
    """With 1,000 songs excluded, a third of each question's nearest 150 among them."""
    rng, near = np.random.default_rng(2), nearest(data.songs, questions, 150)
    exclude = {
        q.tobytes(): np.union1d(r[::3], rng.integers(0, len(data.songs), 950))
        for q, r in zip(questions, near, strict=True)
    }
    truth = [np.setdiff1d(r, exclude[q.tobytes()]) for q, r in zip(questions, near, strict=True)]
    found, least = _timed({"ours": lambda q: ours.search(q, K, exclude=exclude[q.tobytes()]).songs}, questions)
    told = f"recall {recall(found['ours'], truth):.4f}, p50 {np.median(least['ours']):.2f}"
    return _row(
        "p99 of a search without 1,000 heard songs", float(np.percentile(least["ours"], 99)), unit="ms", told=told
    )


def _workers(path: Path) -> list[dict[str, Any]]:
    """What two workers hold at once after 200 questions each: memory of their own, and pages of the index's files."""
    code = (
        "import sys, numpy as np, pathlib\n"
        "from recall.index.vector_index import VectorIndex\n"
        "import faiss\n"
        "status = pathlib.Path('/proc/self/status')\n"
        "def own(): return [int(l.split()[1]) / 1e3 for l in status.open() if l[:7] in ('RssAnon', 'RssFile')]\n"
        "before = own()\n"
        "index = VectorIndex.load(pathlib.Path(sys.argv[1]))\n"
        "for q in np.random.default_rng(0).standard_normal((200, 64)): index.search(q, 100)\n"
        "print(*(b - a for a, b in zip(before, own())), flush=True); sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started: list[Any] = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, **pipes)  # type: ignore[call-overload]
        for _ in range(2)
    ]
    held = [list(map(float, worker.stdout.readline().split())) for worker in started]
    for worker in started:
        worker.communicate()
    told = f"and {held[1][1]:.0f} MB of mapped pages that both share"
    return [_row("memory of its own, second worker", held[1][0], unit="MB", told=told)]


def _codes(data: Data) -> list[dict[str, Any]]:
    """The other approximate kind, which holds half a byte a number in memory."""
    with tempfile.TemporaryDirectory() as folder:
        ours, took = _ours(data, Path(folder) / "songs", "ivfpq")
        truth = nearest(data.songs, data.questions[:FILTERED])
        found, least = _timed({"ours": partial(_search, ours)}, data.questions[:FILTERED])
        size = (Path(folder) / "songs.faiss").stat().st_size / 1e6
        told = f"{_told(found['ours'], truth, least['ours'])}, built in {took:.0f} s, codes {size:.0f} MB"
        return [_row("p99 of a search, ivfpq", float(np.percentile(least["ours"], 99)), unit="ms", told=told)]


def _growth(sizes: tuple[int, ...], seed: int) -> list[dict[str, Any]]:
    """The kind that each size is given by itself, but for the largest, which stands above."""
    rows = []
    for size in sizes[:-1]:
        data = clustered(size, seed)
        with tempfile.TemporaryDirectory() as folder:
            ours, took = _ours(data, Path(folder) / "songs", "auto")
            truth = nearest(data.songs, data.questions[:FILTERED])
            found, least = _timed({"ours": partial(_search, ours)}, data.questions[:FILTERED])
            told = f"{_told(found['ours'], truth, least['ours'])}, {ours.kind}, built in {took:.1f} s"
            rows.append(
                _row(f"{size:,} songs: p99 of a search", float(np.percentile(least["ours"], 99)), unit="ms", told=told)
            )
    return rows


def _row(
    what: str,
    ours: float,
    theirs: float | None = None,
    name: str | None = None,
    *,
    unit: str,
    told: str = "",
    peer_told: str | None = None,
) -> dict[str, Any]:
    """`ratio` is the peer's time or size over ours."""
    return {
        "what": what,
        "ours": round(ours, 3),
        "peer": None if theirs is None else round(theirs, 3),
        "peer_name": name,
        "ratio": None if theirs is None else round(theirs / ours, 2),
        "unit": unit,
        "ours_quality": told,
        "peer_quality": peer_told,
    }
