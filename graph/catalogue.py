"""Writing the catalogue: whole sources at once, and single edits through the journal.

`import_batch` writes a checked batch to the graph and the event log so that repeating or resuming it adds nothing. A
`Catalogue` makes single edits: the journal line first, then the graph; what a crash kept from the graph is applied by
the next `Catalogue` that opens.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput, NotOurs, SourceMismatch, ToItself
from graph.log.checks import now_ms, problem_of_property
from graph.log.events import EventLog, JournalEntry
from graph.log.tombstones import Tombstones
from graph.mark import adopt
from graph.schema import Relationship, problem_of_id
from graph.sources import audio, said
from graph.sources.registry import CLOCK_KEY, Source, finish, keep, sources
from graph.sources.said import FOLLOWS, SONG_RELATIONS
from graph.sources.withdraw import (
    events_of_others,
    exposures_key,
    forget,
    give_to_others,
    only_said,
    outdated,
    refuse_unknown,
    removed_songs,
    withdraw,
)
from graph.store import queries
from graph.store.store import GraphStore

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]  # what, rows done, rows in all

_APPLIED_KEY: Final = "journal_applied"  # meta: the last journal line that the graph has
_UPSERT_ROWS: Final = 20_000


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


# ---- whole sources


def import_batch(
    store: GraphStore,
    log: EventLog,
    batch: Batch,
    *,
    name: str,
    fingerprint: str,
    state_dir: Path,
    path: Path | None = None,
    merge: bool = False,
    replaces: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write a whole source: nodes, relationships, events, exposures, audio segments, one journal line.

    A source is known by its format and `name` (where it lies, or `path` if that is given), or by its `fingerprint`
    (what it holds), so one that grew and one that moved are known. One that the state has whole already adds nothing;
    of one that was interrupted or grew, what is missing is added (exposures, which have no id, are taken to have grown
    at their end). With `replaces` what an earlier version of it said, and this one does not, goes.
    Returns: rows written.
    Raises: SourceMismatch if the state knows another source and `merge` is false; Busy while another import runs;
    InvalidInput with `replaces` if it is not known what another source said.
    """
    known = sources(log)
    half = known.get(source_key(known, batch.format, name, fingerprint))
    if half is not None and half.state == "forgetting":
        forget(store, log, half, state_dir)
    with log.exclusive("import", wait=False):
        known = sources(log)
        key = source_key(known, batch.format, name, fingerprint)
        if known and key not in known and not merge:
            raise SourceMismatch(
                f"this state holds {', '.join(sorted(known))} already; importing {key} into it needs --merge"
            )
        earlier, gone = known.get(key), Tombstones.of(log)
        if earlier is not None and _has_whole(store, earlier, fingerprint, gone, replaces=replaces):
            batch.warn("the state has this source already; nothing was added")
            if earlier.state == "mixed":
                batch.warn("rows of an earlier version, which this one has not, stay; --replace takes them out")
            return 0
        batch.warnings.extend([*store.migrate(), *adopt(store, log)])
        made = earlier or Source(key, batch.format, name)
        made = replace(made, state="started", fingerprint=fingerprint, path=name if path is None else str(path))
        if replaces and earlier is not None:
            refuse_unknown(log, besides=earlier)
        return _Import(store, log, batch, keep(log, made), earlier, state_dir, progress).run(
            replaces=replaces, alone=not any(other.counts for other in known.values())
        )


def source_key(known: Mapping[str, Source], format_: str, name: str, fingerprint: str) -> str:
    """The key of a source: that of one with the same content, else its format and name."""
    same = (key for key, source in known.items() if source.fingerprint == fingerprint)
    return next(same, f"{format_}:{name}")


def conflicts(
    log: EventLog, batch: Batch, name: str, fingerprint: str, state_dir: Path, *, replaces: bool
) -> list[str]:
    """The ids of events of a batch that the log has with other content; those that the batch `replaces` are none."""
    named = batch.events.filter(pl.col("event_id").is_not_null())
    if named.is_empty():
        return []
    known, named = sources(log), log.coarsened(named)
    found = log.differing(named)
    source = known.get(source_key(known, batch.format, name, fingerprint))
    if not replaces or source is None or source.number is None or not found:
        return found
    standing = set(log.differing(named.filter(pl.col("event_id").is_in(found)), besides=source.number))
    shared = events_of_others(log, state_dir, source, pl.Series(found))
    return [id_ for id_ in found if id_ in standing or id_ in shared]


