"""`lightgcn`: `train.txt`, `valid.txt` (optional) and `test.txt`, each line a user and its items.

Only `train.txt` is imported: a pair is one `play` without a time. What stands in valid and test is held out, and the
state must not know of it (their items are not even nodes); `read_splits` gives all three to an evaluation.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from graph.batch import Batch
from graph.catalogue import Progress
from graph.importers.base import add_ids, existing_file, existing_folder, read_lists

_EXPECTED = "train.txt, and valid.txt and test.txt, a user and its items a line"


class LightGCN:
    """The folder of splits at `path`."""

    format = "lightgcn"

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> list[Path]:
        existing_folder(self._path, _EXPECTED)
        return [existing_file(self._path / "train.txt", _EXPECTED)]

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        (file,) = self.files()
        progress(f"reading {file.name}", 0, 1)
        pairs = read_lists(file, batch).rename({"key": "user_id", "value": "song_id"})
        empty = pairs.filter(pl.col("song_id").is_null())
        if empty.height:
            batch.warn(f"{file.name}: {empty.height} users have no item")
        batch.add_events(pairs.drop_nulls("song_id").with_columns(action=pl.lit("play")), file=file.name)
        add_ids(batch, "User", batch.events["user_id"], file=file.name)
        add_ids(batch, "Song", batch.events["song_id"], file=file.name)
        return batch


def read_splits(path: Path) -> dict[str, pl.DataFrame]:
    """The pairs of each split that is there: `train`, `valid`, `test` -> `user_id`, `song_id` in the file's order.

    Raises: InvalidInput for an absent train or test, or a broken file.
    """
    existing_folder(path, _EXPECTED)
    splits = {}
    for name in ("train", "valid", "test"):
        file = path / f"{name}.txt"
        if name == "valid" and not file.is_file():
            continue
        frame = read_lists(existing_file(file, _EXPECTED), Batch("lightgcn"))
        splits[name] = frame.drop_nulls("value").select(user_id=pl.col("key"), song_id=pl.col("value"))
    return splits
