"""What is held of one listener: told whole, forgotten for a time, or erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from graph import schema
from graph.catalogue import Catalogue
from graph.errors import InvalidInput
from graph.log.events import EventLog
from graph.schema import problem_of_id
from graph.sources import said
from graph.sources.registry import sources
from graph.store import queries
from graph.store.store import GraphStore

FORGOTTEN: Final = "forgotten"
"""Kind of the journal lines that say which time of a listener counts no more."""
_OF_USERS: Final = tuple(rel for rel in schema.RELATIONSHIPS if rel.source == "User" and not rel.derived)


def exported(store: GraphStore, log: EventLog, user_id: str) -> dict[str, Any]:
    """All that is held of a listener.

    Returns: `user_id`, `user` (the node's properties, None where there is none), `relationships` (`type`, `label` and
    `id` of the other end, `direction`, `properties`), `events` and `exposures` (as rows of the log).
    Raises: InvalidInput for an id that is none; StoreUnavailable.
    """
    _check(user_id)
    nodes = store.read(queries.node("User"), {"id": user_id})
    found = []
    for rel in _OF_USERS:
        for row in store.read(queries.neighbours(rel), {"id": user_id}):
            end = {"type": rel.type, "direction": "out", "label": rel.target, "id": row["id"]}
            found.append({**end, "properties": row["properties"]})
    follows = schema.relationship("FOLLOWS", "User", "User")
    for row in store.read(queries.sources_of(follows), {"id": user_id}):
        end = {"type": follows.type, "direction": "in", "label": follows.source, "id": row["id"]}
        found.append({**end, "properties": row["properties"]})
    shown = log.exposures_of_user(user_id)
    return {
        "user_id": user_id,
        "user": nodes[0]["properties"] if nodes else None,
        "relationships": found,
        "events": log.frame_of_user(user_id).drop("offset").to_dicts(),
        "exposures": shown.drop("offset").to_dicts(),
    }


def erase(store: GraphStore, log: EventLog, user_id: str, state_dir: Path) -> dict[str, Any]:
    """Forget everything of a listener: the node with its relationships, events, exposures, and what single edits and
    sources said; a running service answers as for somebody unknown within a second.

    No import brings back what was erased. Every step may be repeated: what a kill interrupts, the same call completes.
    Releases made before hold the histories that they learned from until they are pruned.
    Returns: `user_id`, and how many `events` went.
    Raises: InvalidInput for an id that is none; StoreUnavailable; Busy while an import runs.
    """
    _check(user_id)
    with log.exclusive("import", wait=False):
        with Catalogue(store, log) as catalogue:
            catalogue.delete_node("User", user_id)
        events = log.take_out(user_id=user_id)
        log.scrub_journal(user_id)
        for source in sources(log).values():
            if source.number is not None:
                _scrub(state_dir, source.number, user_id)
    return {"user_id": user_id, "events": events}


def forget_time(log: EventLog, user_id: str, from_ms: int | None, to_ms: int | None) -> int:
    """Take the events of a listener with `from_ms` <= at < `to_ms` (epoch milliseconds; None: no bound) out of the log;
    they count no more in the next answer, nor in the next release. Returns: how many went.

    Those without a time stay, unless there is no bound at all.
    Raises: InvalidInput for an id that is none, or a time that ends before it begins.
    """
    _check(user_id)
    if from_ms is not None and to_ms is not None and to_ms <= from_ms:
        raise InvalidInput(f"to: expected a time after from ({from_ms}), got {to_ms}")
    with log.exclusive("edits"):
        log.append_journal(FORGOTTEN, "User", user_id, {"from": from_ms, "to": to_ms, "events": log.last_offset()})
    return log.take_out(user_id=user_id, from_ms=from_ms, to_ms=to_ms)


def _check(user_id: str) -> None:
    problem = problem_of_id(user_id)
    if problem is not None:
        raise InvalidInput(f"user: {problem}")


def _scrub(state_dir: Path, number: int, user_id: str) -> None:
    """Keep nothing of a listener among what a source said."""
    keys = said.read(state_dir, number)
    relations = {rel.key: rel for rel in schema.RELATIONSHIPS}
    sources_ = [key for key, rel in relations.items() if rel.source == "User"]
    targets = [key for key, rel in relations.items() if rel.target == "User"]
    kind = pl.col("kind")
    theirs = ((kind == "User") | kind.is_in(sources_)) & (pl.col("source") == user_id)
    theirs |= kind.is_in(targets) & (pl.col("target") == user_id)
    kept = keys.filter(~theirs.fill_null(value=False))
    if kept.height < keys.height:
        said.write(state_dir, number, kept)
