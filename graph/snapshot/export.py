"""The full export: the graph through Bolt and the behaviour from the event log, into a snapshot.

The graph may hold somebody else's data, of our labels and types too. What fits the schema is read like ours; nodes
without a usable id, values of a wrong type and relationships that say the same are left out and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import polars as pl

from graph import schema
from graph.errors import SegueError
from graph.log.events import EventLog
from graph.log.tombstones import Tombstones
from graph.reading import values
from graph.snapshot.snapshot import Edges, Nodes, Snapshot
from graph.sources.withdraw import removed_songs
from graph.store import queries
from graph.store.store import GraphStore

_TYPES: Final[dict[str, type[pl.DataType]]] = {"string": pl.String, "integer": pl.Int64, "float": pl.Float64}
Types = dict[str, type[pl.DataType]]
_INTEGERS: Final = range(-(2**63), 2**63)
Progress = Callable[[str, int, int], None]


def export(
    store: GraphStore,
    log: EventLog,
    *,
    upto: int,
    wall_clock: int,
    progress: Progress | None = None,
    warnings: list[str] | None = None,
) -> Snapshot:
    """The whole graph and every event up to offset `upto`, as a snapshot; what is derived is made anew.

    Of what was shown it holds what was shown before the newest event: serving logs exposures all the time, and data
    without a new event must make the same release again. Events on a song that was taken back with its source, and that
    the graph does not have again, do not bring it back.

    `wall_clock` (epoch milliseconds) caps `as_of`. What of the graph was left out is told in `warnings`.
    Raises: StoreUnavailable.
    """
    nodes, edges = graph_frames(store, progress, warnings)
    gone = Tombstones.of(log)
    nodes = {label: gone.nodes(label, frame) for label, frame in nodes.items()}
    edges = {rel: gone.edges(rel, frame) for rel, frame in edges.items()}
    events = gone.events(log.frame(0, upto))
    withdrawn = removed_songs(log).difference(nodes["Song"]["id"])
    if withdrawn:
        events = events.filter(~pl.col("song_id").is_in(list(withdrawn)).fill_null(value=False))
    newest = events["at"].max()
    before = pl.col("at") < min(newest if isinstance(newest, int) else 0, wall_clock)
    return Snapshot.of_frames(
        nodes, edges, events, gone.exposures(log.exposures().filter(before)), wall_clock=wall_clock
    )


def graph_frames(
    store: GraphStore, progress: Progress | None = None, warnings: list[str] | None = None
) -> tuple[Nodes, Edges]:
    """Nodes by label and relationships by type, without what is derived, as tables; lines on what was left out."""
    told = [] if warnings is None else warnings
    kept = [rel for rel in schema.RELATIONSHIPS if not rel.derived]
    total = len(schema.LABELS) + len(kept)
    nodes: dict[str, pl.DataFrame] = {}
    edges: dict[schema.Relationship, pl.DataFrame] = {}
    for label in schema.LABELS:
        properties = [p for p in label.properties if not p.derived]
        query = queries.export_nodes(label.name, [p.name for p in properties])
        found = _read(store, query, ["id"], properties, label.name, told)
        nodes[label.name] = _identified(found, label.name, told)
        if progress is not None:
            progress("export", len(nodes), total)
    for rel in kept:
        query = queries.export_relationships(rel)
        found = _read(store, query, ["source", "target"], rel.properties, rel.key, told)
        edges[rel] = _between_known(found, rel, nodes, told)
        if progress is not None:
            progress("export", len(nodes) + len(edges), total)
    return nodes, edges


def relationship_frame(store: GraphStore, rel: schema.Relationship) -> pl.DataFrame:
    """What the graph holds of one relationship: `source`, `target` and its properties.

    Raises: StoreUnavailable; SegueError for a value of the wrong type.
    """
    types = types_of(["source", "target"], rel.properties)
    return table(store.stream(queries.export_relationships(rel)), types, rel.key)


def types_of(ids: Sequence[str], properties: Iterable[schema.Property]) -> Types:
    """The columns of a table of the graph: `ids` and the properties."""
    return {**dict.fromkeys(ids, pl.String), **{p.name: _TYPES[p.kind] for p in properties}}


def table(batches: Iterable[list[dict[str, Any]]], types: Types, what: str) -> pl.DataFrame:
    """The rows of all batches under `types`.

    Raises: SegueError for a value of the wrong type, under the name of `what`.
    """
    try:
        frames = [pl.DataFrame(batch, schema=types, strict=True) for batch in batches]
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        # the store holds a value that its schema forbids, written by raw Cypher for instance
        expected = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        found = " ".join(str(error).split())
        raise SegueError(f"{what}: the graph holds a value of the wrong type ({found}); expected {expected}") from error
    return pl.concat(frames) if frames else pl.DataFrame(schema=types)


# ---- what others may have written


def _read(
    store: GraphStore, query: str, ids: Sequence[str], properties: Sequence[schema.Property], what: str, told: list[str]
) -> pl.DataFrame:
    """The rows of a query; values that the schema forbids are null, and ids that are no texts too."""
    types, lost, frames = types_of(ids, properties), Counter[str](), [pl.DataFrame(schema=types_of(ids, properties))]
    for names, rows in store.stream_rows(query):
        columns = zip(names, zip(*rows, strict=True), strict=True) if rows else ()
        frames.append(
            pl.DataFrame([_column(name, values, types[name], lost) for name, values in columns], schema=types)
        )
    frame = pl.concat(frames)
    bounded = []
    for one in properties:
        if one.kind == "string":
            continue
        fits = pl.col(one.name).is_finite() if one.kind == "float" else pl.lit(value=True)
        fits &= pl.lit(value=True) if one.low is None else pl.col(one.name) >= one.low
        fits &= pl.lit(value=True) if one.high is None else pl.col(one.name) <= one.high
        bounded.append(pl.when(fits).then(pl.col(one.name)).alias(one.name))
    if bounded:
        before = frame.null_count()
        frame = frame.with_columns(bounded)
        lost.update({name: frame[name].null_count() - before[name][0] for name in frame.columns})
    for name, count in lost.items():
        if count and name not in ids:
            told.append(f"{what}: {count} values of {name} in the graph are not what the schema asks for: left out")
    return frame


def _column(name: str, values: Sequence[Any], type_: type[pl.DataType], lost: Counter[str]) -> pl.Series:
    """The values that the column can hold; null for the others, which are counted under its name."""
    try:
        # column by column: from rows polars would make texts of numbers
        return pl.Series(name, values, dtype=type_, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    fits = {pl.String: _text, pl.Int64: _integer, pl.Float64: _float}[type_]
    found = [None if value is None else fits(value) for value in values]
    lost[name] += sum(new is None for new in found) - sum(old is None for old in values)
    return pl.Series(name, found, dtype=type_)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return int(value) if isinstance(value, int) and value in _INTEGERS else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _identified(frame: pl.DataFrame, label: str, told: list[str]) -> pl.DataFrame:
    """The nodes whose id is one, and theirs alone."""
    usable = frame.filter(pl.col("id").is_not_null() & ~values.unfit_ids(pl.col("id")))
    single = usable.filter(pl.col("id").is_unique()) if usable["id"].n_unique() < usable.height else usable
    for count, why in (
        (frame.height - usable.height, "have no usable id"),
        (usable.height - single.height, "have an id that another one has too"),
    ):
        if count:
            told.append(f"{count} {label} nodes of the graph {why}: left out, with their relationships")
    return single


def _between_known(frame: pl.DataFrame, rel: schema.Relationship, nodes: Nodes, told: list[str]) -> pl.DataFrame:
    """The relationships between nodes that were read, each once."""
    for end, label in (("source", rel.source), ("target", rel.target)):
        frame = frame.join(nodes[label].select(pl.col("id").alias(end)), on=end, how="semi", maintain_order="left")
    key = ["source", "target", *rel.identity]
    whole = frame.drop_nulls(key)
    if count := frame.height - whole.height:
        told.append(f"{rel.key}: {count} relationships of the graph have no {', '.join(rel.identity)}: left out")
    if count := whole.height - whole.select(pl.struct(key).n_unique()).item():
        told.append(f"{rel.key}: {count} relationships of the graph stand beside another one: left out")
        # the same one stays whatever the order in which they come
        whole = whole.sort(whole.columns, nulls_last=True).unique(key, keep="first", maintain_order=True)
    return whole
