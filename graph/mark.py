"""Which of a graph is Segue's: what has the mark, and what earlier versions wrote before there was one.

A state (its event log) looks at each graph once. One that it filled itself before there was a mark is marked whole:
the embedded one if the log knows a source or an edit; one on a server of somebody else only if the log knows a source,
a release was projected to just this address, and nothing stands in it that the schema does not have. Everything else
that has no mark stays somebody else's.
"""

from __future__ import annotations

from typing import Final

from graph import schema
from graph.files import fingerprint
from graph.log.events import EventLog
from graph.store import queries
from graph.store.store import GraphStore

_PROJECTED: Final = "projected"  # meta: the release whose derived data the graph holds
_MARKED: Final = "marked"  # meta: "started" while a graph is marked, "done" once it was looked at
_SOURCES: Final = "source:"
_AT_ONCE: Final = 20_000


def projected_key(url: str) -> str:
    """Where the log's meta has which release was projected to the graph at `url`."""
    return f"{_PROJECTED}:{fingerprint(url)[:12]}"


def adopt(store: GraphStore, log: EventLog) -> list[str]:
    """Mark, the first time that this state opens it, a graph that it filled before there was a mark.

    Returns: a line if the graph may hold some of its own that was not marked. Raises: StoreUnavailable.
    """
    key = f"{_MARKED}:{fingerprint(store.url)[:12]}"
    state = log.get_meta(key)
    if state == "done":
        return []
    if state != "started":
        if not _was_filled(store, log) or store.read(queries.any_mark()):
            log.set_meta(key, "done")
            return []
        if others := 0 if store.is_embedded else _outside_schema(store):
            # what was projected there cannot be told from theirs: the next projection is made anew beside it
            log.set_meta(projected_key(store.url), "")
            log.set_meta(key, "done")
            return [
                f"the graph holds {others} nodes and relationships that Segue's schema does not have: what an earlier "
                "version of Segue wrote there has no mark, and stays as it is"
            ]
        log.set_meta(key, "started")
    for query in (
        *(queries.mark_nodes(label.name) for label in schema.LABELS),
        *(queries.mark_relationships(rel) for rel in schema.RELATIONSHIPS),
    ):
        while store.write(query, {"most": _AT_ONCE})[0]["n"]:
            pass
    log.set_meta(key, "done")
    return []


def _was_filled(store: GraphStore, log: EventLog) -> bool:
    if store.is_embedded:
        return bool(log.meta(_SOURCES)) or log.last_journal_offset() > 0
    return bool(log.meta(_SOURCES)) and log.get_meta(projected_key(store.url)) is not None


def _outside_schema(store: GraphStore) -> int:
    names = {
        "labels": [label.name for label in schema.LABELS],
        "types": sorted({rel.type for rel in schema.RELATIONSHIPS}),
    }
    nodes, relationships = queries.count_outside_schema()
    return int(store.read(nodes, {"labels": names["labels"]})[0]["n"]) + int(
        store.read(relationships, {"types": names["types"]})[0]["n"]
    )
