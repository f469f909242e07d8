"""Every Cypher query of the product, for Neo4j 5 and the embedded server alike.

What a query binds by parameter it never spells: the only names put into a query text are those of `graph.schema`, and
property names that have passed `_name`. Rows come in as `$rows`, a list of maps, one for each key (callers aggregate).

The graph may hold somebody else's nodes and relationships, of our labels and types too. What Segue makes has the mark
`segue: true`, and every query that changes or deletes does so to what has it only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from graph.errors import InvalidInput
from graph.schema import LABELS, MARK, RELATIONSHIPS, Relationship, relationship
from graph.schema import label as label_of

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


def _pattern(rel: Relationship, *, marked: bool) -> str:
    """The relationship `r` between `a` and `b`, told apart from its kin by its identity properties and the mark."""
    told = [f"{name}: row.{name}" for name in rel.identity] + [f"{MARK}: true"] * marked
    return f"(a)-[r:{rel.type}{_map(told)}]->(b)"


def _map(entries: Sequence[str]) -> str:
    """The properties of a pattern, with a blank before; nothing where there are none."""
    return f" {{{', '.join(entries)}}}" if entries else ""


def _assignments(variable: str, properties: Iterable[str]) -> str:
    """SET clause that leaves as it is what a row gives as null, and whatever has no mark."""
    parts = [
        f"{variable}.{_name(name)} = CASE WHEN row.{name} IS NOT NULL AND {variable}.{MARK} = true "
        f"THEN row.{name} ELSE {variable}.{name} END"
        for name in properties
    ]
    return f" SET {', '.join(parts)}" if parts else ""


def _met(variable: str) -> str:
    """What an upsert tells: `n`, the rows met, and `foreign`, how many of them met something without the mark."""
    return f" RETURN count(*) AS n, sum(CASE WHEN {variable}.{MARK} = true THEN 0 ELSE 1 END) AS foreign"


def upsert_nodes(label: str, properties: Sequence[str]) -> str:
    """`$rows` of `{id, <properties>}`; a null property stays as it is. Returns `n` and `foreign`."""
    return (
        f"UNWIND $rows AS row MERGE (n:{label} {{id: row.id}}) ON CREATE SET n.{MARK} = true"
        f"{_assignments('n', properties)}{_met('n')}"
    )


def upsert_relationships(rel: Relationship, properties: Sequence[str]) -> str:
    """`$rows` of `{source, target, <properties>}`; rows with a missing end do nothing. Returns `n` and `foreign`.

    A derived one is made beside one of somebody else; any other joins what is there.
    """
    rest = [name for name in properties if name not in rel.identity]
    created = "" if rel.derived else f" ON CREATE SET r.{MARK} = true"
    return (
        f"UNWIND $rows AS row {_ends(rel)}MERGE {_pattern(rel, marked=rel.derived)}{created}"
        f"{_assignments('r', rest)}{_met('r')}"
    )


def delete_relationships(rel: Relationship) -> str:
    """`$rows` of `{source, target, <identity>}`. Returns `n`, the relationships deleted."""
    return f"UNWIND $rows AS row {_ends(rel)}MATCH {_pattern(rel, marked=True)} DELETE r RETURN count(*) AS n"


def delete_relationship(rel: Relationship) -> str:
    """Every relationship of the type from `$source` to `$target`. Returns `n`, how many there were."""
    return (
        f"MATCH (a:{rel.source} {{id: $source}})-[r:{rel.type} {{{MARK}: true}}]->(b:{rel.target} {{id: $target}}) "
        "DELETE r RETURN count(*) AS n"
    )


def delete_nodes(name: str) -> tuple[str, str, str]:
    """`$rows` of `{id}`, in three queries: their relationships go; then they lose what we gave them where relationships
    of somebody else hang on them; then they go where none do. Each returns `n`, how many."""
    marked = f"UNWIND $rows AS row MATCH (n:{name} {{id: row.id}}) WHERE n.{MARK} = true"
    ours = ", ".join(f"n.{one}" for one in (*(p.name for p in label_of(name).properties), MARK, "id"))
    return (
        f"{marked} WITH n MATCH (n)-[r]-() WHERE r.{MARK} = true WITH DISTINCT r DELETE r RETURN count(*) AS n",
        f"{marked} AND EXISTS {{ MATCH (n)--() }} REMOVE {ours} RETURN count(*) AS n",
        f"{marked} DELETE n RETURN count(*) AS n",
    )


def set_properties(label: str, properties: Sequence[str]) -> str:
    """`$rows` of `{id, <properties>}` on nodes that exist; a null removes the property. Returns `n`, the rows met."""
    parts = ", ".join(f"n.{_name(name)} = row.{name}" for name in properties)
    return (
        f"UNWIND $rows AS row MATCH (n:{label} {{id: row.id}}) WHERE n.{MARK} = true SET {parts} RETURN count(*) AS n"
    )


def any_mark() -> str:
    """`mark` of one node that has it."""
    return f"MATCH (n) WHERE n.{MARK} = true RETURN n.{MARK} AS mark LIMIT 1"


def count_outside_schema() -> tuple[str, str]:
    """`n`, the nodes that have no id or not just one of `$labels`; `n`, the relationships of none of `$types`."""
    return (
        "MATCH (n) WHERE size(labels(n)) <> 1 OR NOT labels(n)[0] IN $labels OR n.id IS NULL RETURN count(n) AS n",
        "MATCH ()-[r]->() WHERE NOT type(r) IN $types RETURN count(r) AS n",
    )


def mark_nodes(label: str) -> str:
    """Mark `$most` nodes of the label that have an id and no mark. Returns `n`, how many there were."""
    return (
        f"MATCH (n:{label}) WHERE n.{MARK} IS NULL AND n.id IS NOT NULL WITH n LIMIT $most SET n.{MARK} = true "
        "RETURN count(n) AS n"
    )


def mark_relationships(rel: Relationship) -> str:
    """Mark `$most` relationships of the type that have no mark. Returns `n`, how many there were."""
    return (
        f"MATCH (a:{rel.source})-[r:{rel.type}]->(b:{rel.target}) WHERE r.{MARK} IS NULL WITH r LIMIT $most "
        f"SET r.{MARK} = true RETURN count(r) AS n"
    )


def marks_of_node(label: str) -> str:
    """`mark` of each node `$id`."""
    return f"MATCH (n:{label} {{id: $id}}) RETURN n.{MARK} AS mark"


def marks_of_relationship(rel: Relationship) -> str:
    """`mark` of each relationship of the type from `$source` to `$target`."""
    return (
        f"MATCH (a:{rel.source} {{id: $source}})-[r:{rel.type}]->(b:{rel.target} {{id: $target}}) "
        f"RETURN r.{MARK} AS mark"
    )


def export_nodes(label: str, properties: Sequence[str], *, marked: bool = False) -> str:
    """Every node of the label, or those that are `marked`: `id` and its properties, in no order."""
    columns = ["n.id AS id", *(f"n.{_name(name)} AS {name}" for name in properties)]
    ours = f" WHERE n.{MARK} = true" if marked else ""
    return f"MATCH (n:{label}){ours} RETURN {', '.join(columns)}"


def export_relationships(rel: Relationship, properties: Sequence[str] | None = None) -> str:
    """Every relationship of the type between those labels: `source`, `target` and its properties, in no order.

    Of a derived one those that a refresh wrote.
    """
    names = [p.name for p in rel.properties] if properties is None else list(properties)
    columns = ["a.id AS source", "b.id AS target", *(f"r.{_name(name)} AS {name}" for name in names)]
    ours = f" WHERE r.{MARK} = true" if rel.derived else ""
    return f"MATCH (a:{rel.source})-[r:{rel.type}]->(b:{rel.target}){ours} RETURN {', '.join(columns)}"


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


def reason(labels: Sequence[str], hops: Sequence[tuple[Relationship, str, Iterable[str]]]) -> str:
    """The one path that a reason cites: nodes `$id0`, `$id1`, … of `labels`, joined by `hops`.

    A hop is (relationship, "out"|"in", the names of the properties that are cited); its identity properties are given
    as `$by1` for `by` of hop 1. Of derived relationships it cites those that a refresh wrote.
    Returns one row of `nodes` (`{id, label}`) and `relationships` (`{type, direction, properties}`).
    """
    parts, names, types = [], [], []
    for position, label in enumerate(labels):
        parts.append(f"(n{position}:{label} {{id: $id{position}}})")
        names.append(f"{{id: n{position}.id, label: labels(n{position})[0]}}")
        if position < len(hops):
            rel, direction, cited = hops[position]
            left, right = ("-", "->") if direction == "out" else ("<-", "-")
            given = [f"{name}: ${name}{position}" for name in rel.identity] + [f"{MARK}: true"] * rel.derived
            parts.append(f"{left}[r{position}:{rel.type}{_map(given)}]{right}")
            properties = ", ".join(f"{_name(name)}: r{position}.{name}" for name in cited)
            types.append(
                f"{{type: type(r{position}), direction: '{'out' if direction == 'out' else 'in'}', "
                f"properties: {{{properties}}}}}"
            )
    return f"MATCH {''.join(parts)} RETURN [{', '.join(names)}] AS nodes, [{', '.join(types)}] AS relationships LIMIT 1"


def catalogue() -> Iterator[tuple[str, str]]:
    """(name, query) of everything the product asks of the graph on its own, one of each shape and kind."""
    yield "ping", PING
    yield "ends", ENDS
    yield "any_mark", any_mark()
    for what, query in zip(("nodes", "relationships"), count_outside_schema(), strict=True):
        yield f"count_outside_schema:{what}", query
    for label in LABELS:
        names = [p.name for p in label.properties]
        yield f"upsert_nodes:{label.name}", upsert_nodes(label.name, names)
        yield f"export_nodes:{label.name}", export_nodes(label.name, names)
        yield f"count_nodes:{label.name}", count_nodes(label.name)
        yield f"node:{label.name}", node(label.name)
        yield f"set_properties:{label.name}", set_properties(label.name, names)
        for step, query in enumerate(delete_nodes(label.name)):
            yield f"delete_nodes:{label.name}:{step}", query
    for rel in RELATIONSHIPS:
        names = [p.name for p in rel.properties]
        yield f"upsert_relationships:{rel.key}", upsert_relationships(rel, names)
        yield f"export_relationships:{rel.key}", export_relationships(rel)
        yield f"neighbours:{rel.key}", neighbours(rel)
        yield f"delete_relationships:{rel.key}", delete_relationships(rel)
        yield f"delete_relationship:{rel.key}", delete_relationship(rel)
    for type_ in dict.fromkeys(rel.type for rel in RELATIONSHIPS):
        yield f"count_relationships:{type_}", count_relationships(type_)
    yield "export_nodes", export_nodes("User", ["name"], marked=True)
    yield "marks_of_node", marks_of_node("User")
    yield "mark_nodes", mark_nodes("User")
    follows, listened = relationship("FOLLOWS", "User", "User"), relationship("LISTENED", "User", "Song")
    yield "marks_of_relationship", marks_of_relationship(follows)
    yield "mark_relationships", mark_relationships(follows)
    yield "reason", reason(["User", "User", "Song"], [(follows, "out", ()), (listened, "out", ("plays",))])
