"""The whole query catalogue, on both engines and on a model in plain Python: equal answers throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graph import schema
from graph.schema import LABELS, RELATIONSHIPS, Relationship
from graph.store import queries
from graph.store.store import GraphStore

Row = dict[str, Any]


class Model:
    """The graph as dictionaries: nodes by label and id, relationships by key, ends and identity."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Row]] = {label.name: {} for label in LABELS}
        self.edges: dict[str, dict[tuple[Any, ...], Row]] = {rel.key: {} for rel in RELATIONSHIPS}

    def upsert_nodes(self, label: str, rows: list[Row]) -> list[Row]:
        for row in rows:
            self.nodes[label].setdefault(row["id"], {}).update(
                {k: v for k, v in row.items() if k != "id" and v is not None}
            )
        for row in rows:
            self.nodes[label][row["id"]]["segue"] = True
        return [{"n": len(rows), "foreign": 0}]

    def set_properties(self, label: str, rows: list[Row]) -> list[Row]:
        met = [row for row in rows if row["id"] in self.nodes[label]]
        for row in met:
            old = self.nodes[label][row["id"]] | {p.name: row.get(p.name) for p in schema.label(label).properties}
            self.nodes[label][row["id"]] = {k: v for k, v in old.items() if v is not None and k != "id"}
        return [{"n": len(met)}]

    def export_nodes(self, label: str) -> list[Row]:
        names = [p.name for p in schema.label(label).properties]
        return [{"id": i} | {name: row.get(name) for name in names} for i, row in self.nodes[label].items()]

    def node(self, label: str, id_: str) -> list[Row]:
        return [{"properties": {"id": id_} | self.nodes[label][id_]}] if id_ in self.nodes[label] else []

    def delete_relationships_of(self, label: str, id_: str) -> list[Row]:
        gone = 0
        for rel in RELATIONSHIPS:
            mine = [
                k
                for k in self.edges[rel.key]
                if (rel.source == label and k[0] == id_) or (rel.target == label and k[1] == id_)
            ]
            for key in mine:
                del self.edges[rel.key][key]
            gone += len(mine)
        return [{"n": gone}]

    def delete_node(self, label: str, id_: str) -> list[Row]:
        return [{"n": 0 if self.nodes[label].pop(id_, None) is None else 1}]

    def upsert_relationships(self, rel: Relationship, rows: list[Row]) -> list[Row]:
        met = [r for r in rows if r["source"] in self.nodes[rel.source] and r["target"] in self.nodes[rel.target]]
        for row in met:
            old = self.edges[rel.key].setdefault(self._key(rel, row), {"segue": True})
            old.update({k: v for k, v in row.items() if k not in ("source", "target") and v is not None})
        return [{"n": len(met), "foreign": 0}]

    def export_relationships(self, rel: Relationship) -> list[Row]:
        return [
            {"source": key[0], "target": key[1]} | {p.name: row.get(p.name) for p in rel.properties}
            for key, row in self.edges[rel.key].items()
        ]

    def neighbours(self, rel: Relationship, id_: str) -> list[Row]:
        return [{"id": k[1], "properties": row} for k, row in self.edges[rel.key].items() if k[0] == id_]

    def sources_of(self, rel: Relationship, id_: str) -> list[Row]:
        return [{"id": k[0], "properties": row} for k, row in self.edges[rel.key].items() if k[1] == id_]

    def delete_relationships(self, rel: Relationship, rows: list[Row]) -> list[Row]:
        return [{"n": sum(self.edges[rel.key].pop(self._key(rel, row), None) is not None for row in rows)}]

    def delete_relationship(self, rel: Relationship, source: str, target: str) -> list[Row]:
        mine = [key for key in self.edges[rel.key] if key[:2] == (source, target)]
        for key in mine:
            del self.edges[rel.key][key]
        return [{"n": len(mine)}]

    def count_relationships(self, type_: str) -> list[Row]:
        return [{"n": sum(len(self.edges[rel.key]) for rel in RELATIONSHIPS if rel.type == type_)}]

    @staticmethod
    def _key(rel: Relationship, row: Row) -> tuple[Any, ...]:
        return (row["source"], row["target"], *(row[name] for name in rel.identity))


def value(prop: schema.Property, number: int) -> Any:
    """A value within the property's bounds; another for each number."""
    if prop.kind == "string":
        return f"{prop.name} {number} é😀'"
    low = prop.low or 0
    return round(low) + number if prop.kind == "integer" else low + number / 4


