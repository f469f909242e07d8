"""Which queries from outside may share the engine: those of which no expression can grow."""

from __future__ import annotations

from typing import Any

import pytest

from graph.store.bounded import is_bounded

BOUNDED = [
    "RETURN 1 AS one",
    "MATCH (n:Song) RETURN n.title AS title ORDER BY n.tier DESC SKIP 1 LIMIT 10",
    "MATCH (u:User {id: $id})-[r:LISTENED|LIKED {plays: 3}]->(s:Song) WHERE s.tier > 1 AND NOT (s.id IN ['a', 'b'])"
    " RETURN s, count(*) AS n",
    "MATCH (a), (b), (c) RETURN count(*) AS n",
    "MATCH p = (a)-[:FOLLOWS]->(b)<--(c) RETURN nodes(p), labels(a)[0], size(keys(b)), length(p)",
    "UNWIND $rows AS row MATCH (n:Song {id: row.id}) RETURN n.tier + 1 AS tier, (n.tier * 2) AS twice",
    "MATCH (a) WHERE EXISTS { MATCH (a)-->(:Song) } AND COUNT { (a)<--() } > 2 RETURN a",
    "CALL { MATCH (n) RETURN n } RETURN n",
    "CALL db.labels() YIELD label RETURN label",
    "RETURN coalesce(null, 'reduce(s+s)') AS text // [x IN range(1, 9) | x]",
    "MATCH (a:Song {id: $a})-[r:HAS_TAG]->(b) RETURN [{id: a.id, label: labels(a)[0]}, {id: b.id}] AS nodes, "
    "[{type: type(r), properties: properties(r)}] AS relationships LIMIT 1",
    "RETURN date({year: 2024}) AS day, -1 AS n, 1.5 AS x",
]
GROWING = [
    "RETURN reduce(s='', x IN range(1,30) | s+s+'aaaa') AS s",
    "RETURN reduce(l=[1], x IN range(1,40) | l+l) AS l",
    "RETURN range(1, 1000000000) AS r",
    "UNWIND range(1, 100000000) AS x RETURN collect(x) AS c",
    "MATCH (n) RETURN collect(n) AS all",
    "WITH 'aaaa' AS s WITH s+s AS s WITH s+s AS s WITH s+s AS s WITH s+s AS s WITH s+s AS s RETURN s",
    "WITH 'a' AS s " + "WITH s||s AS s " * 5 + "RETURN s",
    "WITH 'a' AS s RETURN replace(s, 'a', 'aa') AS s",
    "RETURN `reduce`(1) AS s",
    "RETURN text.repeat('a', 9) AS s",
    "WITH 1 AS s WITH [s, s] AS s RETURN s",
    "WITH 1 AS s WITH {a: s, b: s} AS s RETURN s",
    "MATCH (count) WITH count {match: count, b: count} AS count RETURN count",
    "MATCH (n) RETURN n {.*, again: n} AS n",
    "MATCH (n) RETURN [labels(n)[0], [x IN labels(n) | x]] AS l",
    "MATCH (n) RETURN [(n)-->(b) WHERE b.tier > 1 | b] AS l",
    "MATCH (n) WITH [n, n] AS l RETURN {a: l, b: l} AS m",
    "RETURN [x IN [1, 2] | [x, x]] AS x",
    "WITH 1 AS y RETURN 1 -[x IN [1, 2] | y] AS x",
    "MATCH (a) RETURN [(a)-->(b) | b.id] AS ids",
    "MATCH p = (a)-[*1..30]-(b) RETURN count(p) AS n",
    "MATCH p = shortestPath((a)-[:FOLLOWS*]-(b)) RETURN p",
    "MATCH (a)-->+(b) RETURN count(*) AS n",
    "MATCH (a)-[:FOLLOWS]-*(b) RETURN count(*) AS n",
    "MATCH ((a)-->(b))+ RETURN count(*) AS n",
    "MATCH ((a)-->(b)){1,5} RETURN count(*) AS n",
    "MATCH (n) WHERE all(x IN labels(n) WHERE x > 'a') RETURN n",
    "RETURN COLLECT { MATCH (n) RETURN n } AS all",
    "RETURN '\\u0061' AS a",
]


@pytest.mark.parametrize("query", BOUNDED)
def test_query_of_stored_values_is_bounded(query: str) -> None:
    assert is_bounded(query, {"id": "s", "rows": [{"id": "s"}]})


@pytest.mark.parametrize("query", GROWING)
def test_query_whose_values_may_grow_is_not(query: str) -> None:
    assert not is_bounded(query, {})


@pytest.mark.parametrize(
    ("parameters", "bounded"),
    [({"a": "x" * 1000}, True), ({"a": "x" * 2_000_000}, False), ({"a": [0] * 300_000}, False)],
)
def test_a_large_parameter_may_be_repeated_few_times(parameters: dict[str, Any], bounded: bool) -> None:
    assert is_bounded("RETURN $a AS a", parameters) is bounded
