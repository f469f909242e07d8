"""Somebody else's data in the same database, of our labels and types and of others, stays whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from segue_test_worlds import NOW, World, events, lopsided_snapshot

from api.jobs.project import project
from graph import schema
from graph.catalogue import Catalogue
from graph.errors import NotOurs
from graph.importers.base import run_import
from graph.log.events import EventLog
from graph.mark import adopt, projected_key
from graph.release import Release
from graph.snapshot.export import export
from graph.store.store import GraphStore

FOLLOWS, HAS_GENRE = schema.relationship("FOLLOWS", "User", "User"), schema.relationship("HAS_GENRE", "Song", "Genre")


TWICE = ["User", "Song"]  # labels of which two nodes share an id


def seed(store: GraphStore) -> None:
    """Nodes of every label with ids, with one that another has, and without; every type between them."""
    odd = [None, 7, ["x"]]
    for label in schema.LABELS:
        query = f"UNWIND $ids AS id CREATE (n:{label.name} $given) SET n.id = id RETURN count(n) AS n"
        given = {"owner": "them", "tags": ["x"], **{p.name: theirs(p) for p in label.properties}}
        store.write(query, {"ids": ["s1", "ana", *["dup"] * 2 * (label.name in TWICE), *odd], "given": given})
    for rel in schema.RELATIONSHIPS:
        store.write(
            f"MATCH (a:{rel.source}) WITH a MATCH (b:{rel.target}) WHERE a.id = 's1' OR a.id IS NULL OR b.id = 'ana' "
            f"CREATE (a)-[r:{rel.type}]->(b) SET r = $given",
            {"given": {"owner": "them", **{p.name: theirs(p) for p in rel.properties}}},
        )
    store.write("MATCH (a:Song {id: 's1'}) SET a.uploaded_at = date('2020-01-01')")
    store.write("CREATE (a:Invoice {id: 's1', plays: 3})-[:LISTENED {plays: 9}]->(b:Person {id: 'ana', name: 'A'})")
    store.write("MATCH (a:Invoice) WITH a MATCH (b:Song {id: 's1'}) CREATE (b)-[:PAID {at: 1}]->(a)")


def theirs(entry: schema.Property) -> Any:
    return "theirs" if entry.kind == "string" else 1


def whole(store: GraphStore) -> tuple[Counter[str], Counter[str]]:
    """Every node and relationship without our mark, ends and properties and all."""
    nodes = store.read("MATCH (n) WHERE n.segue IS NULL RETURN labels(n) AS labels, properties(n) AS p")
    edges = store.read(
        "MATCH (a)-[r]->(b) WHERE r.segue IS NULL RETURN labels(a) AS a, properties(a) AS p, type(r) AS type, "
        "properties(r) AS r, labels(b) AS b, properties(b) AS q"
    )
    return Counter(map(_shown, nodes)), Counter(map(_shown, edges))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return str(sorted((name, _shown(one)) for name, one in value.items()))
    return str(value)


def source(folder: Path) -> Path:
    """Tables that share some of the ids."""
    folder.mkdir()
    (folder / "songs.csv").write_text("id,title\ns1,Ours\ns2,Two\nnew,New\n")
    (folder / "users.csv").write_text("id,name\nana,Ours\nben,Ben\n")
    (folder / "song_genre.csv").write_text("song_id,genre_id\ns1,ana\ns2,s1\nnew,folk\n")
    (folder / "events.csv").write_text("user_id,action,song_id\nana,play,s1\nben,like,new\nana,play,new\n")
    return folder


@pytest.fixture
def shared(store: GraphStore) -> Iterator[GraphStore]:
    """A store in which somebody else's data stands; what it does to the schema is undone."""
    for name in TWICE:
        store.write(f"DROP CONSTRAINT {name.lower()}_id IF EXISTS")
    yield store
    while store.write("MATCH (n) WITH n LIMIT 10000 DETACH DELETE n RETURN count(*) AS n")[0]["n"]:
        pass
    for name in TWICE:
        store.write(f"DROP INDEX {name.lower()}_id IF EXISTS")
    assert store.migrate() == []


