import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from segue_test_worlds import (
    DAY,
    LOPSIDED_EDGES,
    LOPSIDED_EVENTS,
    LOPSIDED_NODES,
    NOW,
    World,
    events,
    lopsided_snapshot,
    nodes,
)

from api.jobs.project import DERIVED, derived_frame, project
from graph import schema
from graph.release import Release
from graph.snapshot.export import graph_frames
from graph.snapshot.snapshot import Snapshot
from graph.store import queries
from graph.store.store import GraphStore

BARE = {"Tag": nodes(["calm", "loud"]), "Album": nodes(["first"]), "Place": nodes(["here"]), "Entity": nodes(["film"])}
LISTENED = schema.relationship("LISTENED", "User", "Song")


@pytest.fixture
def filled(store: GraphStore) -> GraphStore:
    store.bulk_load({**LOPSIDED_NODES, **BARE}, LOPSIDED_EDGES)
    return store


def held(store: GraphStore, type_: str) -> list[dict[str, Any]]:
    rel = schema.relationship(type_, "Song" if type_ == "SIMILAR_TO" else "User", "Song")
    rows = store.read(queries.export_relationships(rel))
    return sorted(rows, key=lambda row: (row["source"], row["target"]))


def run(store: GraphStore, release: Release, before: Release | None = None) -> dict[str, int]:
    return project(store, release, before, lambda *_: None)


def test_what_was_derived_stands_in_the_graph(filled: GraphStore, lopsided: World) -> None:
    run(filled, lopsided.release)
    assert held(filled, "LISTENED")[2] == {
        "source": "ben",
        "target": "s3",
        "plays": 10,
        "full_plays": 0,
        "skips": 0,
        "first_at": None,
        "last_at": None,
    }
    assert held(filled, "COLLECTED") == [{"source": "ana", "target": "s1", "at": NOW - 21 * DAY}]
    assert [(r["source"], r["target"]) for r in held(filled, "BLOCKED")] == [("cy", "s3")]
    similar = {r["target"]: r["weight"] for r in held(filled, "SIMILAR_TO") if r["source"] == "s1"}
    assert similar == pytest.approx({"s3": 3**0.5 / 2, "s4": 0.5}, abs=1e-6)
    counts = filled.read("MATCH (s:Song) RETURN s.id AS id, s.listeners AS listeners, s.plays AS plays ORDER BY id")
    assert [tuple(row.values()) for row in counts] == [
        *(("s1", 1, 1), ("s2", 2, 2), ("s3", 1, 10), ("s4", 2, 2), ("s5", 0, 0))
    ]


def test_projecting_again_writes_nothing(filled: GraphStore, lopsided: World) -> None:
    first = run(filled, lopsided.release)
    assert (first["written"] > 0, first["deleted"]) == (True, 0)
    assert run(filled, lopsided.release) == {"written": 0, "deleted": 0}
    assert run(filled, lopsided.release, lopsided.release) == {"written": 0, "deleted": 0}


@pytest.mark.parametrize("known", [True, False])
def test_only_differences_are_written(
    filled: GraphStore, lopsided: World, make_world: Callable[..., World], known: bool
) -> None:
    run(filled, lopsided.release)
    # one more play of s4 by Ben, and Ana takes her collect back
    more = events([("ben", "full_play", "s4", NOW), ("ana", "uncollect", "s1", NOW)]).drop("offset")
    log = pl.concat([LOPSIDED_EVENTS.drop("offset"), more]).with_row_index("offset", offset=1)
    after = make_world(log=log).release
    assert run(filled, after, lopsided.release if known else None) == {"written": 2, "deleted": 1}
    assert held(filled, "COLLECTED") == []
    assert [r["full_plays"] for r in held(filled, "LISTENED") if (r["source"], r["target"]) == ("ben", "s4")] == [2]


def test_it_repairs_what_somebody_edited_by_hand(filled: GraphStore, lopsided: World) -> None:
    run(filled, lopsided.release)
    filled.delete_relationship(LISTENED, "ana", "s1")
    filled.upsert_relationships(LISTENED, [{"source": "cy", "target": "s5", "plays": 99}])
    filled.write("MATCH (s:Song {id: 's2'}) SET s.plays = 7")
    assert run(filled, lopsided.release) == {"written": 2, "deleted": 1}
    assert [(r["source"], r["target"]) for r in held(filled, "LISTENED")] == [
        *(("ana", "s1"), ("ana", "s2"), ("ben", "s3"), ("ben", "s4"), ("cy", "s2"), ("cy", "s4"))
    ]


def test_whoever_stands_only_in_events_becomes_a_node(filled: GraphStore, lopsided: World) -> None:
    snapshot = lopsided_snapshot(log=events([("new", "like", "s9", NOW)]))
    run(filled, Release(lopsided.release.path, {}, snapshot))
    assert [(r["source"], r["target"]) for r in held(filled, "LIKED")] == [("new", "s9")]


def test_projecting_changes_nothing_that_a_snapshot_reads(filled: GraphStore, lopsided: World) -> None:
    run(filled, lopsided.release)
    nodes_, edges_ = graph_frames(filled)
    assert Snapshot.of_frames(nodes_, edges_, LOPSIDED_EVENTS).digest() == lopsided.snapshot.digest()


def test_progress_runs_to_its_end(embedded_store: GraphStore, lopsided: World) -> None:
    ticks: list[tuple[str, int, int]] = []
    embedded_store.bulk_load({**LOPSIDED_NODES, **BARE}, LOPSIDED_EDGES)
    project(embedded_store, lopsided.release, None, lambda *tick: ticks.append(tick))
    assert [done for _, done, _ in ticks] == list(range(len(DERIVED) + 2))
    assert ticks[-1] == ("project", len(DERIVED) + 1, len(DERIVED) + 1)


def test_every_derived_relationship_has_a_table_of_its_schema(lopsided: World) -> None:
    for rel in DERIVED:
        assert derived_frame(lopsided.release, rel).columns == ["source", "target", *(p.name for p in rel.properties)]
    none = dataclasses.replace(lopsided.release, _arrays={})
    assert not len(derived_frame(none, schema.relationship("SIMILAR_TO", "Song", "Song")))
    assert np.isfinite(derived_frame(lopsided.release, DERIVED[-1])["weight"].to_numpy()).all()
