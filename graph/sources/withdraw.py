"""Taking back what a source said: the whole of it, or what a corrected version no longer says.

What another source or a single edit says too stays. Every step may be repeated, and what a source said is forgotten
last: whatever a kill interrupts is completed by the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from graph import schema
from graph.errors import InvalidInput
from graph.log.checks import EVENT_COLUMNS
from graph.log.events import EventLog
from graph.sources import audio, registry, said
from graph.sources.registry import Source
from graph.store.store import GraphStore

Progress = Callable[[str, int, int], None]  # what, rows done, rows in all
REMOVED: Final = "removed"  # kind of the journal lines that name songs which are gone
_LINE_IDS: Final = 10_000  # ids that a line of the journal names
_ROWS: Final = 20_000


def forget(
    store: GraphStore,
    log: EventLog,
    source: Source,
    state_dir: Path,
    *,
    dry_run: bool = False,
    progress: Progress = lambda what, done, total: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Take a source back: its events and exposures, and what of the catalogue nobody else said.

    With `dry_run` nothing is changed.
    Returns: `source, dry_run, events, exposures, rows` (by label and relationship).
    Raises: InvalidInput if what it, or another source, said is not known; Busy while an import runs.
    """
    with log.exclusive("import", wait=False):
        number = _known(log, source)
        keys = said.read(state_dir, number)
        with log.exclusive("edits"):
            gone = only_said(log, state_dir, source, keys)
        events = log.of_source("events", number)["event_id"]
        shared = events_of_others(log, state_dir, source, events)
        report = {
            "source": source.key,
            "dry_run": dry_run,
            "events": events.len() - len(shared),
            "exposures": log.of_source("exposures", number).height,
            "rows": said.counts(gone),
        }
        if not dry_run:
            source = registry.keep(log, replace(source, state="forgetting"))
            give_to_others(log, shared)
            log.take_out(source=number)
            withdraw(store, log, state_dir, source, keys, progress)
            log.append_journal("forget", None, None, {"source": source.key, "rows": report["rows"]})
            log.drop_meta(exposures_key(source.key))
            log.drop_meta(registry.NEWEST + source.key)
            said.remove(state_dir, number)
            registry.drop(log, source)
        return report


def exposures_key(key: str) -> str:
    """Where the log counts the exposures of a source."""
    return f"exposures:{key}"


def _known(log: EventLog, source: Source) -> int:
    if source.number is None or source.unknown:
        raise InvalidInput(
            f"{source.key} was imported by an earlier version of Segue, which did not keep what it said: "
            "import it once more as it is, then it can be taken back"
        )
    refuse_unknown(log, besides=source)
    return source.number


def refuse_unknown(log: EventLog, *, besides: Source) -> None:
    """Check that it is known what all other sources said.

    Raises: InvalidInput naming one that was imported by an earlier version.
    """
    for other in registry.sources(log).values():
        if other.unknown and other.key != besides.key:
            raise InvalidInput(
                f"{other.key} was imported by an earlier version of Segue, which did not keep what it said: "
                "import it once more as it is, then it is known what others said"
            )


def only_said(log: EventLog, state_dir: Path, source: Source, keys: pl.DataFrame) -> pl.DataFrame:
    """Those of the `keys` that no other source and no single edit has; none of events."""
    keys = keys.filter(pl.col("kind") != said.EVENT)
    if keys.is_empty():
        return keys
    others = (s for s in registry.sources(log).values() if s.key != source.key)
    return said.without(keys, said.by_edits(log), *(said.read(state_dir, other.number) for other in others))


def events_of_others(log: EventLog, state_dir: Path, source: Source, event_ids: pl.Series) -> dict[str, int]:
    """Of a source's events those that another one has too, and the number of that one."""
    found: dict[str, int] = {}
    for other in registry.sources(log).values():
        if other.key != source.key and other.number is not None:
            keys = said.read(state_dir, other.number).filter(pl.col("kind") == said.EVENT)["source"]
            both = keys.filter(keys.is_in(event_ids.implode()))
            found = {**dict.fromkeys(both, other.number), **found}
    return found


def give_to_others(log: EventLog, shared: dict[str, int]) -> None:
    """Make events those of the sources that have them too."""
    for number in sorted(set(shared.values())):
        log.give([id_ for id_, of in shared.items() if of == number], number)


def outdated(log: EventLog, source: Source, events: pl.DataFrame) -> list[str]:
    """The ids of a source's events in the log that its new version (`events`, points coarsened) does not have as they
    stand there."""
    if source.number is None:
        return []
    there = log.of_source("events", source.number).drop("offset")
    same = events.select(list(EVENT_COLUMNS)).unique("event_id", keep="first")
    return there.join(same, on=list(EVENT_COLUMNS), how="anti", nulls_equal=True)["event_id"].to_list()


def withdraw(
    store: GraphStore,
    log: EventLog,
    state_dir: Path,
    source: Source,
    keys: pl.DataFrame,
    progress: Progress = lambda what, done, total: None,  # noqa: ARG005
) -> pl.DataFrame:
    """Take out of the graph what of the `keys` nobody but this source said, songs named in the journal first.

    Single edits wait meanwhile. Returns: the keys of what went.
    """
    with log.exclusive("edits"):
        gone = only_said(log, state_dir, source, keys)
        _tell(log, _ids(gone, "Song"))
        done = 0
        for relationship in schema.RELATIONSHIPS:
            mine = gone.filter(pl.col("kind") == relationship.key)
            identity = [pl.col("identity").alias(name) for name in relationship.identity]
            for chunk in mine.select("source", "target", *identity).iter_slices(_ROWS):
                store.delete_relationships(relationship, chunk.to_dicts())
                progress("taking out", done := done + chunk.height, gone.height)
        for label in schema.LABELS:
            ids = _ids(gone, label.name)
            for first in range(0, len(ids), _ROWS):
                part = ids[first : first + _ROWS]
                store.delete_nodes(label.name, part)
                progress("taking out", done := done + len(part), gone.height)
        segments = gone.filter(pl.col("kind") == said.AUDIO)
        audio.remove(state_dir, segments.select(song_id="source", segment=pl.col("target").cast(pl.Int64)))
    return gone


def _ids(keys: pl.DataFrame, label: str) -> list[str]:
    return keys.filter(pl.col("kind") == label)["source"].to_list()


def _tell(log: EventLog, songs: Sequence[str]) -> None:
    for first in range(0, len(songs), _LINE_IDS):
        log.append_journal(REMOVED, "Song", None, {"ids": list(songs[first : first + _LINE_IDS])})


def removed_songs(log: EventLog) -> set[str]:
    """The songs that were taken back at some time; one that the graph has was said again since."""
    return {id_ for entry in log.journal(kind=REMOVED) for id_ in entry.payload["ids"]}
