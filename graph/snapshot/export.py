"""The full export: the graph through Bolt and the behaviour from the event log, into a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import polars as pl

from graph import schema
from graph.errors import SegueError
from graph.log.events import EventLog
from graph.log.tombstones import Tombstones
from graph.snapshot.snapshot import Edges, Nodes, Snapshot
from graph.sources.withdraw import removed_songs
from graph.store import queries
from graph.store.store import GraphStore

_TYPES: Final[dict[str, type[pl.DataType]]] = {"string": pl.String, "integer": pl.Int64, "float": pl.Float64}
Types = dict[str, type[pl.DataType]]
Progress = Callable[[str, int, int], None]


def export(
    store: GraphStore, log: EventLog, *, upto: int, wall_clock: int, progress: Progress | None = None
) -> Snapshot:
    """The whole graph and every event up to offset `upto`, as a snapshot; what is derived is made anew.

    Of what was shown it holds what was shown before the newest event: serving logs exposures all the time, and data
    without a new event must make the same release again. Events on a song that was taken back with its source, and that
    the graph does not have again, do not bring it back.

    `wall_clock` (epoch milliseconds) caps `as_of`.
    Raises: StoreUnavailable.
    """
    nodes, edges = graph_frames(store, progress)
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


def graph_frames(store: GraphStore, progress: Progress | None = None) -> tuple[Nodes, Edges]:
    """Nodes by label and relationships by type, without what is derived, as tables."""
    kept = [rel for rel in schema.RELATIONSHIPS if not rel.derived]
    total = len(schema.LABELS) + len(kept)
    nodes: dict[str, pl.DataFrame] = {}
    edges: dict[schema.Relationship, pl.DataFrame] = {}
    for label in schema.LABELS:
        properties = [p for p in label.properties if not p.derived]
        query = queries.export_nodes(label.name, [p.name for p in properties])
        nodes[label.name] = table(store.stream(query), types_of(["id"], properties), label.name)
        if progress is not None:
            progress("export", len(nodes), total)
    for rel in kept:
        edges[rel] = relationship_frame(store, rel)
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
    except (TypeError, pl.exceptions.PolarsError) as error:
        # the store holds a value that its schema forbids, written by raw Cypher for instance
        expected = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        found = " ".join(str(error).split())
        raise SegueError(f"{what}: the graph holds a value of the wrong type ({found}); expected {expected}") from error
    return pl.concat(frames) if frames else pl.DataFrame(schema=types)
