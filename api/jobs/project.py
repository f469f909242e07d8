"""The last step of a refresh: what was derived goes back into the graph, for people who query it there.

Differences only. They are taken against the release that was projected last where it is still at hand, else against
what the graph holds, so that a projection repairs a graph that somebody edited by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from graph import schema
from graph.paths import SIMILAR_KEPT
from graph.release import Release
from graph.snapshot.export import relationship_frame, table, types_of
from graph.snapshot.histories import UNKNOWN_TIME
from graph.snapshot.ids import Strings
from graph.snapshot.snapshot import Snapshot
from graph.store import queries
from graph.store.store import GraphStore
from recall.listeners.preferences import listeners

Progress = Callable[[str, int, int], None]
DERIVED: Final = tuple(rel for rel in schema.RELATIONSHIPS if rel.derived)


def project(store: GraphStore, release: Release, before: Release | None, progress: Progress) -> dict[str, int]:
    """Write the derived relationships and node properties of `release`; how many were written and deleted.

    `before` is the release that this graph holds already, None if nobody knows.
    Raises: StoreUnavailable.
    """
    written = deleted = 0
    store.migrate()
    written += _bare_nodes(store, release.snapshot)
    for done, rel in enumerate(DERIVED):
        progress("project", done, len(DERIVED) + 1)
        wanted = derived_frame(release, rel)
        known = derived_frame(before, rel) if before is not None else relationship_frame(store, rel)
        keys = ["source", "target", *rel.identity]
        upserts = wanted.join(known, on=wanted.columns, how="anti", nulls_equal=True)
        gone = known.join(wanted, on=keys, how="anti", nulls_equal=True).select(keys)
        store.replace_derived(rel, upserts.to_dicts(), gone.to_dicts())
        written, deleted = written + len(upserts), deleted + len(gone)
    counts = _song_counts(release)
    known = _song_counts(before) if before is not None else _held_counts(store)
    counts = counts.join(known, on=counts.columns, how="anti")
    progress("project", len(DERIVED), len(DERIVED) + 1)
    written += store.set_properties("Song", counts.to_dicts())
    progress("project", len(DERIVED) + 1, len(DERIVED) + 1)
    return {"written": written, "deleted": deleted}


def derived_frame(release: Release, rel: schema.Relationship) -> pl.DataFrame:
    """One derived relationship of a release as `source`, `target` and its properties."""
    if rel.type == "SIMILAR_TO":
        return _similar(release)
    snapshot = release.snapshot
    relation = snapshot.relation(rel.type, rel.source, rel.target)
    columns = {
        "source": _texts(snapshot.ids[rel.source], relation.edge_sources),
        "target": _texts(snapshot.ids[rel.target], relation.indices),
    }
    for property_ in rel.properties:
        values = pl.Series(relation.properties[property_.name])
        columns[property_.name] = values.set(values == UNKNOWN_TIME, None)
    return pl.DataFrame(columns)


def _similar(release: Release) -> pl.DataFrame:
    frames = [pl.DataFrame(schema={"source": pl.String, "target": pl.String, "weight": pl.Float64, "by": pl.String})]
    for model in release.names("similar"):
        arrays, _ = release.arrays(f"similar/{model}")
        songs, weights = arrays["songs"][:, :SIMILAR_KEPT], arrays["weights"][:, :SIMILAR_KEPT]
        rows, places = np.nonzero(songs >= 0)
        ids = release.snapshot.ids["Song"]
        frames.append(
            pl.DataFrame(
                {
                    "source": _texts(ids, rows),
                    "target": _texts(ids, songs[rows, places]),
                    "weight": weights[rows, places].astype(np.float64),
                    "by": pl.Series([model] * len(rows), dtype=pl.String),
                }
            )
        )
    return pl.concat(frames)


def _texts(ids: Strings, positions: np.ndarray) -> pl.Series:
    return pl.Series(ids.to_list(), dtype=pl.String).gather(pl.Series(positions.astype(np.int64)))


def _held_counts(store: GraphStore) -> pl.DataFrame:
    """What the graph itself holds of the songs' counts."""
    counts = [p for p in schema.label("Song").properties if p.derived]
    query = queries.export_nodes("Song", [p.name for p in counts], marked=True)
    return table(store.stream(query), types_of(["id"], counts), "Song")


def _bare_nodes(store: GraphStore, snapshot: Snapshot) -> int:
    """Make nodes for users and songs that only events name; returns how many there may have been."""
    made = 0
    for label in ("User", "Song"):
        if snapshot.meta["bare"].get(label):
            rows = (row for rows in store.stream(queries.export_nodes(label, [])) for row in rows)
            held = {row["id"] for row in rows if isinstance(row["id"], str)}
            missing = [{"id": i} for i in snapshot.ids[label].to_list() if i not in held]
            made += store.upsert_nodes(label, missing)
    return made


def _song_counts(release: Release) -> pl.DataFrame:
    snapshot = release.snapshot
    listened = snapshot.relation("LISTENED")
    plays = np.bincount(listened.indices, weights=listened.properties["plays"], minlength=snapshot.songs)
    return pl.DataFrame(
        {
            "id": pl.Series(snapshot.ids["Song"].to_list(), dtype=pl.String),
            "listeners": listeners(snapshot).astype(np.int64),
            "plays": plays.astype(np.int64),
        }
    )
