"""Loading LISTENED relationships into an empty store: the embedded server's bulk path, its upserts, and Neo4j's.

Ours is `GraphStore.bulk_load`; on the embedded server the peer is the same rows as upserts over Bolt, on Neo4j a plain
`CREATE` for each row in one transaction a batch, the shortest Cypher there is. Quality is the share of relationships
that are there afterwards.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl

from graph import schema
from graph.store.config import GraphConfig
from graph.store.store import BATCH, GraphStore

LISTENED = schema.relationship("LISTENED", "User", "Song")
PEER_SHARE = 10  # the slow peers load a tenth


def world(relationships: int, seed: int = 0) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Nodes, and that many LISTENED rows between them; keys are unique."""
    rng = np.random.default_rng(seed)
    users, songs = max(relationships // 50, 10), max(relationships // 25, 20)
    wanted = min(relationships, users * songs)
    keys = np.unique(rng.integers(0, users * songs, size=wanted + wanted // 10))
    keys = rng.permutation(keys)[:wanted]
    plays = rng.integers(1, 50, size=len(keys))
    first = rng.integers(1_600_000_000_000, 1_700_000_000_000, size=len(keys))
    edges = pl.DataFrame({
        "source": [f"u{n}" for n in keys // songs],
        "target": [f"s{n}" for n in keys % songs],
        "plays": plays,
        "full_plays": plays // 2,
        "skips": plays // 5,
        "first_at": first,
        "last_at": first + 86_400_000,
    })  # fmt: skip
    nodes = {
        "User": pl.DataFrame({"id": [f"u{n}" for n in range(users)], "level": rng.integers(0, 9, users)}),
        "Song": pl.DataFrame({"id": [f"s{n}" for n in range(songs)], "title": [f"Song {n}" for n in range(songs)]}),
    }
    return nodes, edges


def run(size: int | None = None) -> list[dict[str, Any]]:
    """Load 1 M relationships (or `size`, or SEGUE_BENCH_SIZE) on both engines; without Neo4j where it cannot run."""
    size = size or int(os.environ.get("SEGUE_BENCH_SIZE", "1000000"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows.append(_compare("embedded", Path(folder), size, _embedded))
        if (lack := _launcher().missing()) is None:
            rows.append(_compare("neo4j", Path(folder), size, _neo4j))
        else:
            print(f"without Neo4j: {lack}", file=sys.stderr)
    return rows


def _compare(what: str, folder: Path, size: int, engine: Callable[[Path, Callable[[GraphStore], None]], None]) -> Any:
    nodes, edges = world(size)
    part = edges.head(max(size // PEER_SHARE, 1))
    ours: list[float] = []
    peers: list[float] = []
    found: list[float] = []

    def load(store: GraphStore) -> None:
        store.migrate()
        start = time.perf_counter()
        store.bulk_load(nodes, {LISTENED: edges})
        ours.append(edges.height / (time.perf_counter() - start))
        found.append(store.counts()["relationships"]["LISTENED"] / edges.height)
        start = time.perf_counter()
        read = sum(
            len(batch) for batch in store.stream("MATCH (a:User)-[r:LISTENED]->(b:Song) RETURN a.id AS a, b.id AS b")
        )
        print(f"{what}: {read / (time.perf_counter() - start):,.0f} relationships/s streamed back", file=sys.stderr)

    def load_by_peer(store: GraphStore) -> None:
        store.migrate()
        for label, frame in nodes.items():
            store.upsert_nodes(label, frame.to_dicts())
        start = time.perf_counter()
        if what == "embedded":
            store.upsert_relationships(LISTENED, part.to_dicts())
        else:
            for frame in part.iter_slices(BATCH):
                store.write(
                    "UNWIND $rows AS row MATCH (a:User {id: row.source}) MATCH (b:Song {id: row.target}) "
                    "CREATE (a)-[r:LISTENED]->(b) SET r.plays = row.plays, r.full_plays = row.full_plays, "
                    "r.skips = row.skips, r.first_at = row.first_at, r.last_at = row.last_at",
                    {"rows": frame.to_dicts()},
                )
        peers.append(part.height / (time.perf_counter() - start))
        found.append(store.counts()["relationships"]["LISTENED"] / part.height)

    engine(folder / f"{what}-ours", load)
    engine(folder / f"{what}-peer", load_by_peer)
    return {
        "what": f"{what}: {edges.height:,} LISTENED",
        "ours": round(max(ours)),
        "peer": round(max(peers)),
        "peer_name": "upserts over Bolt" if what == "embedded" else "plain CREATE",
        "ratio": round(max(ours) / max(peers), 2),
        "unit": "relationships/s",
        "ours_quality": found[0],
        "peer_quality": found[1],
    }


def _embedded(folder: Path, work: Callable[[GraphStore], None]) -> None:
    with GraphStore.open(GraphConfig(url=f"embedded:{folder}", heap="2g", linger_s=0)) as store:
        work(store)


def _neo4j(folder: Path, work: Callable[[GraphStore], None]) -> None:
    launcher = _launcher()
    server = launcher.start(folder, port=launcher.free_port(), heap="2g")
    try:
        with GraphStore.open(GraphConfig(url=server.url, password=server.password)) as store:
            work(store)
    finally:
        launcher.stop(folder)


def _launcher() -> ModuleType:
    """`tools/neo4j/neo4j.py`, by its path: its name is also the driver's."""
    path = Path(__file__).resolve().parent.parent / "tools" / "neo4j" / "neo4j.py"
    spec = importlib.util.spec_from_file_location("segue_neo4j_launcher", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module