def test_whatever_somebody_else_wrote_stays_as_it_was(
    shared: GraphStore, sqlite_log: EventLog, lopsided: World, tmp_path: Path
) -> None:
    seed(shared)
    before = whole(shared)
    assert [line.split()[5] for line in shared.migrate()] == TWICE
    result = run_import("tables", source(tmp_path / "tables"), shared, sqlite_log, tmp_path)
    assert "1 Song nodes stood in the graph already, made by somebody else: left as they are" in result["warnings"]
    assert whole(shared) == before
    warnings: list[str] = []
    snapshot = export(shared, sqlite_log, upto=3, wall_clock=NOW, warnings=warnings)
    assert "3 Song nodes of the graph have no usable id: left out, with their relationships" in warnings
    assert (
        "2 Song nodes of the graph have an id that another one has too: left out, with their relationships" in warnings
    )
    assert snapshot.ids["Song"].to_list() == ["ana", "new", "s1", "s2"]
    assert snapshot.ids["Genre"].to_list() == ["ana", "folk", "s1"]  # and no "7"
    assert snapshot.texts("Song", "title").to_list() == ["theirs", "New", "theirs", "Two"]
    release = Release(lopsided.release.path, {}, snapshot)
    project(shared, release, None, lambda *_: None)
    listened = "MATCH (a:User {id: 'ana'})-[r:LISTENED {segue: true}]->(b:Song) RETURN b.id AS id ORDER BY id"
    assert [row["id"] for row in shared.read(listened)] == ["new", "s1"]
    other = lopsided_snapshot(log=events([("ana", "like", "s1", NOW)]))
    project(shared, Release(lopsided.release.path, {}, other), None, lambda *_: None)
    assert whole(shared) == before
    with Catalogue(shared, sqlite_log) as catalogue:
        edit(catalogue)
    assert whole(shared) == before


def edit(catalogue: Catalogue) -> None:
    """Single edits at their nodes: what would change or delete one is refused, and nothing of it is in the journal."""
    for refused in (
        lambda: catalogue.upsert_node("Song", "s1", {"title": "Mine"}),
        lambda: catalogue.upsert_song("s1", {}, {"genres": []}),
        lambda: catalogue.delete_node("User", "dup"),
        lambda: catalogue.unfollow("s1", "ana"),
    ):
        with pytest.raises(NotOurs, match="somebody else"):
            refused()
    catalogue.follow("ana", "ben")
    catalogue.follow("s1", "dup")
    catalogue.unfollow("ana", "ben")
    catalogue.upsert_song("mine", {"title": "M"}, {"genres": ["s1", "mine"], "tags": {"dup": 2.0}})
    catalogue.upsert_song("mine", {}, {"genres": [], "tags": {}})
    for id_ in ("mine", "new", "s2"):
        catalogue.delete_node("Song", id_)
    assert "segue" not in (catalogue.node("Song", "s1") or {})


def test_a_deleted_node_that_theirs_hangs_on_stays_for_its_sake(store: GraphStore, sqlite_log: EventLog) -> None:
    catalogue = Catalogue(store, sqlite_log)
    catalogue.upsert_song("s", {"title": "S"}, {"genres": ["folk"]})
    store.write("MATCH (s:Song {id: 's'}) SET s.price = 5 CREATE (s)-[:SOLD {n: 1}]->(:Shop {id: 'x'})")
    catalogue.delete_node("Song", "s")
    assert store.read("MATCH (s:Song)-[r]-(x) RETURN properties(s) AS s, type(r) AS r, x.id AS x") == [
        {"s": {"price": 5}, "r": "SOLD", "x": "x"}
    ]
    assert catalogue.node("Song", "s") is None


def test_a_graph_from_before_the_mark_is_marked_once(embedded_store: GraphStore, sqlite_log: EventLog) -> None:
    store = embedded_store
    old = "CREATE (a:User {id: 'a'})-[:FOLLOWS]->(b:User {id: 'b'}), (a)-[:LISTENED {plays: 1}]->(:Song {id: 's'})"
    store.write(old)
    sqlite_log.append_journal("follow", "User", "a", {"target": "b", "since": 0})
    adopt(store, sqlite_log)
    marked = "MATCH (n)-[r]->(m) WHERE n.segue = true AND r.segue = true AND m.segue = true RETURN count(r) AS n"
    assert store.read(marked) == [{"n": 2}]
    store.write("MATCH (n) DETACH DELETE n")
    store.write(old)
    adopt(store, sqlite_log)
    assert store.read(marked) == [{"n": 0}]


@pytest.mark.neo4j
@pytest.mark.parametrize("label", ["Song", "Invoice"])
def test_on_a_server_of_somebody_else_only_what_can_be_ours_alone_is_marked(
    neo4j_store: GraphStore, sqlite_log: EventLog, label: str
) -> None:
    neo4j_store.write(f"CREATE (:User {{id: 'a'}})-[:LISTENED]->(:{label} {{id: 's'}})")
    sqlite_log.set_meta("source:tables:one", "{}")
    sqlite_log.set_meta(projected_key(neo4j_store.url), "release")
    told = adopt(neo4j_store, sqlite_log)
    marked = neo4j_store.read("MATCH (n) WHERE n.segue = true RETURN count(n) AS n")[0]["n"]
    assert (marked, len(told)) == ((2, 0) if label == "Song" else (0, 1))
    assert sqlite_log.get_meta(projected_key(neo4j_store.url)) == ("release" if label == "Song" else "")
