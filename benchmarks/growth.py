"""Walks and skip-gram on power-law graphs of 10^5, 10^6 and 10^7 edges between 10^6 nodes: the cost grows linearly.

Ends of edges are drawn with chances in proportion to rank^-1/2 (degrees of exponent 3). A walk of 20 nodes with
p = q = 0.5 from every node that has an edge; skip-gram of dimension 128, window 10, 5 negatives, 1 epoch; 2 threads.
Every size runs in a process of its own, whose highest memory is told. `ratio` is the cost of one (an edge, a step, a
word) in proportion to the smallest graph's: 1 where the cost is linear, more where the cache no longer holds it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from embeddings.skipgram.corpus import WalkCorpus
from embeddings.skipgram.skipgram import SkipGramConfig, train_walks
from embeddings.skipgram.walks import WalkConfig, WalkGraph, Walks
from graph.snapshot.arrays import Array

NODES: Final = 10**6
SIZES: Final = (10**5, 10**6, 10**7)
WALKS: Final = WalkConfig(p=0.5, q=0.5, walks=1, length=20)
THREADS: Final = 2


def run(sizes: tuple[int, ...] = SIZES, nodes: int = NODES) -> list[dict[str, Any]]:
    """Rows as `segue bench` prints them."""
    found = [_in_a_process(edges, nodes) for edges in sizes]
    return [_row(what, one, found[0]) for one in found for what in ("edges", "steps", "words")]


def _in_a_process(edges: int, nodes: int) -> dict[str, Any]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, str(edges), str(nodes)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def power_law(edges: int, nodes: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(E,), (E,) ends of random edges; node r is drawn with a chance in proportion to (r + 1)^-1/2."""
    # the sum over the first r nodes grows as the square root of r
    source, target = (np.minimum(rng.random(edges) ** 2 * nodes, nodes - 1).astype(np.int32) for _ in range(2))
    return source, target


def measure(edges: int, nodes: int) -> dict[str, Any]:
    """Counts of edges, steps and words, the seconds that each took, and the process's highest memory in GiB."""
    _compile()
    source, target = power_law(edges, nodes, np.random.default_rng(0))
    began = time.perf_counter()
    graph = WalkGraph.of_edges(source, target, nodes=nodes)
    built = time.perf_counter() - began
    starts = np.flatnonzero(graph.degrees)
    corpus = WalkCorpus(Walks(graph, WALKS, seed=0, starts=starts, threads=THREADS))
    began = time.perf_counter()
    train_walks(corpus, SkipGramConfig(epochs=1), seed=0, workers=THREADS)
    trained = time.perf_counter() - began
    counts = {"edges": edges, "steps": corpus.tokens, "words": corpus.tokens, "walks": len(corpus.walks)}
    return {"counts": counts, "seconds": {"edges": built, "steps": corpus.walk_s, "words": trained}, "gib": _peak_gib()}


def _compile() -> None:
    ring = np.arange(100, dtype=np.int32)
    graph = WalkGraph.of_edges(ring, np.roll(ring, 1), nodes=100)
    train_walks(
        WalkCorpus(Walks(graph, WALKS, seed=0, threads=THREADS)), SkipGramConfig(epochs=1), seed=0, workers=THREADS
    )


def _peak_gib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage it leaves out what the parent had before this process began
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _row(what: str, found: dict[str, Any], smallest: dict[str, Any]) -> dict[str, Any]:
    count, seconds = found["counts"][what], found["seconds"][what]
    each = seconds / count
    names = {
        "edges": "graph built",
        "steps": f"{found['counts']['walks']:,} walks",
        "words": f"{count:,} words trained",
    }
    speed = {"edges": f"{count / seconds:,.0f} edges/s", "words": f"{count / seconds:,.0f} words/s"}
    speed["steps"] = f"{found['counts']['walks'] / seconds:,.0f} walks/s"
    return {
        "what": f"{found['counts']['edges']:,} edges: {names[what]}",
        "ours": round(seconds, 3),
        "peer": None,
        "peer_name": None,
        "ratio": round(each / (smallest["seconds"][what] / smallest["counts"][what]), 2),
        "unit": "s",
        "ours_quality": f"{speed[what]}, {each * 1e9:.0f} ns each, peak {found['gib']:.2f} GiB in all",
        "peer_quality": None,
    }


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:]))))
