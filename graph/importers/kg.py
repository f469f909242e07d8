"""`kg`: triples `head relation tail` a line in `kg.txt`, and in `item_index2entity_id.txt` which entity is which song.

A linked entity becomes the song itself; every other one is an `Entity`; a triple is a `RELATED` with its `relation`.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from graph.batch import Batch
from graph.catalogue import Progress
from graph.importers.base import add_ids, add_triples, existing_file, existing_folder, read_delimited

_EXPECTED = "kg.txt and item_index2entity_id.txt"


class KG:
    """The folder of triples at `path`."""

    format = "kg"

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> list[Path]:
        existing_folder(self._path, _EXPECTED)
        return [existing_file(self._path / name, _EXPECTED) for name in ("kg.txt", "item_index2entity_id.txt")]

    def read(self, progress: Progress) -> Batch:
        batch = Batch(self.format)
        triples_file, links_file = self.files()
        progress(f"reading {links_file.name}", 0, 2)
        links = _read(links_file, batch, ["id", "entity"])
        batch.add_nodes("Song", links, file=links_file.name)
        songs = batch.nodes["Song"].select("id")
        links = links.join(songs, on="id", how="semi").select("entity", song=pl.col("id"))
        progress(f"reading {triples_file.name}", 1, 2)
        add_triples(batch, _read(triples_file, batch, ["head", "relation", "tail"]), links, file=triples_file.name)
        add_ids(batch, "Song", links["song"], file=links_file.name)
        return batch


def _read(file: Path, batch: Batch, names: list[str]) -> pl.DataFrame:
    return read_delimited(file, batch, separator="\t", quoted=False, header=names)