def node_rows(label: schema.Label) -> list[Row]:
    """Three nodes, the last without properties, the second with a hole."""
    full = [{"id": f"{label.name}{n}'"} | {p.name: value(p, n) for p in label.properties} for n in (0, 1)]
    if label.properties:
        full[1][label.properties[0].name] = None
    return [*full, {"id": f"{label.name}2'"} | {p.name: None for p in label.properties}]


def edge_rows(rel: Relationship) -> list[Row]:
    """From the first to the second and third, one of them to nobody; two where an identity tells them apart."""
    pairs = [(f"{rel.source}0'", f"{rel.target}1'"), (f"{rel.source}0'", f"{rel.target}2'")]
    rows = [{"source": s, "target": t} | {p.name: value(p, 0) for p in rel.properties} for s, t in pairs]
    rows.append({"source": "nobody", "target": f"{rel.target}1'"} | {p.name: value(p, 0) for p in rel.properties})
    if rel.identity:
        rows.append(rows[0] | {name: value(rel.properties[0], 1) for name in rel.identity})
    return rows


def answer(rows: list[Row]) -> list[str]:
    """Rows in no order, numbers by value."""
    return sorted(repr(sorted((k, _same(v)) for k, v in row.items())) for row in rows)


def _same(item: Any) -> Any:
    return sorted(item.items()) if isinstance(item, dict) else item


Step = tuple[str, Row, Callable[[Model], list[Row]]]


def script() -> list[Step]:
    """(name in the catalogue, parameters, the model's answer), in an order that leaves something to find."""
    steps: list[Step] = [("ping", {}, lambda _: [{"one": 1}]), ("ends", {"elements": []}, lambda _: [])]
    steps.append(("any_mark", {}, lambda _: []))
    for label in LABELS:
        name, rows = label.name, node_rows(label)
        steps += [(f"upsert_nodes:{name}", {"rows": rows}, lambda m, n=name, r=rows: m.upsert_nodes(n, r))] * 2
        steps.append((f"export_nodes:{name}", {}, lambda m, n=name: m.export_nodes(n)))
        steps.append((f"node:{name}", {"id": rows[0]["id"]}, lambda m, n=name, r=rows: m.node(n, r[0]["id"])))
        changed = [rows[1], rows[0] | dict.fromkeys([p.name for p in label.properties][:1]), rows[0] | {"id": "ghost"}]
        steps.append((f"set_properties:{name}", {"rows": changed}, lambda m, n=name, r=changed: m.set_properties(n, r)))
        steps.append((f"export_nodes:{name}", {}, lambda m, n=name: m.export_nodes(n)))
    for rel in RELATIONSHIPS:
        rows = edge_rows(rel)
        up = (f"upsert_relationships:{rel.key}", {"rows": rows}, lambda m, e=rel, r=rows: m.upsert_relationships(e, r))
        steps += [up, up]
        steps.append((f"export_relationships:{rel.key}", {}, lambda m, e=rel: m.export_relationships(e)))
        start = rows[0]["source"]
        steps.append((f"neighbours:{rel.key}", {"id": start}, lambda m, e=rel, s=start: m.neighbours(e, s)))
        end = rows[0]["target"]
        steps.append((f"sources_of:{rel.key}", {"id": end}, lambda m, e=rel, s=end: m.sources_of(e, s)))
    for type_ in dict.fromkeys(rel.type for rel in RELATIONSHIPS):
        steps.append((f"count_relationships:{type_}", {}, lambda m, t=type_: m.count_relationships(t)))
    ends = {"source": "User0'", "target": "User2'"}
    steps += [(f"mark_{what}", {"most": 10}, lambda _: [{"n": 0}]) for what in ("nodes", "relationships")]
    steps.append(("marks_of_node", {"id": "User0'"}, lambda _: [{"mark": True}]))
    steps.append(("marks_of_relationship", ends, lambda _: [{"mark": True}]))
    users = lambda m: [{"id": i, "name": row.get("name")} for i, row in m.nodes["User"].items()]  # noqa: E731
    steps.append(("export_nodes", {}, users))
    names = {"labels": [label.name for label in LABELS], "types": []}
    steps.append(("count_outside_schema:nodes", names, lambda _: [{"n": 0}]))
    edges = lambda m: [{"n": sum(len(found) for found in m.edges.values())}]  # noqa: E731
    steps.append(("count_outside_schema:relationships", names, edges))
    ids = {"id0": "User0'", "id1": "User1'", "id2": "Song1'"}
    steps.append(("reason", ids, lambda _: []))
    for rel in RELATIONSHIPS:
        rows = [*edge_rows(rel)[:1], edge_rows(rel)[2]]
        gone = (rows[0]["source"], f"{rel.target}2'")
        steps.append(
            (f"delete_relationships:{rel.key}", {"rows": rows}, lambda m, e=rel, r=rows: m.delete_relationships(e, r))
        )
        ends = {"source": gone[0], "target": gone[1]}
        delete = (f"delete_relationship:{rel.key}", ends, lambda m, e=rel, g=gone: m.delete_relationship(e, *g))
        steps += [delete, delete]
        steps.append((f"export_relationships:{rel.key}", {}, lambda m, e=rel: m.export_relationships(e)))
    for label in LABELS:
        name = label.name
        ids_ = {"rows": [{"id": f"{name}0'"}, {"id": "ghost"}]}
        cut = (f"delete_nodes:{name}:0", ids_, lambda m, n=name: m.delete_relationships_of(n, f"{n}0'"))
        strip = (f"delete_nodes:{name}:1", ids_, lambda _: [{"n": 0}])
        delete = (f"delete_nodes:{name}:2", ids_, lambda m, n=name: m.delete_node(n, f"{n}0'"))
        steps += [cut, strip, delete] * 2
        steps.append((f"count_nodes:{name}", {}, lambda m, n=name: [{"n": len(m.nodes[n])}]))
    return steps