def _has_whole(store: GraphStore, source: Source, fingerprint: str, gone: Tombstones, *, replaces: bool) -> bool:
    """Whether importing it again would change nothing."""
    same = source.fingerprint == fingerprint and source.whole and not source.unknown
    return same and not (replaces and source.state == "mixed") and _still_there(store, source.counts, gone)


class _Import:
    """One import of a source; every step may be repeated.

    What the source says is kept before the graph is changed, together with what its earlier versions said, and without
    that only when the graph no longer has it.
    """

    def __init__(
        self,
        store: GraphStore,
        log: EventLog,
        batch: Batch,
        source: Source,
        earlier: Source | None,
        state_dir: Path,
        progress: Progress,
    ) -> None:
        self._store, self._log, self._batch, self._source = store, log, batch, source
        self._earlier, self._state_dir, self._progress = earlier, state_dir, progress
        assert source.number is not None
        self._number = source.number

    def run(self, *, replaces: bool, alone: bool) -> int:
        log, batch, key = self._log, self._batch, self._source.key
        if self._earlier is None:
            self._bring_back()
        before, new = said.read(self._state_dir, self._number), said.of_batch(batch)
        said.write(self._state_dir, self._number, pl.concat([new, before]))
        batch.name_events(key)
        stale = outdated(log, self._earlier, log.coarsened(batch.events)) if self._earlier is not None else []
        batch.leave_out(Tombstones.of(log))  # which the source says all the same: it is no earlier version's
        if replaces:
            self._take_out(stale)
        written = _write_graph(self._store, log, batch, self._progress)
        accepted, others = _write_events(log, batch, self._source, self._earlier, self._progress)
        new = pl.concat([new, said.of_events(others)])
        said.write(self._state_dir, self._number, pl.concat([new, before]))
        written += accepted + log.append_exposures_frame(batch.exposures, key=exposures_key(key), source=self._number)
        if batch.audio_segments is not None:
            audio.add(self._state_dir, batch.audio_segments)
            written += batch.audio_segments.height
        if batch.clock == "data" and alone:
            log.set_meta(CLOCK_KEY, "data")
        left = said.without(before, new)
        if replaces:
            gone = withdraw(self._store, log, self._state_dir, self._source, left, self._progress)
            self._tell("of the earlier version were taken out", stale, gone)
        else:
            left = only_said(log, self._state_dir, self._source, left)
            self._tell("of an earlier version stay; --replace takes them out", stale, left)
        mixed = not replaces and bool(stale or left.height)
        counts = _counts(batch)
        payload = {"format": batch.format, "source": key, "fingerprint": self._source.fingerprint, "counts": counts}
        log.append_journal("import", None, None, payload)
        if replaces:
            said.write(self._state_dir, self._number, new)
        finish(log, self._source, "mixed" if mixed else "done", counts, batch.warnings)
        return written

    def _bring_back(self) -> None:
        """Songs that were taken back with their source are in the graph again if the events of a new one name them."""
        gone = removed_songs(self._log) & set(self._batch.events["song_id"].drop_nulls())
        if gone:
            self._batch.add_nodes("Song", pl.DataFrame({"id": sorted(gone)}), file="events")

    def _take_out(self, stale: Sequence[str]) -> None:
        """The events and exposures of earlier versions that this one does not have."""
        shared = events_of_others(self._log, self._state_dir, self._source, pl.Series(stale, dtype=pl.String))
        give_to_others(self._log, shared)
        self._log.take_out_events(self._number, stale)
        there = self._log.of_source("exposures", self._number).drop("offset")
        if not there.equals(self._batch.exposures.head(there.height)):
            self._log.take_out_exposures(self._number, exposures_key(self._source.key))

    def _tell(self, what: str, stale: Sequence[str], keys: pl.DataFrame) -> None:
        counts = {**({"events": len(stale)} if stale else {}), **said.counts(keys)}
        if counts:
            self._batch.warn(f"{', '.join(f'{count} {name}' for name, count in counts.items())} {what}")
        if self._earlier is not None and self._earlier.unknown:
            self._batch.warn(
                "an earlier version of Segue imported this source before and did not keep what it said: "
                "rows that it had then and has no longer stay"
            )


