"""`tables`: a folder of CSV or Parquet files named after the schema's tables.

Nodes: `songs artists albums genres tags playlists places users` with `id` and the label's properties. Relations:
`song_artist`, `follows` and so on, with the two ids' columns and the relationship's properties. Then `events`,
`exposures` and `audio_segments`. Only `events`, or `songs` and `users`, is required. Columns that no table has are
left out with a warning; a Parquet file's line is the number of the row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch, one_line
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.base import existing_folder, read_delimited, read_parquet, require
from graph.log.checks import EVENT_COLUMNS, EXPOSURE_COLUMNS

_LABELS: Final = {entry.table: entry for entry in schema.LABELS if entry.table is not None}
_RELATIONS: Final = {entry.table: entry for entry in schema.RELATIONSHIPS if entry.table is not None}
_LOGS: Final = ("events", "exposures", "audio_segments")
_NAMES: Final = (*_LABELS, *_RELATIONS, *_LOGS)
_EXPECTED: Final = "events, or songs and users, as .csv or .parquet"


class Tables:
    """The folder of tables at `path`."""

    format = "tables"

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> list[Path]:
        return list(self._tables().values())

    def read(self, progress: Progress) -> Batch:
        tables = self._tables()
        batch = Batch(self.format)
        for file in sorted(self._path.iterdir()):
            if file.suffix in (".csv", ".parquet") and file.stem not in _NAMES:
                batch.warn(f"{file.name}: no table has this name; not read")
        for done, (name, file) in enumerate(tables.items()):
            progress(f"reading {file.name}", done, len(tables))
            frame = read_parquet(file, batch) if file.suffix == ".parquet" else read_delimited(file, batch)
            self._add(batch, name, frame, file)
        return batch

    def _tables(self) -> dict[str, Path]:
        """The file of each table that is there.

        Raises: InvalidInput if a table is there twice, or what is required is not.
        """
        existing_folder(self._path, _EXPECTED)
        found: dict[str, Path] = {}
        for name in _NAMES:
            there = [file for suffix in (".csv", ".parquet") if (file := self._path / (name + suffix)).is_file()]
            if len(there) > 1:
                raise InvalidInput(f"{self._path}: expected {name}.csv or {name}.parquet, got both")
            if there:
                found[name] = there[0]
        if "events" not in found and not {"songs", "users"} <= found.keys():
            raise InvalidInput(f"{self._path}: expected {_EXPECTED}, got {', '.join(found) or 'none of the tables'}")
        return found

    @staticmethod
    def _add(batch: Batch, name: str, frame: pl.DataFrame, file: Path) -> None:
        if name in _LABELS:
            label = _LABELS[name]
            require(frame, ["id"], file)
            frame = _known(batch, frame, ["id", *(p.name for p in label.properties if not p.derived)], file)
            batch.add_nodes(label.name, frame, file=file.name, repeats="reject")
        elif name in _RELATIONS:
            relation = _RELATIONS[name]
            require(frame, [relation.source_column, relation.target_column], file)
            ends = {relation.source_column: "source", relation.target_column: "target"}
            frame = _known(batch, frame, [*ends, *(p.name for p in relation.properties)], file)
            frame = frame.rename({old: new for old, new in ends.items() if old in frame.columns})
            batch.add_relationships(relation, frame, file=file.name, repeats="reject")
        elif name == "events":
            require(frame, ["user_id", "action"], file)
            batch.add_events(_known(batch, frame, EVENT_COLUMNS, file), file=file.name)
        elif name == "exposures":
            require(frame, ["request_id", "song_id", "position"], file)
            batch.add_exposures(_known(batch, frame, EXPOSURE_COLUMNS, file), file=file.name)
        else:
            batch.add_audio_segments(frame, file=file.name)


def _known(batch: Batch, frame: pl.DataFrame, names: object, file: Path) -> pl.DataFrame:
    """The frame without the columns that the table does not have, each of them warned of."""
    known = {*names, "line"}  # type: ignore[misc]
    unknown = [name for name in frame.columns if name not in known]
    if unknown:
        batch.warn(f"{file.name}: columns that the format does not have are left out: {one_line(', '.join(unknown))}")
    return frame.drop(unknown)
