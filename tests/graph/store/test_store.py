"""The same answers, refusals and errors through the one client, whichever engine stands behind it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import polars as pl
import pytest
from neo4j import exceptions as bolt

from graph import schema
from graph.errors import InvalidInput, QueryRefused, QueryTimeout, StoreUnavailable
from graph.store import guard
from graph.store.config import GraphConfig
from graph.store.store import GraphStore

LISTENED = schema.relationship("LISTENED", "User", "Song")
RELATED = schema.relationship("RELATED", "Entity", "Entity")
FOLLOWS = schema.relationship("FOLLOWS", "User", "User")
HAS_TAG = schema.relationship("HAS_TAG", "Song", "Tag")

ODD_IDS = ["01", "1", "A", "a", "é", "e\u0301", "😀", "'\"`", "\\", "\\u0041", "$id", "{id: 1}", "x'}) DETACH DELETE n"]

WRITES = [
    "CREATE (n:Song {id: 'x'}) RETURN n",
    "MERGE (n:Song {id: 'x'}) RETURN n",
    "MATCH (n:Song) SET n.tier = 9",
    "MATCH (n:Song) REMOVE n.title",
    "MATCH (n) DETACH DELETE n",
    "UNWIND [1] AS x CREATE (n:Song {id: toString(x)})",
    "WITH 1 AS x MERGE (n:Song {id: 'x'}) RETURN n",
    "MATCH (n:Song) CALL (n) { SET n.tier = 9 } RETURN n",
    "MATCH (n:Song) FOREACH (x IN [1] | SET n.tier = x)",
    "/* MATCH */ CREATE (n:Song {id: 'x'})",
    "CREATE INDEX odd IF NOT EXISTS FOR (n:Song) ON (n.title)",
    "DROP CONSTRAINT song_id IF EXISTS",
    "RETURN 1 AS x UNION CREATE (n:Song {id: 'x'}) RETURN 1 AS x",
]
FILES = [
    "LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line",
    "load\tcsv from 'file:///etc/hostname' as line return line",
    "LOAD /* x */ CSV FROM 'file:///etc/hostname' AS line RETURN line",
    "LOAD // x\nCSV FROM 'file:///etc/hostname' AS line RETURN line",
    "WITH 1 AS x LoAd CsV FROM 'http://127.0.0.1:1/x' AS line RETURN line",
    "CALL { LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line } RETURN line",
    "\\u004cOAD CSV FROM 'file:///etc/hostname' AS line RETURN line",
    "RETURN 'it''s' AS `a``b` UNION LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line",
]
OTHERS = [
    "SHOW USERS",
    "SHOW DATABASES",
    "USE system MATCH (n) RETURN n",
    "TERMINATE TRANSACTIONS 'x'",
    "CALL dbms.listConfig() YIELD name RETURN name",
    "CALL `dbms`.`listConfig`() YIELD name RETURN name",
    "CALL dbms /* x */ . listConfig() YIELD name RETURN name",
    "MATCH (n) CALL db.createLabel('x') RETURN n",
    "RETURN 1 AS a; RETURN 2 AS b",
    "RETURN 1 AS a; CREATE (n)",
    "PROFILE CREATE (n)",
    "EXPLAIN CREATE (n)",
]
NO_CYPHER = [
    "",
    "   ",
    ";",
    "// only a comment",
    "MATCH",
    "((((",
    "RETURN 1 AS",
    "HELLO",
    "RETURN $missing AS x",
    "\x00",
]


def song(store: GraphStore) -> None:
    store.upsert_nodes("Song", [{"id": "s", "title": "So What", "tier": 2}])


def listened(store: GraphStore) -> None:
    song(store)
    store.upsert_nodes("User", [{"id": "u"}])
    store.upsert_relationships(LISTENED, [{"source": "u", "target": "s", "plays": 3}])


def test_store_says_what_it_talks_to(store: GraphStore) -> None:
    assert (store.engine, store.version.split(".")[0]) in {("arcadedb", "26"), ("neo4j", "5")}


# -- nodes and relationships


def test_ids_come_back_byte_for_byte(store: GraphStore) -> None:
    assert store.upsert_nodes("Song", [{"id": i, "title": i} for i in ODD_IDS]) == len(ODD_IDS)
    rows = store.read("MATCH (n:Song) RETURN n.id AS id, n.title AS title")
    assert sorted((r["id"], r["title"]) for r in rows) == sorted((i, i) for i in ODD_IDS)


def test_upserting_again_changes_only_what_is_given(store: GraphStore) -> None:
    song(store)
    store.upsert_nodes("Song", [{"id": "s", "title": None, "quality": 0.5}])
    found = store.read("MATCH (n:Song) RETURN properties(n) AS p")
    assert found == [{"p": {"id": "s", "title": "So What", "tier": 2, "quality": 0.5, "segue": True}}]


def test_rows_of_one_call_may_give_different_properties(store: GraphStore) -> None:
    store.upsert_nodes("Song", [{"id": "a", "tier": 1}, {"id": "b", "title": "B"}, {"id": "c"}])
    rows = store.read("MATCH (n:Song) RETURN n.id AS id, n.tier AS tier, n.title AS title ORDER BY id")
    assert [tuple(r.values()) for r in rows] == [("a", 1, None), ("b", None, "B"), ("c", None, None)]


def test_relationship_is_made_once_and_completed(store: GraphStore) -> None:
    listened(store)
    store.upsert_relationships(LISTENED, [{"source": "u", "target": "s", "skips": 1}])
    found = store.read("MATCH (:User)-[r:LISTENED]->(:Song) RETURN properties(r) AS p")
    assert found == [{"p": {"plays": 3, "skips": 1, "segue": True}}]


def test_relationships_stand_side_by_side_when_their_identity_differs(store: GraphStore) -> None:
    store.upsert_nodes("Entity", [{"id": "a"}, {"id": "b"}])
    rows = [{"source": "a", "target": "b", "relation": name} for name in ("plays", "knows", "plays")]
    store.upsert_relationships(RELATED, rows)
    found = store.read("MATCH ()-[r:RELATED]->() RETURN r.relation AS name ORDER BY name")
    assert [r["name"] for r in found] == ["knows", "plays"]


def test_relationship_without_both_ends_is_not_made(store: GraphStore) -> None:
    song(store)
    assert store.upsert_relationships(LISTENED, [{"source": "nobody", "target": "s", "plays": 1}]) == 0
    assert store.counts()["relationships"]["LISTENED"] == 0


def test_relationship_to_itself_counts_once(store: GraphStore) -> None:
    store.upsert_nodes("User", [{"id": "u"}])
    assert store.upsert_relationships(FOLLOWS, [{"source": "u", "target": "u"}]) == 1
    assert store.counts()["relationships"]["FOLLOWS"] == 1


def test_deleting_says_how_many_there_were(store: GraphStore) -> None:
    listened(store)
    assert [store.delete_relationship(LISTENED, "u", "s") for _ in range(2)] == [1, 0]
    assert [store.delete_node("Song", "s") for _ in range(2)] == [1, 0]
    assert store.counts()["labels"]["User"] == 1


def test_deleting_a_node_takes_its_relationships(store: GraphStore) -> None:
    listened(store)
    store.delete_node("User", "u")
    assert store.counts()["relationships"]["LISTENED"] == 0


def test_derived_relationships_are_replaced_by_their_difference(store: GraphStore) -> None:
    listened(store)
    store.upsert_nodes("Song", [{"id": "t"}])
    new = [{"source": "u", "target": "t", "plays": 1}]
    assert store.replace_derived(LISTENED, new, [{"source": "u", "target": "s"}]) == (1, 1)
    assert store.read("MATCH (:User)-[:LISTENED]->(b) RETURN b.id AS id") == [{"id": "t"}]


def test_only_derived_relationships_can_be_replaced(store: GraphStore) -> None:
    with pytest.raises(ValueError, match="FOLLOWS"):
        store.replace_derived(FOLLOWS, [])


def test_properties_are_set_on_nodes_that_exist_and_none_removes(store: GraphStore) -> None:
    song(store)
    assert store.set_properties("Song", [{"id": "s", "tier": None, "quality": 1.0}, {"id": "ghost", "tier": 1}]) == 1
    assert store.read("MATCH (n:Song) RETURN n.id AS id, n.tier AS tier, n.quality AS q") == [
        {"id": "s", "tier": None, "q": 1.0}
    ]


@pytest.mark.parametrize("bad", ["", "a/b", "x" * 257, "tab\t", None, 7, "\ud800"])
def test_id_that_is_none_is_refused_by_value(embedded_store: GraphStore, bad: Any) -> None:
    with pytest.raises(InvalidInput, match="expected an id"):
        embedded_store.upsert_nodes("Song", [{"id": bad}])


def test_unknown_labels_and_odd_property_names_are_refused(embedded_store: GraphStore) -> None:
    with pytest.raises(InvalidInput, match="unknown label 'Sonk'"):
        embedded_store.upsert_nodes("Sonk", [{"id": "a"}])
    with pytest.raises(InvalidInput, match="name of a property"):
        embedded_store.upsert_nodes("Song", [{"id": "a", "x = 1 DETACH DELETE n": 1}])


def test_the_schema_script_may_run_again(store: GraphStore) -> None:
    store.migrate()
    song(store)
    with pytest.raises(InvalidInput):
        store.write("CREATE (n:Song {id: 's'})")


# -- reading


def test_stream_gives_every_row_once_in_batches(store: GraphStore) -> None:
    store.upsert_nodes("Song", [{"id": str(n)} for n in range(25)])
    batches = list(store.stream("MATCH (n:Song) RETURN n.id AS id", batch=10))
    assert [len(b) for b in batches] == [10, 10, 5]
    assert {r["id"] for b in batches for r in b} == {str(n) for n in range(25)}


def test_stream_may_be_left_early(store: GraphStore) -> None:
    store.upsert_nodes("Song", [{"id": str(n)} for n in range(25)])
    assert len(next(iter(store.stream("MATCH (n:Song) RETURN n.id AS id", batch=10)))) == 10
    assert store.counts()["labels"]["Song"] == 25


def test_table_carries_nodes_relationships_and_paths_as_plain_values(store: GraphStore) -> None:
    listened(store)
    table = store.query("MATCH p = (u:User)-[r:LISTENED]->(s:Song) RETURN s, r, p")
    node = {"label": "Song", "id": "s", "properties": {"title": "So What", "tier": 2, "segue": True}}
    user = {"label": "User", "id": "u", "properties": {"segue": True}}
    ends = {"from": {"label": "User", "id": "u"}, "to": {"label": "Song", "id": "s"}}
    relationship = {"relationship": "LISTENED", **ends, "properties": {"plays": 3, "segue": True}}
    assert (table.columns, table.truncated) == (["s", "r", "p"], False)
    assert table.rows == [[node, relationship, [user, relationship, node]]]


def test_relationship_alone_knows_its_ends(store: GraphStore) -> None:
    listened(store)
    found = store.query("MATCH ()-[r:LISTENED]->() RETURN r AS r").rows[0][0]
    assert (found["from"]["id"], found["to"]["id"]) == ("u", "s")


def test_numbers_that_json_cannot_carry_are_texts(store: GraphStore) -> None:
    values = [2**53, 2**53 + 1, -(2**63), math.nan, math.inf, 0.5, None, True]
    table = store.query("RETURN $values AS v, {a: $values} AS m", {"values": values})
    plain = [2**53, str(2**53 + 1), str(-(2**63)), "nan", "inf", 0.5, None, True]
    assert table.rows == [[plain, {"a": plain}]]


@pytest.mark.parametrize(("limit", "truncated"), [(4, True), (5, False), (6, False)])
def test_row_limit_says_whether_there_was_more(store: GraphStore, limit: int, truncated: bool) -> None:
    table = store.query("UNWIND range(1, 5) AS x RETURN x", limit=limit)
    assert (table.rows, table.truncated) == ([[x] for x in range(1, min(limit, 5) + 1)], truncated)


@pytest.mark.timeout(20)
def test_a_few_rows_of_a_huge_result_come_at_once(store: GraphStore) -> None:
    table = store.query("UNWIND range(1, 100000) AS x UNWIND range(1, 100000) AS y RETURN y", limit=3)
    assert (table.rows, table.truncated) == ([[1], [2], [3]], True)


# -- what may not come in from outside


@pytest.mark.parametrize("query", WRITES + FILES + OTHERS)
def test_query_from_outside_that_does_more_than_read_is_refused(store: GraphStore, query: str) -> None:
    song(store)
    with pytest.raises((QueryRefused, InvalidInput)) as error:
        store.query(query)
    assert "\n" not in str(error.value)
    assert store.read("MATCH (n) RETURN n.id AS id, n.tier AS tier") == [{"id": "s", "tier": 2}]


@pytest.mark.parametrize("query", WRITES)
def test_the_plan_alone_refuses_writes(store: GraphStore, query: str) -> None:
    song(store)
    with pytest.raises((QueryRefused, InvalidInput)), store._mapped():
        store._plan("writer", query, {}, 5.0)
    assert store.read("MATCH (n) RETURN n.id AS id, n.tier AS tier") == [{"id": "s", "tier": 2}]


@pytest.mark.parametrize("query", WRITES + FILES)
def test_the_readers_rights_alone_refuse_writes_and_files(store: GraphStore, query: str) -> None:
    song(store)
    with pytest.raises((QueryRefused, InvalidInput)):
        store.read(query)
    assert store.read("MATCH (n) RETURN n.id AS id, n.tier AS tier") == [{"id": "s", "tier": 2}]


@pytest.mark.parametrize("query", FILES)
def test_the_guard_alone_refuses_files(query: str) -> None:
    with pytest.raises(QueryRefused, match="LOAD CSV"):
        guard.check(query)


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (n:Song) WHERE n.title = 'LOAD CSV; CREATE' RETURN n.id AS id",
        "MATCH (n:Song) // CALL dbms.x(); LOAD CSV\nRETURN n.id AS id",
        "MATCH (n:Song) RETURN n.`load` AS `csv`",
        "MATCH (n:Song) RETURN n.call AS x;",
        "CALL { MATCH (n:Song) RETURN n } RETURN n.id AS id",
        "CALL db.labels() YIELD label RETURN label",
        "OPTIONAL MATCH (n:Nope) RETURN n",
        "MATCH (n:Song) WHERE NOT EXISTS { MATCH (n)-[:HAS_TAG]->() } RETURN COUNT { MATCH (n)--() } AS n",
        "RETURN 1 AS x UNION RETURN 2 AS x",
        "RETURN '\\u0041' AS x",
    ],
)
def test_query_that_only_looks_odd_is_answered(store: GraphStore, query: str) -> None:
    store.upsert_nodes("Song", [{"id": "s", "title": "LOAD CSV; CREATE"}])
    assert store.query(query).columns


@pytest.mark.parametrize("query", NO_CYPHER)
def test_what_is_no_cypher_is_the_callers_mistake_in_one_line(store: GraphStore, query: str) -> None:
    with pytest.raises(InvalidInput, match="query:") as error:
        store.query(query)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("query", ["RETURN " + "1 + " * 30_000 + "1 AS x", "RETURN '" + "x" * 200_000 + "' AS x"])
def test_huge_query_is_refused_by_its_size(store: GraphStore, query: str) -> None:
    with pytest.raises(InvalidInput, match="at most 20000 characters"):
        store.query(query)


@pytest.mark.parametrize(
    "query", ["RETURN " + "(" * 900 + "1" + ")" * 900 + " AS x", "RETURN " + "NOT " * 2_000 + "true AS x"]
)
def test_deeply_nested_query_is_refused_before_a_parser_runs_out_of_stack(store: GraphStore, query: str) -> None:
    with pytest.raises(InvalidInput, match="nested deeper than 100"):
        store.query(query)


@pytest.mark.parametrize(
    "value", [2**63, -(2**63) - 1, {1: 2}, object(), "\ud800", {"a": {"b": {3}}}, b"x", [[1j]]], ids=repr
)
def test_parameter_that_bolt_cannot_carry_is_named(embedded_store: GraphStore, value: Any) -> None:
    with pytest.raises(InvalidInput, match="parameter 'x'"):
        embedded_store.query("RETURN $x AS x", {"x": value})


def test_parameters_and_limits_of_wrong_types_are_the_callers_mistake(embedded_store: GraphStore) -> None:
    with pytest.raises(InvalidInput, match="expected a map"):
        embedded_store.query("RETURN 1 AS x", [1])  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="limit"):
        embedded_store.query("RETURN 1 AS x", limit=0)
    with pytest.raises(InvalidInput, match="timeout_s"):
        embedded_store.query("RETURN 1 AS x", timeout_s=math.nan)
    with pytest.raises(InvalidInput, match="expected text"):
        embedded_store.query(7)  # type: ignore[arg-type]


def test_a_commit_that_its_disk_has_no_room_for_is_no_mistake_of_the_caller(embedded_store: GraphStore) -> None:
    code = "Neo.ClientError.Transaction.TransactionNotFound"
    full = bolt.Neo4jError._hydrate_neo4j(code=code, message="Transaction error on commit")
    with pytest.raises(StoreUnavailable, match="error on commit"), embedded_store._mapped():
        raise full


def test_parameters_never_become_cypher(store: GraphStore) -> None:
    song(store)
    text = "'}) DETACH DELETE n //"
    assert store.query("MATCH (n:Song {id: $id}) RETURN n", {"id": text}).rows == []
    assert store.counts()["labels"]["Song"] == 1


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "query",
    [
        "UNWIND range(1, 100000) AS x UNWIND range(1, 100000) AS y RETURN count(*) AS n",
        "UNWIND range(1, 100000) AS x UNWIND range(1, 100000) AS y WITH x, y WHERE x + y < 0 RETURN x",
    ],
)
def test_query_past_its_time_limit_is_ended(store: GraphStore, query: str) -> None:
    with pytest.raises(QueryTimeout):
        store.query(query, timeout_s=0.5)


# -- whole tables


def test_bulk_load_into_an_empty_store(store: GraphStore) -> None:
    nodes = {
        "User": pl.DataFrame({"id": ["u", "é'\""], "level": [3, None]}),
        "Song": pl.DataFrame({"id": ["s"], "title": ["S 😀"]}),
    }
    edges = {LISTENED: pl.DataFrame({"source": ["u", "é'\""], "target": ["s", "s"], "plays": [2, None]})}
    store.bulk_load(nodes, edges)
    rows = store.read("MATCH (u:User)-[r:LISTENED]->(s:Song) RETURN u.id AS u, r.plays AS n, s.title AS t ORDER BY n")
    assert [tuple(r.values()) for r in rows] == [("u", 2, "S 😀"), ("é'\"", None, "S 😀")]
    assert store.read("MATCH (u:User) WHERE u.level IS NULL RETURN u.id AS id") == [{"id": "é'\""}]


def test_bulk_loaded_nodes_are_found_by_upserts(store: GraphStore) -> None:
    store.bulk_load({"Song": pl.DataFrame({"id": ["s"]}), "Tag": pl.DataFrame({"id": ["t"]})}, {})
    store.upsert_nodes("Song", [{"id": "s", "tier": 1}])
    assert store.upsert_relationships(HAS_TAG, [{"source": "s", "target": "t", "weight": 0.5}]) == 1
    assert store.counts()["labels"] == dict.fromkeys([e.name for e in schema.LABELS], 0) | {"Song": 1, "Tag": 1}


def test_bulk_load_again_changes_nothing(store: GraphStore) -> None:
    nodes = {"Song": pl.DataFrame({"id": ["s"]}), "User": pl.DataFrame({"id": ["u"]})}
    edges = {LISTENED: pl.DataFrame({"source": ["u"], "target": ["s"], "plays": [2]})}
    store.bulk_load(nodes, edges)
    before = store.counts()
    store.bulk_load(nodes, edges)
    assert store.counts() == before


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ({"id": ["a", "a"]}, None, "1 rows repeat"),
        ({"id": ["a", None]}, None, "1 rows have none"),
        ({"id": ["a/b"]}, None, "without '/'"),
        ({"id": [1]}, None, "expected text"),
        ({"name": ["a"]}, None, "no column 'id'"),
        ({"id": ["a"]}, {"source": ["a"], "target": ["b"]}, "nowhere"),
    ],
)
def test_bulk_load_refuses_tables_that_do_not_fit(
    store: GraphStore, nodes: dict[str, Any], edges: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        store.bulk_load({"User": pl.DataFrame(nodes)}, {FOLLOWS: pl.DataFrame(edges)} if edges else {})
    assert store.counts()["relationships"]["FOLLOWS"] == 0


# -- when there is nobody


def test_nobody_at_the_url_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=r"bolt://127\.0\.0\.1:9"):
        GraphStore.open(GraphConfig(url="bolt://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["", "http://x", "embedded:", "bolt://a b", "neo4j+x://y"])
def test_url_that_is_none_is_the_callers_mistake(url: str) -> None:
    with pytest.raises((InvalidInput, StoreUnavailable)):
        GraphStore.open(GraphConfig(url=url))


@pytest.mark.neo4j
def test_wrong_password_is_unavailable(neo4j_config: GraphConfig) -> None:
    with pytest.raises(StoreUnavailable, match="login"):
        GraphStore.open(dataclasses.replace(neo4j_config, password="wrong"))


def test_password_is_in_no_text_of_the_settings() -> None:
    assert "secret" not in repr(GraphConfig(password="secret", reader_password="secret"))
