"""What a source, or single edits, said of the catalogue: keys of nodes and relationships, so that it can be taken back.

A table of keys has the columns `kind`, `source`, `target`, `identity` (String). Of a node, `kind` is its label and
`source` its id; of a relationship, `kind` is its key, `source` and `target` its ends, `identity` the value that tells
it from others between them. Of an audio segment, `target` is its number. Of an event that the source has too but that
the log has from elsewhere, `source` is its id.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.log.events import EventLog, JournalEntry
from graph.schema import Relationship

KEY: Final = ("kind", "source", "target", "identity")
AUDIO, EVENT = "audio_segments", "event"
_SCHEMA: Final = dict.fromkeys(KEY, pl.String)
SONG_RELATIONS: Final = {
    "artists": schema.relationship("PERFORMED_BY", "Song", "Artist"),
    "albums": schema.relationship("ON_ALBUM", "Song", "Album"),
    "genres": schema.relationship("HAS_GENRE", "Song", "Genre"),
    "tags": schema.relationship("HAS_TAG", "Song", "Tag"),
    "cover_of": schema.relationship("COVER_OF", "Song", "Song"),
}
"""The relationship of each kind in a song's body and in a line `relations` of the journal."""
FOLLOWS: Final = {
    "User": schema.relationship("FOLLOWS", "User", "User"),
    "Artist": schema.relationship("FOLLOWS_ARTIST", "User", "Artist"),
}
"""The relationship of a follow, by the label of who is followed."""


def none() -> pl.DataFrame:
    """No keys."""
    return pl.DataFrame(schema=_SCHEMA)


def of_batch(batch: Batch) -> pl.DataFrame:
    """Everything that a batch says of the catalogue; the ends of its relationships too."""
    nothing = pl.lit(None, dtype=pl.String)
    parts = [none()]
    nodes = [*batch.nodes.items(), *batch.bare_nodes().items()]
    parts += [_keys(frame, label, pl.col("id"), nothing, nothing) for label, frame in nodes]
    for relationship, frame in batch.relationships.items():
        identity = pl.col(relationship.identity[0]) if relationship.identity else nothing
        parts.append(_keys(frame, relationship.key, pl.col("source"), pl.col("target"), identity))
    if batch.audio_segments is not None:
        segment = pl.col("segment").cast(pl.String)
        parts.append(_keys(batch.audio_segments, AUDIO, pl.col("song_id"), segment, nothing))
    return pl.concat(parts).unique(maintain_order=True)


def of_events(event_ids: Iterable[str]) -> pl.DataFrame:
    """Keys of events that the log has from elsewhere."""
    nothing = pl.lit(None, dtype=pl.String)
    return _keys(pl.DataFrame({"id": list(event_ids)}, schema={"id": pl.String}), EVENT, pl.col("id"), nothing, nothing)


def _keys(frame: pl.DataFrame, kind: str, source: pl.Expr, target: pl.Expr, identity: pl.Expr) -> pl.DataFrame:
    return frame.select(
        kind=pl.lit(kind), source=source.cast(pl.String), target=target.cast(pl.String), identity=identity
    )


def without(keys: pl.DataFrame, *others: pl.DataFrame) -> pl.DataFrame:
    """The keys that none of the others has."""
    for other in others:
        keys = keys.join(other, on=list(KEY), how="anti", nulls_equal=True, maintain_order="left")
    return keys


def counts(keys: pl.DataFrame) -> dict[str, int]:
    """How many there are of each kind."""
    return dict(keys.group_by("kind", maintain_order=True).len().rows())


# ---- kept beside the state


def read(state_dir: Path, number: int | None) -> pl.DataFrame:
    """What the source of that number said; none if that is not known."""
    file = _file(state_dir, number)
    return pl.read_parquet(file) if number is not None and file.exists() else none()


def write(state_dir: Path, number: int, keys: pl.DataFrame) -> None:
    """Keep what a source said, whole or not at all; durable on return."""
    file = _file(state_dir, number)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    keys.unique(maintain_order=True).write_parquet(partial)
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(file)


def remove(state_dir: Path, number: int) -> None:
    """Keep nothing of a source."""
    _file(state_dir, number).unlink(missing_ok=True)


def _file(state_dir: Path, number: int | None) -> Path:
    return state_dir / "sources" / f"{number}.parquet"


# ---- by single edits


def by_edits(log: EventLog) -> pl.DataFrame:
    """What single edits have made, and not undone since."""
    edits = _Edits()
    for entry in log.journal():
        if entry.label is not None and entry.id is not None:
            edits.add(entry, entry.label, entry.id)
    nodes = [(label, id_, None, None) for label, id_ in edits.nodes]
    edges = [(rel.key, source, target, None) for rel, source, target in edits.edges]
    return pl.DataFrame([*nodes, *edges], schema=_SCHEMA, orient="row")


class _Edits:
    """Nodes and relationships, line by line."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[str, str], set[tuple[Relationship, str, str]]] = {}

    @property
    def edges(self) -> set[tuple[Relationship, str, str]]:
        return set().union(*self.nodes.values())

    def add(self, entry: JournalEntry, label: str, id_: str) -> None:
        payload = entry.payload
        if entry.kind == "delete":
            for rel, source, target in list(self.nodes.pop((label, id_), ())):
                self._undo(rel, source, target)
        elif entry.kind == "unfollow":
            self._undo(FOLLOWS[label], id_, payload["target"])
        elif entry.kind == "follow":
            self._make(FOLLOWS[label], id_, payload["target"])
        elif entry.kind == "upsert":
            self.nodes.setdefault((label, id_), set())
        elif entry.kind == "relations":
            for name, ends in payload.items():
                for rel, source, target in list(self.nodes.setdefault((label, id_), set())):
                    if rel == SONG_RELATIONS[name] and source == id_:
                        self._undo(rel, source, target)
                for end in ends:
                    self._make(SONG_RELATIONS[name], id_, end)

    def _make(self, rel: Relationship, source: str, target: str) -> None:
        for label, id_ in ((rel.source, source), (rel.target, target)):
            self.nodes.setdefault((label, id_), set()).add((rel, source, target))

    def _undo(self, rel: Relationship, source: str, target: str) -> None:
        for label, id_ in ((rel.source, source), (rel.target, target)):
            self.nodes.get((label, id_), set()).discard((rel, source, target))
