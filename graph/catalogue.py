"""Writing the catalogue: whole sources at once, and single edits through the journal.

`import_batch` writes a checked batch to the graph and the event log so that repeating or resuming it adds nothing. A
`Catalogue` makes single edits: the journal line first, then the graph; what a crash kept from the graph is applied by
the next `Catalogue` that opens.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput, NotOurs, SourceMismatch, ToItself
from graph.log.checks import now_ms, problem_of_property
from graph.log.events import EventLog, JournalEntry
from graph.mark import adopt
from graph.schema import Relationship, problem_of_id
from graph.store import queries
from graph.store.store import GraphStore

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]  # what, rows done, rows in all

AUDIO_FILE: Final = "audio_segments.parquet"  # in the state folder
CLOCK_KEY: Final = "clock"  # meta: "data" once a source of old events came in
_APPLIED_KEY: Final = "journal_applied"  # meta: the last journal line that the graph has
_SOURCE_PREFIX: Final = "source:"
_UPSERT_ROWS: Final = 20_000


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


# ---- whole sources


def sources(log: EventLog) -> dict[str, dict[str, Any]]:
    """What the state was made of: per `format:name` its `fingerprint`, `state` ("started" or "done") and `counts`."""
    return {key.removeprefix(_SOURCE_PREFIX): json.loads(value) for key, value in log.meta(_SOURCE_PREFIX).items()}


def unfinished_imports(log: EventLog) -> list[str]:
    """The sources (`format:name`) whose import was interrupted; importing one again completes it."""
    return [name for name, entry in sources(log).items() if entry["state"] != "done"]


def import_batch(
    store: GraphStore,
    log: EventLog,
    batch: Batch,
    *,
    name: str,
    fingerprint: str,
    state_dir: Path,
    merge: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write a whole source: nodes, relationships, events, exposures, audio segments, one journal line.

    A source is known by its format and `name` (where it lies), or by its `fingerprint` (what it holds), so one that
    grew and one that moved are known. One that the state has whole already adds nothing; of one that was interrupted
    or grew, what is missing is added (exposures, which have no id, are taken to have grown at their end).
    Returns: rows written.
    Raises: SourceMismatch if the state knows another source and `merge` is false; Busy while another import runs.
    """
    with log.exclusive("import", wait=False):
        known = sources(log)
        key = next((k for k, entry in known.items() if entry["fingerprint"] == fingerprint), f"{batch.format}:{name}")
        if known and key not in known and not merge:
            raise SourceMismatch(
                f"this state holds {', '.join(sorted(known))} already; importing {key} into it needs --merge"
            )
        entry = known.get(key, {})
        if entry.get("fingerprint") == fingerprint and entry.get("state") == "done" and _still_there(store, entry):
            batch.warn("the state has this source already; nothing was added")
            return 0
        batch.warnings.extend([*store.migrate(), *adopt(store, log)])
        _remember(log, key, fingerprint, "started", {})
        batch.name_events(key)
        written = _write_graph(store, log, batch, progress)
        written += _write_events(log, batch, progress)
        written += log.append_exposures_frame(batch.exposures, key=f"exposures:{key}")
        if batch.audio_segments is not None:
            _write_audio(state_dir / AUDIO_FILE, batch.audio_segments)
            written += batch.audio_segments.height
        if batch.clock == "data" and not known:
            log.set_meta(CLOCK_KEY, "data")
        counts = _counts(batch)
        payload = {"format": batch.format, "source": key, "fingerprint": fingerprint, "counts": counts}
        log.append_journal("import", None, None, payload)
        _remember(log, key, fingerprint, "done", counts)
        return written


def _counts(batch: Batch) -> dict[str, int]:
    audio = batch.audio_segments
    return {
        **{label: frame.height for label, frame in batch.nodes.items()},
        **{relationship.key: frame.height for relationship, frame in batch.relationships.items()},
        "events": batch.events.height,
        "exposures": batch.exposures.height,
        "audio_segments": 0 if audio is None else audio.height,
    }


def _remember(log: EventLog, key: str, fingerprint: str, state: str, counts: Mapping[str, int]) -> None:
    value = {"fingerprint": fingerprint, "state": state, "counts": dict(counts)}
    log.set_meta(_SOURCE_PREFIX + key, json.dumps(value, sort_keys=True))


