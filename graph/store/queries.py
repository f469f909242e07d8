"""Every Cypher query of the product, for Neo4j 5 and the embedded server alike.

What a query binds by parameter it never spells: the only names put into a query text are those of `graph.schema`, and
property names that have passed `_name`. Rows come in as `$rows`, a list of maps, one for each key (callers aggregate).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from graph.errors import InvalidInput
from graph.schema import LABELS, RELATIONSHIPS, Relationship

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)

PING: Final = "RETURN 1 AS one"

# Which ends a relationship has that a query returned without its nodes.
ENDS: Final = (
    "MATCH (n) WHERE elementId(n) IN $elements RETURN elementId(n) AS element, labels(n) AS labels, n.id AS id"
)


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"expected the name of a property, got {name!r}")
    return name


def _ends(rel: Relationship, source: str = "row.source", target: str = "row.target") -> str:
    return (
        f"MATCH (a:{rel.source} {{id: {source}}}) WITH a, row MATCH (b:{rel.target} {{id: {target}}}) WITH a, b, row "
    )


def _pattern(rel: Relationship, of: str = "row") -> str:
    """The relationship `r` between `a` and `b`, told apart from its kin by its identity properties."""
    identity = ", ".join(f"{name}: {of}.{name}" for name in rel.identity)
    return f"(a)-[r:{rel.type}{f' {{{identity}}}' if identity else ''}]->(b)"


def _assignments(variable: str, properties: Iterable[str]) -> str:
    """SET clause that leaves as it is what a row gives as null."""
    parts = [
        f"{variable}.{_name(name)} = CASE WHEN row.{name} IS NULL THEN {variable}.{name} ELSE row.{name} END"
        for name in properties
    ]
    return f" SET {', '.join(parts)}" if parts else ""


def upsert_nodes(label: str, properties: Sequence[str]) -> str:
    """`$rows` of `{id, <properties>}`; a null property stays as it is. Returns `n`, the rows met."""
    return f"UNWIND $rows AS row MERGE (n:{label} {{id: row.id}}){_assignments('n', properties)} RETURN count(*) AS n"


def upsert_relationships(rel: Relationship, properties: Sequence[str]) -> str:
    """`$rows` of `{source, target, <properties>}`; rows with a missing end do nothing. Returns `n`, the rows met."""
    rest = [name for name in properties if name not in rel.identity]
    return f"UNWIND $rows AS row {_ends(rel)}MERGE {_pattern(rel)}{_assignments('r', rest)} RETURN count(*) AS n"


def delete_relationships(rel: Relationship) -> str:
    """`$rows` of `{source, target, <identity>}`. Returns `n`, the relationships deleted."""
    return f"UNWIND $rows AS row {_ends(rel)}MATCH {_pattern(rel)} DELETE r RETURN count(*) AS n"


def delete_relationship(rel: Relationship) -> str:
    """Every relationship of the type from `$source` to `$target`. Returns `n`, how many there were."""
    return (
        f"MATCH (a:{rel.source} {{id: $source}})-[r:{rel.type}]->(b:{rel.target} {{id: $target}}) "
        "DELETE r RETURN count(*) AS n"
    )


def delete_node(label: str) -> str:
    """The node `$id` with its relationships. Returns `n`, 1 if there was one."""
    return f"MATCH (n:{label} {{id: $id}}) DETACH DELETE n RETURN count(*) AS n"


def delete_nodes(label: str) -> str:
    """`$rows` of `{id}` and their relationships. Returns `n`, the nodes deleted."""
    return f"UNWIND $rows AS row MATCH (n:{label} {{id: row.id}}) DETACH DELETE n RETURN count(*) AS n"


def set_properties(label: str, properties: Sequence[str]) -> str:
    """`$rows` of `{id, <properties>}` on nodes that exist; a null removes the property. Returns `n`, the rows met."""
    parts = ", ".join(f"n.{_name(name)} = row.{name}" for name in properties)
    return f"UNWIND $rows AS row MATCH (n:{label} {{id: row.id}}) SET {parts} RETURN count(*) AS n"


def export_nodes(label: str, properties: Sequence[str]) -> str:
    """Every node of the label: `id` and its properties, in no order."""
    columns = ["n.id AS id", *(f"n.{_name(name)} AS {name}" for name in properties)]
    return f"MATCH (n:{label}) RETURN {', '.join(columns)}"


def export_relationships(rel: Relationship, properties: Sequence[str] | None = None) -> str:
    """Every relationship of the type between those labels: `source`, `target` and its properties, in no order."""
    names = [p.name for p in rel.properties] if properties is None else list(properties)
    columns = ["a.id AS source", "b.id AS target", *(f"r.{_name(name)} AS {name}" for name in names)]
    return f"MATCH (a:{rel.source})-[r:{rel.type}]->(b:{rel.target}) RETURN {', '.join(columns)}"


def count_nodes(label: str) -> str:
    """`n`, the nodes of the label."""
    return f"MATCH (n:{label}) RETURN count(n) AS n"


def count_relationships(type_: str) -> str:
    """`n`, the relationships of the type between whatever labels."""
    return f"MATCH ()-[r:{type_}]->() RETURN count(r) AS n"


def node(label: str) -> str:
    """The node `$id`: its properties as a map."""
    return f"MATCH (n:{label} {{id: $id}}) RETURN properties(n) AS properties"


def neighbours(rel: Relationship) -> str:
    """Where the relationships of the type lead from `$id`: `id` and the relationship's properties as a map."""
    return (
        f"MATCH (a:{rel.source} {{id: $id}})-[r:{rel.type}]->(b:{rel.target}) "
        "RETURN b.id AS id, properties(r) AS properties"
    )