def test_script_covers_the_catalogue() -> None:
    assert {name for name, _, _ in script()} == {name for name, _ in queries.catalogue()}


def test_every_query_answers_as_the_model_does(store: GraphStore) -> None:
    catalogue, model = dict(queries.catalogue()), Model()
    for name, parameters, expected in script():
        writes = name.startswith(("upsert", "set", "delete", "mark_"))
        found = (store.write if writes else store.read)(catalogue[name], parameters)
        assert answer(found) == answer(expected(model)), name


def test_reason_is_the_one_path_with_both_directions(store: GraphStore) -> None:
    store.upsert_nodes("User", [{"id": "u"}])
    store.upsert_nodes("Song", [{"id": "heard"}, {"id": "next"}])
    store.upsert_nodes("Artist", [{"id": "a"}])
    played = schema.relationship("LISTENED", "User", "Song")
    by = schema.relationship("PERFORMED_BY", "Song", "Artist")
    store.upsert_relationships(played, [{"source": "u", "target": "heard", "plays": 4}])
    store.upsert_relationships(by, [{"source": s, "target": "a"} for s in ("heard", "next")])
    hops = [("LISTENED", "out"), ("PERFORMED_BY", "out"), ("PERFORMED_BY", "in")]
    cited = [(played, "out", ["plays"]), (by, "out", []), (by, "in", [])]
    query = queries.reason(["User", "Song", "Artist", "Song"], cited)
    table = store.query(query, {"id0": "u", "id1": "heard", "id2": "a", "id3": "next"})
    assert table.columns == ["nodes", "relationships"]
    [[nodes, relationships]] = table.rows
    assert [(n["label"], n["id"]) for n in nodes] == [
        ("User", "u"),
        ("Song", "heard"),
        ("Artist", "a"),
        ("Song", "next"),
    ]
    assert [(r["type"], r["direction"]) for r in relationships] == hops
    assert relationships[0]["properties"] == {"plays": 4}


def test_reason_tells_relationships_apart_that_stand_side_by_side(store: GraphStore) -> None:
    store.upsert_nodes("Song", [{"id": "heard"}, {"id": "next"}])
    similar = schema.relationship("SIMILAR_TO", "Song", "Song")
    rows = [{"source": "heard", "target": "next", "by": by, "weight": w} for by, w in (("one", 0.5), ("two", 0.25))]
    store.upsert_relationships(similar, rows)
    query = queries.reason(["Song", "Song"], [(similar, "out", ("by", "weight"))])
    for by, weight in (("one", 0.5), ("two", 0.25)):
        [[_, relationships]] = store.query(query, {"id0": "heard", "id1": "next", "by0": by}).rows
        assert relationships[0]["properties"] == {"by": by, "weight": weight}


@pytest.mark.parametrize("name", ["x y", "a`b", "1a", "", "é", "a" * 65])
def test_no_odd_name_gets_into_a_query(name: str) -> None:
    with pytest.raises(queries.InvalidInput, match="name of a property"):
        queries.export_nodes("Song", [name])