def _still_there(store: GraphStore, entry: Mapping[str, Any]) -> bool:
    """Whether the graph still has as many nodes of each label as the source had (it may have been emptied)."""
    labels = store.counts()["labels"]
    return all(labels.get(label.name, 0) >= entry["counts"].get(label.name, 0) for label in schema.LABELS)


def _write_graph(store: GraphStore, log: EventLog, batch: Batch, progress: Progress) -> int:
    nodes = dict(batch.nodes)
    users = nodes.get("User")
    if users is not None and not {"latitude", "longitude"}.isdisjoint(users.columns):
        absent = {"latitude", "longitude"} - set(users.columns)
        nodes["User"] = log.coarsened(users.with_columns(pl.lit(None, pl.Float64).alias(name) for name in absent))
    for label, ids in batch.bare_nodes().items():
        batch.warn(f"{ids.height} {label} nodes are named by relations only; made without properties")
        nodes[label] = pl.concat([nodes[label], ids], how="diagonal") if label in nodes else ids
    total = sum(f.height for f in nodes.values()) + sum(f.height for f in batch.relationships.values())
    if not any(store.counts()["labels"].values()):
        progress("graph", 0, total)
        store.bulk_load(nodes, batch.relationships)
        progress("graph", total, total)
        return total
    done, foreign = 0, Counter[str]()
    for label, frame in nodes.items():
        for chunk in frame.iter_slices(_UPSERT_ROWS):
            foreign[f"{label} nodes"] += store.merge_nodes(label, chunk.to_dicts()).foreign
            done += chunk.height
            progress("graph", done, total)
    for relationship, frame in batch.relationships.items():
        for chunk in frame.iter_slices(_UPSERT_ROWS):
            foreign[f"{relationship.type} relationships"] += store.merge_relationships(
                relationship, chunk.to_dicts()
            ).foreign
            done += chunk.height
            progress("graph", done, total)
    for what, count in foreign.items():
        if count:
            batch.warn(f"{count} {what} stood in the graph already, made by somebody else: left as they are")
    return done


def _write_events(log: EventLog, batch: Batch, progress: Progress) -> int:
    accepted = done = 0
    if batch.events.height:
        progress("events", 0, batch.events.height)
    for chunk in batch.events.iter_slices(200_000):
        accepted += log.append_frame(chunk)[0]
        done += chunk.height
        progress("events", done, batch.events.height)
    if batch.events.height - accepted:
        batch.warn(f"{batch.events.height - accepted} events stood in the log already")
    return accepted


