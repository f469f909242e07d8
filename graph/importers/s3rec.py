"""`s3rec`: a line is a user and its items in the order of time; `<name>_item2attributes.json` gives items attributes.

`path` is the text file, its name without `.txt`, or a folder with one such file. Items become `play` events without a
time, in the order of the line (ordered by offset, then); an attribute is a tag, its weight how often the item has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from graph import schema
from graph.batch import Batch
from graph.catalogue import Progress
from graph.errors import InvalidInput
from graph.importers.base import add_ends_as_nodes, add_ids, existing_file, read_json, read_lists

_EXPECTED: Final = "one user and its ordered items a line"
_ATTRIBUTES: Final = "_item2attributes.json"


class S3Rec:
    """The sequences at `path`."""

    format = "s3rec"
    any_text = True

    def __init__(self, path: Path) -> None:
        self._path = path

    @staticmethod
    def recognises(path: Path) -> bool:
        """Not `lightgcn`, whose files are called after their parts."""
        return path.suffix in ("", ".txt") and not (path / "train.txt").exists()

    def files(self) -> list[Path]:
        file = self._sequences()
        attributes = file.with_name(file.stem + _ATTRIBUTES)
        return [file, attributes] if attributes.is_file() else [file]

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        file, *attributes = self.files()
        progress(f"reading {file.name}", 0, 2)
        pairs = read_lists(file, batch).rename({"key": "user_id", "value": "song_id"})
        batch.add_events(pairs.drop_nulls("song_id").with_columns(action=pl.lit("play")), file=file.name)
        add_ids(batch, "User", batch.events["user_id"], file=file.name)
        add_ids(batch, "Song", batch.events["song_id"], file=file.name)
        for other in attributes:
            progress(f"reading {other.name}", 1, 2)
            _add_tags(batch, other)
        return batch

    def _sequences(self) -> Path:
        beside = self._path.parent / (self._path.name + ".txt")
        if not self._path.exists() and beside.is_file():
            return beside
        if not self._path.is_dir():
            return existing_file(self._path, _EXPECTED)
        # `<name>_sample.txt` holds published negatives of `<name>.txt`, no sequences.
        found = sorted(f for f in self._path.glob("*.txt") if not f.stem.endswith("_sample"))
        if len(found) != 1:
            names = ", ".join(f.name for f in found) or "none"
            raise InvalidInput(f"{self._path}: expected one .txt file with {_EXPECTED}, got {names}")
        return found[0]


def _add_tags(batch: Batch, file: Path) -> None:
    held = read_json(file)
    if not isinstance(held, dict):
        raise InvalidInput(f"{file}: expected an object of item: [attributes], got {type(held).__name__}")
    rows: list[tuple[str, str]] = []
    bad: list[tuple[int | None, str, str]] = []
    for item, attributes in held.items():
        if not isinstance(attributes, list) or not all(isinstance(a, str | int) for a in attributes):
            bad.append((None, "expected a list of attribute ids", f"{item}: {attributes!r}"))
        else:
            rows.extend((item, str(attribute)) for attribute in attributes)
    batch.reject(file.name, bad)
    batch.read += len(held)
    pairs = pl.DataFrame(rows, schema={"source": pl.String, "target": pl.String}, orient="row")
    weights = pairs.group_by("source", "target", maintain_order=True).agg(pl.len().cast(pl.Float64).alias("weight"))
    batch.add_relationships(schema.relationship("HAS_TAG", "Song", "Tag"), weights, file=file.name)
    add_ends_as_nodes(batch, "Tag", file=file.name)