def _counts(batch: Batch) -> dict[str, int]:
    audio = batch.audio_segments
    return {
        **{label: frame.height for label, frame in batch.nodes.items()},
        **{relationship.key: frame.height for relationship, frame in batch.relationships.items()},
        "events": batch.events.height,
        "exposures": batch.exposures.height,
        "audio_segments": 0 if audio is None else audio.height,
    }


def _still_there(store: GraphStore, counts: Mapping[str, int], gone: Tombstones) -> bool:
    """Whether the graph still has as many nodes of each label as the source had, but for those that were deleted (it
    may have been emptied)."""
    labels, names = store.counts()["labels"], [label.name for label in schema.LABELS]
    return all(labels.get(name, 0) + gone.count(name) >= counts.get(name, 0) for name in names)


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


def _write_events(
    log: EventLog, batch: Batch, source: Source, earlier: Source | None, progress: Progress
) -> tuple[int, list[str]]:
    """Returns: how many events were added, and the ids of those that the log had from elsewhere."""
    accepted = done = 0
    others: list[str] = []
    adopt = earlier is not None and earlier.unknown
    if batch.events.height:
        progress("events", 0, batch.events.height)
    for chunk in batch.events.iter_slices(200_000):
        added, found = log.append_source(chunk, source.number, adopt=adopt)
        accepted, done = accepted + added, done + chunk.height
        others += found
        progress("events", done, batch.events.height)
    if batch.events.height - accepted:
        batch.warn(f"{batch.events.height - accepted} events stood in the log already")
    return accepted, others


# ---- single edits


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
        for kind, ends in payload.items():
            self._make_again(SONG_RELATIONS[kind].target, ends)
        offset = self._edit("upsert", "Song", id, {"properties": dict(properties)})
        return self._edit("relations", "Song", id, payload) if payload else offset

    def delete_node(self, label: str, id: str) -> int:  # noqa: A002
        """Delete the node and its relationships; one that is not there is no error.

        It stays deleted, whatever imports and the log's events say of it, until an edit makes it again.
        """
        _check_id(id)
        schema.label(label)
        return self._edit("delete", label, id, {"events": self._log.last_offset()})

    def follow(self, user: str, other: str, label: str = "User", *, since: int | None = None) -> int:
        """Make the listener follow a user or an artist (`label`); `since`: epoch milliseconds (default: now)."""
        self._check_follow(user, other, label)
        problem = problem_of_property(FOLLOWS[label].properties[0], since)
        if problem is not None:
            raise InvalidInput(problem)
        payload = {"target": other, "since": now_ms() if since is None else since}
        self._make_again("User", [user])
        self._make_again(label, [other])
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
            for kind, relationship in SONG_RELATIONS.items():
                ends = self._neighbours(relationship, id)
                found[kind] = (
                    {end: _allowed(given, relationship.properties).get("weight") for end, given in ends.items()}
                    if kind == "tags"
                    else list(ends)
                )
        return found

    # ---- inside

    def _make_again(self, label: str, ids: Iterable[str]) -> None:
        """Those of the nodes an edit names that were deleted are there again, without what was known of them."""
        for id_ in ids:
            if self._log.is_deleted(label, id_):
                self._edit("upsert", label, id_, {"properties": {}})

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
        weight = SONG_RELATIONS["tags"].properties[0]
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
        if label not in FOLLOWS:
            raise InvalidInput(f"cannot follow a {label!r} (expected {' or '.join(FOLLOWS)})")
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
        if kind == "unfollow" and self._store.is_foreign_only(FOLLOWS[label], id, payload["target"]):
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
            self._connect(FOLLOWS[entry.label], entry.id, [row])
        elif entry.kind == "unfollow":
            self._store.delete_relationship(FOLLOWS[entry.label], entry.id, payload["target"])
        elif entry.kind == "relations":
            for name, ends in payload.items():
                self._replace(SONG_RELATIONS[name], entry.id, ends)

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