def _write_audio(file: Path, segments: pl.DataFrame) -> None:
    """Join new audio segments to those of the state folder; the newer row of a segment stays."""
    if file.exists():
        old = pl.read_parquet(file)
        segments = pl.concat([segments, old], how="diagonal").unique(["song_id", "segment"], keep="first")
    partial = file.with_suffix(".partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    segments.sort("song_id", "segment").write_parquet(partial)
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(file)


def audio_segments(state_dir: Path) -> pl.DataFrame | None:
    """All imported audio segments, sorted by song and segment, or None if no source had any."""
    file = state_dir / AUDIO_FILE
    return pl.read_parquet(file) if file.exists() else None


# ---- single edits

_SONG_RELATIONS: Final = {
    "artists": schema.relationship("PERFORMED_BY", "Song", "Artist"),
    "albums": schema.relationship("ON_ALBUM", "Song", "Album"),
    "genres": schema.relationship("HAS_GENRE", "Song", "Genre"),
    "tags": schema.relationship("HAS_TAG", "Song", "Tag"),
    "cover_of": schema.relationship("COVER_OF", "Song", "Song"),
}
_FOLLOWS: Final = {
    "User": schema.relationship("FOLLOWS", "User", "User"),
    "Artist": schema.relationship("FOLLOWS_ARTIST", "User", "Artist"),
}


class Catalogue:
    """Single edits of the graph, each a line of the journal first.

    Opening one applies the journal's lines that the graph lacks. Edits of all processes are made one after another.
    Every edit returns its journal offset, and raises InvalidInput for an id, label or value the schema does not
    allow, NotOurs for a node or a follow that somebody else made in the same graph, StoreUnavailable if the graph does
    not answer (the edit is in the journal then, and is applied later).
    """

    def __init__(self, store: GraphStore, log: EventLog) -> None:
        self._store = store
        self._log = log
        with log.exclusive("edits"):
            for line in adopt(store, log):
                _log.warning(line)
            self._replay()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open; the store and the log belong to the caller."""

    def upsert_node(self, label: str, id: str, properties: Mapping[str, Any]) -> int:  # noqa: A002
        """Make the node, or set the given properties of the one there; None leaves a property as it is."""
        self._check_properties(label, id, properties)
        return self._edit("upsert", label, id, {"properties": self._kept(label, properties)})

    def upsert_song(self, id: str, properties: Mapping[str, Any], relations: Mapping[str, Any]) -> int:  # noqa: A002
        """`upsert_node`, and make each given kind of the song's relations exactly that; None leaves a kind as it is.

        Kinds are `artists`, `albums`, `genres` and `cover_of` (ids), and `tags` (id -> weight). Where a property or a
        relation is wrong, nothing is written.
        """
        self._check_properties("Song", id, properties)
        payload = self._relations(id, relations)
        offset = self._edit("upsert", "Song", id, {"properties": dict(properties)})
        return self._edit("relations", "Song", id, payload) if payload else offset

    def delete_node(self, label: str, id: str) -> int:  # noqa: A002
        """Delete the node and its relationships; one that is not there is no error."""
        _check_id(id)
        schema.label(label)
        return self._edit("delete", label, id, {})

    def follow(self, user: str, other: str, label: str = "User", *, since: int | None = None) -> int:
        """Make the listener follow a user or an artist (`label`); `since`: epoch milliseconds (default: now)."""
        self._check_follow(user, other, label)
        problem = problem_of_property(_FOLLOWS[label].properties[0], since)
        if problem is not None:
            raise InvalidInput(problem)
        payload = {"target": other, "since": now_ms() if since is None else since}
        return self._edit("follow", label, user, payload)

    def unfollow(self, user: str, other: str, label: str = "User") -> int:
        """Undo a follow; one that is not there is no error."""
        self._check_follow(user, other, label)
        return self._edit("unfollow", label, user, {"target": other})

    def node(self, label: str, id: str) -> dict[str, Any] | None:  # noqa: A002
        """The node as the graph holds it: `id` and its properties, a song's relations too; None where there is none."""
        _check_id(id)
        rows = self._store.read(queries.node(label), {"id": id})
        if not rows:
            return None
        declared = [p for p in schema.label(label).properties if not p.derived]
        found = {"id": id, **_allowed(rows[0]["properties"], declared)}
        if label == "Song":
            for kind, relationship in _SONG_RELATIONS.items():
                ends = self._neighbours(relationship, id)
                found[kind] = (
                    {end: _allowed(given, relationship.properties).get("weight") for end, given in ends.items()}
                    if kind == "tags"
                    else list(ends)
                )
        return found

    # ---- inside

    def _neighbours(self, relationship: Relationship, id: str) -> dict[str, dict[str, Any]]:  # noqa: A002
        """By id, sorted, where the relationships of the type lead, and their properties."""
        rows = self._store.read(queries.neighbours(relationship), {"id": id})
        ends = {row["id"]: row["properties"] for row in rows if problem_of_id(row["id"]) is None}
        return dict(sorted(ends.items()))

    def _kept(self, label: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """What is written of the properties: of where somebody lives, the centre of its cell."""
        kept = dict(properties)
        if label == "User" and (kept.get("latitude") is None) != (kept.get("longitude") is None):
            raise InvalidInput("User latitude, longitude: expected both or none")
        if label == "User" and kept.get("latitude") is not None:
            kept["latitude"], kept["longitude"] = self._log.coarsen(kept["latitude"], kept["longitude"])
        return kept

    @staticmethod
    def _check_properties(label: str, id: str, properties: Mapping[str, Any]) -> None:  # noqa: A002
        _check_id(id)
        declared = {p.name: p for p in schema.label(label).properties if not p.derived}
        for name, value in properties.items():
            if name not in declared:
                raise InvalidInput(f"{label} has no property {str(name)[:80]!r} (expected {', '.join(declared)})")
            problem = problem_of_property(declared[name], value)
            if problem is not None:
                raise InvalidInput(problem)

    @staticmethod
    def _relations(song: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a journal line says of the given kinds of a song's relations; None leaves a kind out."""
        _check_id(song)
        weight = _SONG_RELATIONS["tags"].properties[0]
        payload: dict[str, Any] = {}
        for kind, ends in given.items():
            if ends is None:
                continue
            for end in ends:
                _check_id(end)
                if kind == "cover_of" and end == song:
                    raise ToItself(f"{song!r} cannot be a cover of itself")
            if isinstance(ends, Mapping):
                problem = next((p for w in ends.values() if (p := problem_of_property(weight, w)) is not None), None)
                if problem is not None:
                    raise InvalidInput(f"tags: {problem}")
            payload[kind] = dict(ends) if isinstance(ends, Mapping) else list(dict.fromkeys(ends))
        return payload

    @staticmethod
    def _check_follow(user: str, other: str, label: str) -> None:
        _check_id(user)
        _check_id(other)
        if label not in _FOLLOWS:
            raise InvalidInput(f"cannot follow a {label!r} (expected {' or '.join(_FOLLOWS)})")
        if label == "User" and user == other:
            raise ToItself(f"{user!r} cannot follow itself")

    def _edit(self, kind: str, label: str, id: str, payload: Mapping[str, Any]) -> int:  # noqa: A002
        with self._log.exclusive("edits"):
            self._replay()
            self._check_ours(kind, label, id, payload)
            offset = self._log.append_journal(kind, label, id, payload)
            self._apply(JournalEntry(offset, kind, label, id, dict(payload)))
            self._log.set_meta(_APPLIED_KEY, str(offset))
            return offset

    def _check_ours(self, kind: str, label: str, id: str, payload: Mapping[str, Any]) -> None:  # noqa: A002
        if kind in ("upsert", "delete") and self._store.is_foreign(label, id):
            raise NotOurs(f"{label} {id!r} was made by somebody else in this graph: it is read, and left as it is")
        if kind == "unfollow" and self._store.is_foreign_only(_FOLLOWS[label], id, payload["target"]):
            raise NotOurs(f"that {id!r} follows {payload['target']!r} was said by somebody else in this graph")

    def _replay(self) -> None:
        """Apply the lines that the graph lacks, in order; each is idempotent."""
        for entry in self._log.journal(after=int(self._log.get_meta(_APPLIED_KEY) or 0)):
            self._apply(entry)
            self._log.set_meta(_APPLIED_KEY, str(entry.offset))

    def _apply(self, entry: JournalEntry) -> None:
        if entry.kind == "import" or entry.label is None or entry.id is None:
            return  # an import wrote the graph itself
        payload = entry.payload
        if entry.kind == "upsert":
            self._store.upsert_nodes(entry.label, [{"id": entry.id, **payload["properties"]}])
        elif entry.kind == "delete":
            self._store.delete_node(entry.label, entry.id)
        elif entry.kind == "follow":
            row = {"target": payload["target"], "since": payload["since"]}
            self._connect(_FOLLOWS[entry.label], entry.id, [row])
        elif entry.kind == "unfollow":
            self._store.delete_relationship(_FOLLOWS[entry.label], entry.id, payload["target"])
        elif entry.kind == "relations":
            for name, ends in payload.items():
                self._replace(_SONG_RELATIONS[name], entry.id, ends)

    def _replace(self, relationship: Relationship, song: str, ends: Mapping[str, float] | Sequence[str]) -> None:
        for end in self._neighbours(relationship, song):
            if end not in ends:
                self._store.delete_relationship(relationship, song, end)
        weights = ends if isinstance(ends, Mapping) else {}
        rows = [{"target": end, **({"weight": weights[end]} if end in weights else {})} for end in ends]
        self._connect(relationship, song, rows)

    def _connect(self, relationship: Relationship, source: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Upsert relationships of one node, its end nodes first (bare, if they are not there)."""
        self._store.upsert_nodes(relationship.source, [{"id": source}])
        if rows:
            self._store.upsert_nodes(relationship.target, [{"id": row["target"]} for row in rows])
            self._store.upsert_relationships(relationship, [{"source": source, **row} for row in rows])


def _allowed(given: Mapping[str, Any], declared: Iterable[schema.Property]) -> dict[str, Any]:
    """The properties that the schema has, with values that it allows: the graph may hold somebody else's."""
    return {p.name: given[p.name] for p in declared if p.name in given and not problem_of_property(p, given[p.name])}


def _check_id(value: object) -> None:
    problem = problem_of_id(value)
    if problem is not None:
        raise InvalidInput(problem)
