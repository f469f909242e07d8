"""`tables`: a folder of CSV, TSV or Parquet files, packed (`.gz`, `.zst`, `.zip`) or not, named after the schema's
tables.

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
from graph.reading.opened import stem_of

_LABELS: Final = {entry.table: entry for entry in schema.LABELS if entry.table is not None}
_RELATIONS: Final = {entry.table: entry for entry in schema.RELATIONSHIPS if entry.table is not None}
_LOGS: Final = ("events", "exposures", "audio_segments")
TABLES: Final = (*_LABELS, *_RELATIONS, *_LOGS)
_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".parquet")
_WORLD: Final = "world.json"  # says how a built-in world was made
_EXPECTED: Final = "events, or songs and users, as .csv, .tsv or .parquet"


class Tables:
    """The folder of tables at `path`."""

    format = "tables"

    def __init__(self, path: Path) -> None:
        self._path = path

    @staticmethod
    def recognises(path: Path) -> bool:
        return not (path / _WORLD).is_file()

    def files(self) -> list[Path]:
        return list(self._tables().values())

    def read(self, progress: Progress) -> Batch:
        tables = self._tables()
        batch = Batch(self.format)
        for file in sorted(self._path.iterdir()):
            if file.is_file() and file not in tables.values() and file.name != _WORLD and not file.name.startswith("."):
                batch.warn(f"{file.name}: no table has this name; not read")
        for done, (name, file) in enumerate(tables.items()):
            progress(f"reading {file.name}", done, len(tables))
            if stem_of(file)[1] == ".parquet":
                frame = read_parquet(file, batch)
            else:
                frame = read_delimited(file, batch, expected=columns_of(name))
            add_table(batch, name, frame, file)
        return batch

    def _tables(self) -> dict[str, Path]:
        """The file of each table that is there.

        Raises: InvalidInput if a table is there twice, or what is required is not.
        """
        existing_folder(self._path, _EXPECTED)
        there: dict[str, list[Path]] = {}
        for file in sorted(self._path.iterdir()):
            stem, suffix = stem_of(file)
            if file.is_file() and suffix in _SUFFIXES:
                there.setdefault(stem, []).append(file)
        found: dict[str, Path] = {}
        for name in TABLES:
            files = there.get(name, [])
            if len(files) > 1:
                raise InvalidInput(
                    f"{self._path}: expected one file of {name}, got {' and '.join(f.name for f in files)}"
                )
            if files:
                found[name] = files[0]
        if "events" not in found and not {"songs", "users"} <= found.keys():
            raise InvalidInput(f"{self._path}: expected {_EXPECTED}, got {', '.join(found) or 'none of the tables'}")
        return found


def add_table(batch: Batch, name: str, frame: pl.DataFrame, file: Path) -> None:
    """Add one of `TABLES` to the batch, with the table's columns and `line`; `file` is where it comes from.

    Raises: InvalidInput for a missing column, or one of an unusable type.
    """
    if name in _LABELS:
        label = _LABELS[name]
        require(frame, ["id"], file)
        frame = _known(batch, frame, columns_of(name), file)
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


def columns_of(name: str) -> list[str]:
    """What the columns of one of `TABLES` are called; of `audio_segments` those that it has beside its attributes."""
    if name in _LABELS:
        return ["id", *(p.name for p in _LABELS[name].properties if not p.derived)]
    if name in _RELATIONS:
        relation = _RELATIONS[name]
        return [relation.source_column, relation.target_column, *(p.name for p in relation.properties)]
    return {"events": [*EVENT_COLUMNS], "exposures": [*EXPOSURE_COLUMNS]}.get(name, ["song_id", "segment"])


def _known(batch: Batch, frame: pl.DataFrame, names: object, file: Path) -> pl.DataFrame:
    """The frame without the columns that the table does not have, each of them warned of."""
    known = {*names, "line"}  # type: ignore[misc]
    unknown = [name for name in frame.columns if name not in known]
    if unknown:
        batch.warn(f"{file.name}: columns that the format does not have are left out: {one_line(', '.join(unknown))}")
    return frame.drop(unknown)