def reason(labels: Sequence[str], hops: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """The one path that a reason cites: nodes `$id0`, `$id1`, … of `labels`, joined by `hops`.

    A hop is (type, "out"|"in", identity): the names of its identity properties, given as `$by1` for `by` of hop 1.
    Returns one row of `nodes` (`{id, label}`) and `relationships` (`{type, direction, properties}`).
    """
    parts, names, types = [], [], []
    for position, label in enumerate(labels):
        parts.append(f"(n{position}:{label} {{id: $id{position}}})")
        names.append(f"{{id: n{position}.id, label: labels(n{position})[0]}}")
        if position < len(hops):
            kind, direction, identity = hops[position]
            left, right = ("-", "->") if direction == "out" else ("<-", "-")
            given = ", ".join(f"{_name(name)}: ${name}{position}" for name in identity)
            parts.append(f"{left}[r{position}:{_name(kind)}{f' {{{given}}}' if given else ''}]{right}")
            types.append(
                f"{{type: type(r{position}), direction: '{'out' if direction == 'out' else 'in'}', "
                f"properties: properties(r{position})}}"
            )
    return f"MATCH {''.join(parts)} RETURN [{', '.join(names)}] AS nodes, [{', '.join(types)}] AS relationships LIMIT 1"


def catalogue() -> Iterator[tuple[str, str]]:
    """(name, query) of everything the product asks of the graph on its own, one of each shape and kind."""
    yield "ping", PING
    yield "ends", ENDS
    for label in LABELS:
        names = [p.name for p in label.properties]
        yield f"upsert_nodes:{label.name}", upsert_nodes(label.name, names)
        yield f"export_nodes:{label.name}", export_nodes(label.name, names)
        yield f"count_nodes:{label.name}", count_nodes(label.name)
        yield f"node:{label.name}", node(label.name)
        yield f"set_properties:{label.name}", set_properties(label.name, names)
        yield f"delete_node:{label.name}", delete_node(label.name)
        yield f"delete_nodes:{label.name}", delete_nodes(label.name)
    for rel in RELATIONSHIPS:
        names = [p.name for p in rel.properties]
        yield f"upsert_relationships:{rel.key}", upsert_relationships(rel, names)
        yield f"export_relationships:{rel.key}", export_relationships(rel)
        yield f"neighbours:{rel.key}", neighbours(rel)
        yield f"delete_relationships:{rel.key}", delete_relationships(rel)
        yield f"delete_relationship:{rel.key}", delete_relationship(rel)
    for type_ in dict.fromkeys(rel.type for rel in RELATIONSHIPS):
        yield f"count_relationships:{type_}", count_relationships(type_)
    yield "reason", reason(["User", "User", "Song"], [("FOLLOWS", "out", ()), ("LISTENED", "out", ())])
